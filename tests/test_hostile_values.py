"""Values that act when they are compared, added or destroyed; iterables that change the map; bad pickles."""

from __future__ import annotations

import gc
import pickle
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest
from hostile import Dying, Key, Value
from support import drain, run_python_ok, settle

from shardmap import MISSING, ShardMap

# The tests misuse the map on purpose, so they ask for no types; `typing/` has samples that do.
AnyMap: TypeAlias = Any


# -- destroyed --------------------------------------------------------------------------------------------------------

#: Every way to displace the value of key 1; the last reference to it goes with the operation.
DISPLACERS: dict[str, Callable[[AnyMap], Any]] = {
    "overwrite": lambda m: m.__setitem__(1, 0),
    "delete": lambda m: m.__delitem__(1),
    "pop": lambda m: m.pop(1),
    "pop default": lambda m: m.pop(1, None),
    "popitem": lambda m: [m.popitem() for _ in range(len(m))],
    "clear": lambda m: m.clear(),
    "update": lambda m: m.update({1: 0}),
    "update pairs": lambda m: m.update([(1, 0)]),
    "update keywords": lambda m: (m.__setitem__("a", m.pop(1)), m.update(a=1)),
    "replace": lambda m: m.replace(1, 0),
    "swap": lambda m: m.swap(1, 0),
    "compare_and_set": lambda m: m.compare_and_set(1, m[1], 0),
    "compare_and_delete": lambda m: m.compare_and_delete(1, m[1]),
    "compute": lambda m: m.compute(1, lambda old: 0),
    "compute to delete": lambda m: m.compute(1, lambda old: MISSING),
    "compute_if_present": lambda m: m.compute_if_present(1, lambda old: 0),
    "merge": lambda m: m.merge(1, 0, lambda old, new: new),
    "delete_many": lambda m: m.delete_many([1]),
    "set_many": lambda m: m.set_many([(1, 0)]),
    "retain": lambda m: m.retain(lambda key, value: key != 1),
    "clear while computing": lambda m: m.compute(1, lambda old: (m.clear(), 0)[1]),
    "overwrite while iterating": lambda m: [m.__setitem__(1, 0) for key in m if key == 1],
}

#: What its ``__del__`` does to the map.
ACTIONS: dict[str, Callable[[AnyMap], Any]] = {
    "get": lambda m: (m.get(1), m.get(2)),
    "set the key": lambda m: m.__setitem__(1, "set by __del__"),
    "set another": lambda m: m.__setitem__("other", 1),
    "delete": lambda m: m.pop(2, None),
    "clear": lambda m: m.clear(),
    "grow": lambda m: m.update((number, number) for number in range(100, 300)),
    "shrink": lambda m: m.shrink(),
    "iterate": lambda m: (list(m), list(m.items()), len(m), m.snapshot(), m.copy()),
    "compute": lambda m: (m.compute("c", lambda old: 1), m.add("d"), m.count("ee")),
    "collect": lambda m: gc.collect(),
    "raise": lambda m: 1 / 0,
    "check": lambda m: m._check(),
}


@pytest.mark.parametrize("displacer", DISPLACERS)
@pytest.mark.parametrize("as_key", [False, True], ids=["value", "key"])
def test_del_may_use_the_map(m: AnyMap, displacer: str, as_key: bool) -> None:
    """What an operation displaces is destroyed when nothing is locked, exactly once."""
    for name, action in ACTIONS.items():
        family = Dying.family()

        def act(action: Callable[[AnyMap], Any] = action) -> None:
            action(m)

        m.clear()
        m.update({0: 0, 2: 2})
        if as_key:
            # The operations look it up as 1; it is destroyed when its entry goes, or with the map.
            m[EqualToOne(family(act))] = family()
        else:
            m[1] = family(act)
        DISPLACERS[displacer](m)
        drain(m)
        m._check()
        assert not [f for f in family.failures if not isinstance(f, ZeroDivisionError)], name
        m.clear()
        drain(m)
        assert family.alive == 0, name
        assert family.deaths >= 1
        assert bool(family.failures) == (name == "raise"), name


class EqualToOne:
    """A key that equals 1 and owns something that acts when it dies."""

    def __init__(self, owned: Any) -> None:
        self.owned = owned

    def __hash__(self) -> int:
        return hash(1)

    def __eq__(self, other: object) -> bool:
        return other == 1 or self is other


def test_del_runs_when_the_map_dies() -> None:
    family = Dying.family()
    seen: list[int] = []
    m: AnyMap = ShardMap()
    other: AnyMap = ShardMap()
    for number in range(100):
        m[number] = family(lambda number=number: other.__setitem__(number, len(seen)))  # type: ignore[misc]
    del m
    settle()
    assert (family.alive, family.failures, len(other)) == (0, [], 100)


def test_del_uses_a_dying_map_through_a_cycle() -> None:
    """The values refer to their map; the collector clears it while their ``__del__`` still works on it."""
    for action in ACTIONS.values():
        family = Dying.family()
        m: AnyMap = ShardMap(shards=4)
        m["me"] = m
        for number in range(50):
            m[number] = family(lambda m=m, action=action: action(m))  # type: ignore[misc]
        del m
        settle()
        assert family.alive == 0
        assert not [failure for failure in family.failures if not isinstance(failure, ZeroDivisionError)]


def test_del_chain(m: AnyMap) -> None:
    """Each value's death displaces the next one's: hundreds of levels, each inside of the one before."""
    family = Dying.family()
    depth = 300
    for number in range(depth):
        m[number] = family(lambda number=number: m.pop(number + 1, None))  # type: ignore[misc]
    del m[0]
    settle(m)
    assert (family.alive, family.failures, len(m)) == (0, [], 0)


@pytest.mark.parametrize(
    "kind",
    [iter, lambda m: iter(m.items()), lambda m: iter(m.values()), lambda m: m.partitions(1)[0]],
    ids=["keys", "items", "values", "partition"],
)
def test_del_that_advances_the_iterator_it_was_in(m: AnyMap, kind: Callable[[AnyMap], Iterator[Any]]) -> None:
    """An iterator keeps what it has captured alive; letting go of it may run code that uses this very iterator."""
    family = Dying.family()
    holder: list[Iterator[Any]] = []
    labels: list[Any] = []

    def take() -> None:
        """Take an item, and let its key live on in the iterator alone."""
        for iterator in holder:
            item = next(iterator, None)
            if isinstance(item, tuple):
                assert item[0].label == item[1]
            if item is not None:
                label = item[0].label if isinstance(item, tuple) else getattr(item, "label", item)
                labels.append(label)
                m.pop(Key(label, label))

    for number in range(400):
        key = Key(number, number)
        key.owned = family(take)  # type: ignore[attr-defined]
        m[key] = number
    del key
    holder.append(kind(m))
    while m:
        take()
    holder.clear()
    drain(m)
    assert not family.failures
    assert family.alive == 0
    assert sorted(labels) == list(range(400))


# -- compared ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["compare_and_set", "compare_and_delete"])
def test_a_comparison_that_changes_the_value(m: AnyMap, method: str) -> None:
    """Only the value that was found equal may be replaced; one that came meanwhile is compared anew."""

    def change(m: AnyMap, kind: str, value: Any) -> None:
        if kind == "other":
            m["k"] = Value("other")
        elif kind == "equal":
            m["k"] = Value("old")
        elif kind == "delete":
            m.pop("k", None)
        elif kind == "clear":
            m.clear()
        elif kind == "back":
            del m["k"]
            m["k"] = value
        elif kind == "grow":
            m.update((number, number) for number in range(200))
        elif kind == "compute":
            m.compute("k", lambda old: Value("other"))

    arguments = ("k", Value("old"), Value("new")) if method == "compare_and_set" else ("k", Value("old"))
    for kind, changed in [("other", "other"), ("equal", "old"), ("delete", None), ("clear", None), ("back", "old"),
                          ("grow", "old"), ("compute", "other"), ("none", "old")]:  # fmt: skip
        for expected_acts in (False, True):
            m.clear()
            stored, expected = Value("old"), Value("old")
            actor = expected if expected_acts else stored
            actor.on_eq = lambda kind=kind, stored=stored: change(m, kind, stored)
            m["k"] = stored
            found = getattr(m, method)("k", expected, *arguments[2:])
            m._check()
            acted = actor.eqs > 0
            assert acted != expected_acts  # the stored value is the left operand, so it is asked
            if not acted:
                continue
            assert found is (changed == "old"), kind
            if changed is None:
                assert "k" not in m
            elif changed == "other":
                assert m["k"] == Value("other")
            elif method == "compare_and_set":
                assert m["k"] == Value("new")
            else:
                assert "k" not in m


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_a_comparison_that_raises(m: AnyMap, error: type[BaseException]) -> None:
    def fail() -> None:
        raise error

    m["k"] = stored = Value("old", fail, times=10)
    with pytest.raises(error):
        m.compare_and_set("k", 1, 2)
    with pytest.raises(error):
        m.compare_and_delete("k", 1)
    with pytest.raises(error):
        m == {"k": 1}
    with pytest.raises(error):
        m.diff({"k": 1})
    with pytest.raises(error):
        1 in m.values()
    with pytest.raises(error):
        ("k", 1) in m.items()
    assert m["k"] is stored
    m["k"] = 1
    assert m.compare_and_set("k", 1, 2)


def test_a_comparison_that_never_settles(m: AnyMap) -> None:
    """Whoever replaces the value at every comparison is compared with at most as often as they do that."""

    class Moving:
        count = 0

        def __eq__(self, other: object) -> bool:
            Moving.count += 1
            if Moving.count < 50:
                m["k"] = Moving()
            return True

        __hash__ = None  # type: ignore[assignment]

    m["k"] = Moving()
    assert m.compare_and_set("k", 5, 6)
    assert Moving.count == 50
    assert m["k"] == 6


def test_whole_map_comparison_that_changes_the_map(m: AnyMap) -> None:
    for act in (m.clear, m.shrink, lambda: m.update((number, number) for number in range(100, 300))):
        m.clear()
        values = [Value(number, act) for number in range(20)]
        m.update(enumerate(values))
        other = {number: Value(number) for number in range(20)}
        assert m == other  # both sides were captured before the first comparison
        m._check()


# -- added ------------------------------------------------------------------------------------------------------------


def test_an_addition_that_uses_the_map(m: AnyMap) -> None:
    """It runs like a callback, under the key's reservation, once."""

    class Sum:
        def __init__(self, total: int, act: Callable[[], Any]) -> None:
            self.total, self.act = total, act

        def __add__(self, other: int) -> Sum:
            self.act()
            return Sum(self.total + other, self.act)

    calls: list[Any] = []
    m["k"] = Sum(0, lambda: calls.append((m["k"].total, m.get("other"), m.add("other"), len(m))))
    for _ in range(3):
        m.add("k", 5)
    assert m["k"].total == 15
    assert [call[0] for call in calls] == [0, 5, 10]
    assert m["other"] == 3
    m["k"] = Sum(0, lambda: m.add("k", 1))
    with pytest.raises(RuntimeError):
        m.add("k", 1)
    assert m["k"].total == 0
    m["k"] = Sum(0, m.clear)
    assert m.add("k", 1).total == 1
    assert len(m) == 0


def test_an_addition_that_returns_missing(m: AnyMap) -> None:
    class Odd:
        def __add__(self, other: object) -> Any:
            return MISSING

    m["k"] = Odd()
    try:
        assert m.add("k", 1) is MISSING
    except ValueError:
        pass
    assert MISSING not in m.values()


# -- iterables and callbacks that change the map ----------------------------------------------------------------------


def changing(m: AnyMap, items: Any) -> Iterator[Any]:
    """Yield the items; in between grow, shrink and clear the map, and use it in other ways."""
    for number, item in enumerate(items):
        yield item
        if number % 7 == 3:
            m.update((("grown", n), n) for n in range(50))
        elif number % 7 == 5:
            m.clear()
        elif number % 7 == 6:
            m.shrink()
            list(m.items())


def test_iterables_that_change_the_map(m: AnyMap) -> None:
    m.count(changing(m, [1] * 100))
    assert 1 <= m[1] <= 100
    m.set_many(changing(m, ((number, number) for number in range(100))))
    m.update(changing(m, ((number, number) for number in range(100))))
    assert m[99] == 99
    assert m.delete_many(changing(m, range(100))) <= 100
    found = m.get_many(changing(m, range(100)))
    assert len(found) == 100
    m._check()


def test_iterables_that_run_the_same_operation(m: AnyMap) -> None:
    def nested(operation: Callable[[Any], Any], item: Any, depth: int) -> Iterator[Any]:
        yield item
        if depth:
            operation(nested(operation, item, depth - 1))
        yield item

    m.count(nested(m.count, "c", 20))
    assert m["c"] == 42
    m.update(nested(m.update, ("u", 1), 20))
    m.get_many(nested(m.get_many, "u", 20))
    assert m.delete_many(nested(m.delete_many, "u", 20)) <= 1
    assert "u" not in m
    m._check()


def test_operations_on_the_map_itself(m: AnyMap) -> None:
    m.update((number, number) for number in range(300))
    expected = dict(m)
    for same in (
        lambda: m.update(m),
        lambda: m.update(m.items()),
        lambda: m.set_many(m),
        lambda: m.set_many(m.items()),
        lambda: m.set_many(zip(m, m.values(), strict=False)),
        lambda: m.__ior__(m),
    ):
        same()
        assert m == expected
    m.count(m)
    assert m == {number: number + 1 for number in range(300)}
    assert sorted(m.get_many(m)) == list(range(1, 301))
    assert m.diff(m) == ({}, {}, {})
    m[0] = m
    assert m == m
    assert m.delete_many(m.keys()) == 300
    assert len(m) == 0


def test_callbacks_that_change_the_map_around_their_key(m: AnyMap) -> None:
    """Growing, shrinking and iterating while a key is reserved, whether it was there before or not."""
    for start in ({}, {"k": 1}):
        for act in (
            lambda: m.update((number, number) for number in range(300)),
            lambda: m.delete_many(range(300)),
            lambda: m.shrink(),
            lambda: m.reserve(3000),
            lambda: (list(m.items()), m.snapshot(), m.copy(), repr(m), m == {}),
            lambda: m.retain(lambda key, value: key == "k"),
            lambda: [m.compute(("nested", n), lambda old: n) for n in range(50)],
            lambda: gc.collect(),
            lambda: m._check(),
        ):
            m.clear()
            m.update(start)

            def callback(old: Any, act: Callable[[], Any] = act) -> Any:
                act()
                return 2

            assert m.compute("k", callback) == 2
            m._check()
            assert m["k"] == 2
            assert m.stats()["reserved"] == 0


# -- pickles ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shards", [3, 0, -1, 2**17, 2**70, None, "8", 1.5, True, [], b"\1"])
def test_a_pickle_with_bad_options(shards: Any) -> None:
    """What the pickle says is checked as what the constructor is given."""
    reconstruct, (cls, _), *_ = ShardMap({1: 1}).__reduce__()
    with pytest.raises((TypeError, ValueError)):
        reconstruct(cls, shards)._check()


@pytest.mark.parametrize("cls", [int, dict, object, None, "ShardMap", type])
def test_a_pickle_with_another_class(cls: Any) -> None:
    reconstruct, (_, shards), *_ = ShardMap({1: 1}).__reduce__()
    with pytest.raises((TypeError, AttributeError)):
        reconstruct(cls, shards)


def test_a_pickle_with_bad_entries() -> None:
    class Forged:
        def __init__(self, items: Any) -> None:
            self.items = items

        def __reduce__(self) -> Any:
            reconstruct, arguments, *_ = ShardMap().__reduce__()
            return reconstruct, arguments, None, None, iter(self.items)

    assert pickle.loads(pickle.dumps(Forged([(1, 2), (1, 3)]))) == {1: 3}
    with pytest.raises(TypeError):
        pickle.loads(pickle.dumps(Forged([([], 2)])))
    with pytest.raises(ValueError):
        pickle.loads(pickle.dumps(Forged([(1, MISSING)])))


def test_truncated_pickles() -> None:
    m = ShardMap({number: str(number) for number in range(20)}, shards=4)
    for protocol in (2, pickle.HIGHEST_PROTOCOL):
        data = pickle.dumps(m, protocol)
        for end in range(len(data)):
            with pytest.raises((EOFError, pickle.UnpicklingError, AttributeError)):
                pickle.loads(data[:end])
        assert pickle.loads(data) == m


def test_the_core_without_configuration() -> None:
    """What only forged code reaches must raise or work, never crash."""
    code = """
from shardmap._core import CoreMap
from shardmap import ShardMap
def tries():
    m = CoreMap()
    m[1] = 1
    yield lambda: m._check()
    yield lambda: CoreMap(1, 2, a=3)
    yield lambda: CoreMap.__new__(CoreMap, 5)._check()
    yield lambda: CoreMap.__init__(m)
    yield lambda: m._configure(4, 0, 0)
    yield lambda: ShardMap({1: 1})._configure(8, 1, 100)
    yield lambda: ShardMap({1: 1}).__init__({2: 2})
    yield lambda: ShardMap.__new__(ShardMap).__setstate__({"a": 1})
    yield lambda: type(iter(m)).__new__(type(iter(m)))
    yield lambda: list(type(iter(m)).__new__(type(iter(m))))
    yield lambda: next(type(iter(m)).__new__(type(iter(m))))
    yield lambda: type(iter(m)).__new__(type(iter(m))).__length_hint__()
    yield lambda: type(iter(m))()
    yield lambda: CoreMap.__getitem__({}, 1)
    yield lambda: CoreMap.get({}, 1)
    yield lambda: CoreMap.get(5, 1)
    yield lambda: CoreMap.snapshot(None)
    yield lambda: ShardMap._stress(m, 0, 1, True)
    yield lambda: ShardMap()._stress(13, 1, True)
    yield lambda: ShardMap()._stress(-1, 2**70, True)
    yield lambda: ShardMap({1: 1})._stress(2, 1, True)
    yield lambda: CoreMap._copy_into(m, None)
    yield lambda: CoreMap._copy_into(m, {})
    yield lambda: object.__reduce_ex__(m, 2)
    yield lambda: object.__reduce__(iter(m))
    yield lambda: delattr(m, "map")
    yield lambda: setattr(CoreMap, "get", 1)
    yield lambda: iter(m).__setstate__((1,))
done = 0
for step in tries():
    try:
        step()
    except Exception:
        pass
    done += 1
print("alive", done)
"""
    assert run_python_ok(code).startswith("alive")


def test_self_referencing_containers_are_compared_with_a_recursion_error() -> None:
    one: AnyMap = ShardMap()
    other: AnyMap = ShardMap()
    one["x"], other["x"] = other, one
    with pytest.raises(RecursionError):
        one == other
    assert one == one
    one.clear()
