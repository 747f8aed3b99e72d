"""Times to live: what sets and ends them, what is refused, and that nothing sees an entry whose time is over.

The clock is the system's own. An entry either has more time than any test takes, or so little that a test can wait for
its end; nothing here asserts that a thing is done quickly.
"""

from __future__ import annotations

import copy
import datetime
import math
import pickle
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from bytemaps import LONG, SHORT, VARIANTS, AnyMap, outlive, pairs, pass_away
from concurrency import new_random

Write = Callable[[AnyMap, Any], object]

#: Each sets the value of b"k", which is b"1", with this time to live, or with None without one.
WITH_TTL: dict[str, Write] = {
    "set": lambda m, ttl: m.set(b"k", b"2", ttl),
    "set by keyword": lambda m, ttl: m.set(b"k", b"2", ttl=ttl),
    "set another size": lambda m, ttl: m.set(b"k", b"2" * 100, ttl=ttl),
    "set what is large": lambda m, ttl: m.set(b"k", b"2" * 50_000, ttl=ttl),
    "replace": lambda m, ttl: m.replace(b"k", b"2", ttl=ttl),
    "compare_and_set": lambda m, ttl: m.compare_and_set(b"k", b"1", b"2", ttl=ttl),
    "set_many": lambda m, ttl: m.set_many([(b"k", b"2")], ttl=ttl),
    "insert after a deletion": lambda m, ttl: (m.pop(b"k"), m.insert(b"k", b"2", ttl=ttl)),
}
#: Each writes the value of b"k", which is b"1", and ends its time to live.
ENDING: dict[str, Write] = {
    **WITH_TTL,
    "[]=": lambda m, _: m.__setitem__(b"k", b"2"),
    "[]= of the same value": lambda m, _: m.__setitem__(b"k", b"1"),
    "[]= of a longer one": lambda m, _: m.__setitem__(b"k", b"2" * 77),
    "update": lambda m, _: m.update({b"k": b"2"}),
    "swap": lambda m, _: m.swap(b"k", b"2"),
    "persist": lambda m, _: m.persist(b"k"),
}
#: Each leaves the time to live as it is.
SPARING: dict[str, Write] = {
    "add": lambda m, _: m.add(b"k"),
    "add digits": lambda m, _: m.add(b"k", 10**15),
    "count": lambda m, _: m.count([b"k"]),
    "insert": lambda m, _: m.insert(b"k", b"2"),
    "setdefault": lambda m, _: m.setdefault(b"k", b"2"),
    "compare_and_set that fails": lambda m, _: m.compare_and_set(b"k", b"no", b"2"),
    "get": lambda m, _: (m[b"k"], m.get(b"k"), m.get_view(b"k"), b"k" in m, list(m), m.snapshot()),
    "growth": lambda m, _: (m.update(pairs(500)), m.delete_many(key for key, _ in pairs(500)), m.shrink()),
}


@pytest.mark.parametrize("name", WITH_TTL)
def test_setting_it(m: AnyMap, name: str) -> None:
    for former in (None, LONG):
        m.set(b"k", b"1", ttl=former)
        WITH_TTL[name](m, LONG / 2)
        assert LONG / 4 < m.ttl(b"k") <= LONG / 2
        assert m.stats()["deadlines"] == 1
        m._check()


@pytest.mark.parametrize("name", ENDING)
@pytest.mark.parametrize("size", [1, 40_000], ids=["small", "large"])
def test_what_ends_it(m: AnyMap, name: str, size: int) -> None:
    m.set(b"k", b"1", ttl=LONG)
    if size > 1 and name != "compare_and_set":
        m.set(b"k", bytes(size), ttl=LONG)
    ENDING[name](m, None)
    assert m.ttl(b"k") is None
    assert m.stats()["deadlines"] == 0
    m._check()
    m[b"k"] = b"3"
    assert m == {b"k": b"3"}


@pytest.mark.parametrize("name", SPARING)
def test_what_spares_it(m: AnyMap, name: str) -> None:
    m.set(b"k", b"1", ttl=LONG)
    SPARING[name](m, None)
    assert 0 < m.ttl(b"k") <= LONG
    assert m.stats()["deadlines"] == 1


def test_expire_and_persist(m: AnyMap) -> None:
    assert m.expire(b"k", 5) is False
    assert m.persist(b"k") is False
    for size in (0, 1, 100, 40_000):
        m[b"k"] = value = bytes(size)
        for _ in range(2):
            assert m.persist(b"k") is False
            assert m.expire(b"k", LONG) is True
            assert LONG / 2 < m.ttl(b"k") <= LONG
            assert m.expire(b"k", LONG * 2) is True
            assert LONG < m.ttl(b"k") <= 2 * LONG
            assert m.persist(b"k") is True
            assert m.ttl(b"k") is None
            assert m == {b"k": value}
            m._check()
    assert len(m) == 1


def test_expire_of_what_somebody_looks_at(m: AnyMap) -> None:
    m[b"k"] = b"value"
    view = m.get_view(b"k")
    assert m.expire(b"k", LONG)
    assert m.ttl(b"k") > 0
    assert (view, m[b"k"]) == (b"value", b"value")
    later = m.get_view(b"k")
    assert m.persist(b"k")
    assert m.expire(b"k", LONG)
    m.set(b"k", b"other", ttl=LONG)
    assert view == later == b"value"


def test_ttl_counts_down(m: AnyMap) -> None:
    m.set(b"k", b"v", ttl=LONG)
    former = LONG
    for _ in range(3):
        left = m.ttl(b"k")
        assert 0 < left <= former
        former = left
        outlive()
    assert type(left) is float
    assert left < LONG
    assert m.ttl(bytearray(b"k")) <= left


def test_the_sum_of_deadlines(m: AnyMap) -> None:
    """Whatever happens to entries with and without one, their number is right: _check compares."""
    rng = new_random()
    for step in range(2000):
        key = b"%d" % rng.randrange(60)
        ttl = rng.choice([None, LONG, LONG])
        size = rng.choice([0, 5, 5, 30, 3000])
        change = rng.choice(["set", "set", "insert", "pop", "expire", "persist", "add", "popitem"])
        if change in ("set", "insert"):
            getattr(m, change)(key, b"7" * size, ttl=ttl)
        elif change == "expire":
            m.expire(key, LONG)
        elif change == "popitem":
            if m and step % 4 == 0:
                m.popitem()
        elif change == "pop":
            m.pop(key, None)
        elif change == "add":
            if m.get(key) in (None, b"77777"):
                m.add(key)
        else:
            m.persist(key)
        if step % 100 == 0:
            m._check()
            assert m.stats()["deadlines"] == sum(m.ttl(key) is not None for key in m)


# -- what is over -----------------------------------------------------------------------------------------------------

#: What each operation finds of an entry whose time is over, and whether the key is there afterwards.
READS: dict[str, tuple[Callable[[AnyMap], Any], Any]] = {
    "get": (lambda m: m.get(b"k"), None),
    "get with default": (lambda m: m.get(b"k", 5), 5),
    "in": (lambda m: b"k" in m, False),
    "[]": (lambda m: m[b"k"], KeyError),
    "del": (lambda m: m.__delitem__(b"k"), KeyError),
    "pop": (lambda m: m.pop(b"k"), KeyError),
    "pop with default": (lambda m: m.pop(b"k", 5), 5),
    "popitem": (lambda m: m.popitem(), KeyError),
    "ttl": (lambda m: m.ttl(b"k"), KeyError),
    "expire": (lambda m: m.expire(b"k", LONG), False),
    "persist": (lambda m: m.persist(b"k"), False),
    "replace": (lambda m: m.replace(b"k", b"w"), False),
    "compare_and_set": (lambda m: m.compare_and_set(b"k", b"v", b"w"), False),
    "compare_and_delete": (lambda m: m.compare_and_delete(b"k", b"v"), False),
    "get_many": (lambda m: m.get_many([b"k", b"k"]), [None, None]),
    "delete_many": (lambda m: m.delete_many([b"k"]), 0),
    "get_view": (lambda m: m.get_view(b"k"), None),
    "snapshot": (lambda m: m.snapshot(), {}),
    "iteration": (list, []),
    "values": (lambda m: list(m.values()), []),
    "items": (lambda m: list(m.items()), []),
    "partitions": (lambda m: [list(part) for part in m.partitions(2)], [[], []]),
    "in keys": (lambda m: b"k" in m.keys(), False),  # noqa: SIM118
    "in values": (lambda m: b"v" in m.values(), False),
    "in items": (lambda m: (b"k", b"v") in m.items(), False),
    "==": (lambda m: m == {}, True),
    "diff": (lambda m: tuple(m.diff({})), ({}, {}, {})),
    "repr": (repr, "ByteMap({})"),
    "copy": (lambda m: m.copy().stats()["entries"], 0),
    "deepcopy": (lambda m: copy.deepcopy(m).stats()["entries"], 0),
    "pickle": (lambda m: pickle.loads(pickle.dumps(m)).stats()["entries"], 0),
    "|": (lambda m: dict(m | {}), {}),
    "retain": (lambda m: m.retain(lambda key, value: pytest.fail("judged")), 0),
    "sweep": (lambda m: m.sweep(), 1),
}
WRITES: dict[str, tuple[Callable[[AnyMap], Any], Any, bytes]] = {
    "[]=": (lambda m: m.__setitem__(b"k", b"w"), None, b"w"),
    "insert": (lambda m: m.insert(b"k", b"w"), True, b"w"),
    "setdefault": (lambda m: m.setdefault(b"k", b"w"), b"w", b"w"),
    "swap": (lambda m: m.swap(b"k", b"w"), None, b"w"),
    "swap with default": (lambda m: m.swap(b"k", b"w", 5), 5, b"w"),
    "add": (lambda m: m.add(b"k", 5), 5, b"5"),
    "count": (lambda m: m.count([b"k"]), None, b"1"),
    "update": (lambda m: m.update({b"k": b"w"}), None, b"w"),
}


@pytest.mark.parametrize("size", [1, 40_000], ids=["small", "large"])
@pytest.mark.parametrize("name", READS)
def test_reading_what_is_over(name: str, size: int) -> None:
    maps = [make() for make in VARIANTS.values()]
    for m in maps:
        m.set(b"k", b"v" * size, ttl=SHORT)
    outlive()
    operation, expected = READS[name]
    for m in maps:
        if expected is KeyError:
            with pytest.raises(KeyError):
                operation(m)
        else:
            assert operation(m) == expected
        m._check()
        m.sweep()
        assert (len(m), m.stats()["expired"]) == (0, 1)
        assert m.memory().used == 0
        m._check()


@pytest.mark.parametrize("size", [1, 40_000], ids=["small", "large"])
@pytest.mark.parametrize("name", WRITES)
def test_writing_over_what_is_over(name: str, size: int) -> None:
    maps = [make() for make in VARIANTS.values()]
    for m in maps:
        m.set(b"k", b"v" * size, ttl=SHORT)
    outlive()
    operation, expected, value = WRITES[name]
    for m in maps:
        assert operation(m) == expected
        assert m == {b"k": value}
        assert m.ttl(b"k") is None
        assert (len(m), m.stats()["expired"], m.stats()["deadlines"]) == (1, 1, 0)
        m._check()


def test_an_iterator_meets_nothing_that_is_over(m: AnyMap) -> None:
    """Nor does one that had come by the entry in time and yields it later."""
    m.set_many(pairs(100), ttl=LONG)
    iterators = [iter(m), iter(m.values()), iter(m.items()), m.partitions(1)[0]]
    first = [next(iterator) for iterator in iterators]
    pass_away(m, [key for key, _ in pairs(100)])
    assert [list(iterator) for iterator in iterators] == [[], [], [], []]
    assert all(first)


def test_some_are_over(m: AnyMap) -> None:
    """Among others, in all buckets."""
    m.update(pairs(600))
    over = {b"key %d" % number for number in range(0, 600, 3)}
    pass_away(m, over)
    expected = {key: value for key, value in pairs(600) if key not in over}
    assert m == expected
    assert set(m) == set(expected)
    assert m.get_many(key for key, _ in pairs(600)) == [expected.get(key) for key, _ in pairs(600)]
    m._check()
    m.sweep()
    m._check()
    assert len(m) == len(expected)
    assert m.stats()["expired"] == 200
    assert m.sweep() == 0


@pytest.mark.parametrize("count", [1, 11, 12, 13, 200, 3000])
def test_sweep(m: AnyMap, count: int) -> None:
    """Also where a whole chain of buckets is due, and while the table moves."""
    m.set_many(pairs(count), ttl=LONG)
    assert m.sweep() == 0
    assert len(m) == count
    pass_away(m, [key for key, _ in pairs(count)])
    m[b"stays"] = b"v"
    m.set(b"lives", b"v", ttl=LONG)
    # The thread that sweeps may have come by.
    assert m.sweep() + m.stats()["expired"] >= count
    assert m == {b"stays": b"v", b"lives": b"v"}
    assert (len(m), m.stats()["expired"], m.stats()["deadlines"]) == (2, count, 1)
    m._check()


def test_a_view_of_what_is_over(m: AnyMap) -> None:
    for size in (5, 40_000):
        m.set(b"k", bytes(size), ttl=LONG)
        view = m.get_view(b"k")
        pass_away(m, [b"k"])
        assert m.get_view(b"k") is None
        m.sweep()
        assert (len(m), view) == (0, bytes(size))
        m._check()
        del view
        assert m.memory().used == 0


def test_a_due_entry_does_not_come_back(m: AnyMap) -> None:
    m.set(b"k", b"v", ttl=SHORT)
    outlive()
    assert m.expire(b"k", LONG) is False
    assert m.persist(b"k") is False
    assert b"k" not in m


# -- durations --------------------------------------------------------------------------------------------------------

TAKES_DURATION: dict[str, Callable[[AnyMap, Any], Any]] = {
    "set": lambda m, ttl: m.set(b"k", b"2", ttl),
    "insert": lambda m, ttl: m.insert(b"new", b"2", ttl),
    "replace": lambda m, ttl: m.replace(b"k", b"2", ttl),
    "compare_and_set": lambda m, ttl: m.compare_and_set(b"k", b"1", b"2", ttl),
    "set_many": lambda m, ttl: m.set_many([(b"k", b"2")], ttl),
    "expire": lambda m, ttl: m.expire(b"k", ttl),
}


@pytest.mark.parametrize(
    "bad",
    [0, 0.0, -0.0, -1, -0.001, -math.inf, math.inf, math.nan, 1e10, 10**10, 10**400, 1_000_000_001,
     datetime.timedelta(0), datetime.timedelta(seconds=-1), datetime.timedelta.max],
    ids=lambda bad: repr(bad)[:20],
)  # fmt: skip
def test_durations_that_are_none(m: AnyMap, bad: Any) -> None:
    m[b"k"] = b"1"
    for name, operation in TAKES_DURATION.items():
        with pytest.raises(ValueError, match="seconds above 0 and up to 1000000000"):
            operation(m, bad)
        assert m == {b"k": b"1"}, name
        assert m.ttl(b"k") is None, name


@pytest.mark.parametrize(
    "bad", [True, False, "5", b"5", [5], 1j, object(), Decimal(5), Fraction(5), datetime.date(2026, 1, 1)], ids=repr
)
def test_durations_of_the_wrong_type(m: AnyMap, bad: Any) -> None:
    m[b"k"] = b"1"
    for name, operation in TAKES_DURATION.items():
        with pytest.raises(TypeError, match="number of seconds or a timedelta"):
            operation(m, bad)
        assert m == {b"k": b"1"}, name
        assert m.ttl(b"k") is None, name


def test_none_is_no_duration(m: AnyMap) -> None:
    m.set(b"k", b"v", ttl=LONG)
    with pytest.raises(TypeError):
        m.expire(b"k", None)
    assert m.ttl(b"k") > 0


@pytest.mark.parametrize(
    ("given", "seconds"),
    [(1000, 1000), (1000.5, 1000.5), (10**9, 1e9), (1e9, 1e9), (datetime.timedelta(hours=1), 3600),
     (datetime.timedelta(days=1, milliseconds=1), 86400.001)],
)  # fmt: skip
def test_good_durations(m: AnyMap, given: Any, seconds: float) -> None:
    m[b"k"] = b"1"
    for operation in TAKES_DURATION.values():
        operation(m, given)
    for key in (b"k", b"new"):
        assert seconds - 500 < m.ttl(key) <= seconds
    m.clear()


@pytest.mark.parametrize("tiny", [1e-9, 5e-324, 0.0001, datetime.timedelta(microseconds=1)])
def test_the_least_duration_is_a_millisecond(m: AnyMap, tiny: Any) -> None:
    """It is rounded up: the entry is there for a moment, and then it is not."""
    m.set(b"k", b"v", ttl=tiny)
    outlive()
    assert b"k" not in m
