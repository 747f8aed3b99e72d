"""The very same key objects again and again: what a thread has kept of them is never older than the map.

A thread recalls key objects that it has used: where their entry is, which value they had. So here each key is one
object, looked up before and after every kind of change, also in several maps at once.
"""

# Scenarios are tuples of calls whose results nobody looks at.
# mypy: disable-error-code="func-returns-value"

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest
from bytemaps import LONG, VARIANTS, AnyMap, outlive, pairs, pass_away
from concurrency import new_random, scaled

from shardmap import ByteMap

KEY = b"the key"


def look_up(m: AnyMap, key: bytes) -> set[Any]:
    """What all the ways to read one key find, twice, so that what the first ones recall the second ones use."""
    found = []
    for _ in range(2):
        found += [m.get(key), m[key] if key in m else None, m.get(key, None), m.get_many([key])[0]]  # noqa: SIM401
        assert (key in m) == (found[-1] is not None) == (m.get_view(key) is not None)
    return set(found)


CHANGES: dict[str, tuple[Callable[[AnyMap], Any], Any]] = {
    "[]=": (lambda m: m.__setitem__(KEY, b"2"), b"2"),
    "[]= twice": (lambda m: (m.__setitem__(KEY, b"3"), m.__setitem__(KEY, b"2")), b"2"),
    "[]= another size": (lambda m: m.__setitem__(KEY, b"2" * 100), b"2" * 100),
    "[]= empty": (lambda m: m.__setitem__(KEY, b""), b""),
    "[]= large": (lambda m: m.__setitem__(KEY, b"2" * 40_000), b"2" * 40_000),
    "[]= by an equal key": (lambda m: m.__setitem__(bytearray(KEY), b"2"), b"2"),
    "set": (lambda m: m.set(KEY, b"2"), b"2"),
    "set with a time to live": (lambda m: m.set(KEY, b"2", ttl=LONG), b"2"),
    "replace": (lambda m: m.replace(KEY, b"2"), b"2"),
    "swap": (lambda m: m.swap(KEY, b"2"), b"2"),
    "compare_and_set": (lambda m: m.compare_and_set(KEY, b"1", b"2"), b"2"),
    "add": (lambda m: m.add(KEY), b"2"),
    "count": (lambda m: m.count([KEY]), b"2"),
    "update": (lambda m: m.update({KEY: b"2"}), b"2"),
    "expire": (lambda m: m.expire(KEY, LONG), b"1"),
    "expire and persist": (lambda m: (m.expire(KEY, LONG), m.persist(KEY)), b"1"),
    "the end of its time": (lambda m: pass_away(m, [KEY]), None),
    "set to be over soon": (lambda m: (m.set(KEY, b"2", ttl=0.001), m.get(KEY), outlive()), None),
    "set, then expire": (lambda m: (m.set(KEY, b"2"), look_up(m, KEY), pass_away(m, [KEY])), None),
    "del": (lambda m: m.__delitem__(KEY), None),
    "pop": (lambda m: m.pop(KEY), None),
    "pop and insert": (lambda m: (m.pop(KEY), m.insert(KEY, b"2")), b"2"),
    "popitem": (lambda m: [m.popitem() for _ in range(len(m))], None),
    "compare_and_delete": (lambda m: m.compare_and_delete(KEY, b"1"), None),
    "delete_many": (lambda m: m.delete_many([KEY]), None),
    "retain": (lambda m: m.retain(lambda key, value: False), None),
    "clear": (lambda m: m.clear(), None),
    "clear and set": (lambda m: (m.clear(), m.__setitem__(KEY, b"2")), b"2"),
    "clear and fill": (lambda m: (m.clear(), m.update(pairs(50))), None),
    "growth": (lambda m: m.update(pairs(3000)), b"1"),
    "growth and shrink": (lambda m: (m.update(pairs(3000)), m.delete_many(dict(pairs(3000))), m.shrink()), b"1"),
    "delete and reuse": (lambda m: (m.pop(KEY), m.update((b"x%d" % n, b"y") for n in range(50))), None),
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_shows(m: AnyMap, name: str) -> None:
    change, expected = CHANGES[name]
    for recalled_by in (
        lambda: m.get(KEY),
        lambda: m[KEY],
        lambda: KEY in m,
        lambda: m.__setitem__(KEY, b"1"),
        lambda: look_up(m, KEY),
        lambda: None,
    ):
        m.clear()
        m.update(pairs(10))
        m[KEY] = b"1"
        recalled_by()
        change(m)
        assert look_up(m, KEY) == {expected}
        m[KEY] = b"9"
        assert look_up(m, KEY) == {b"9"}
        m._check()


def test_one_key_in_many_maps() -> None:
    maps: list[AnyMap] = [make() for make in VARIANTS.values() for _ in range(3)]
    for number, m in enumerate(maps):
        m[KEY] = b"%d" % number
    for _ in range(3):
        for number, m in enumerate(maps):
            assert m[KEY] == m.get(KEY) == b"%d" % number
    for number, m in enumerate(maps):
        copied = m.copy()
        m[KEY] = b"changed"
        assert (m[KEY], copied[KEY]) == (b"changed", b"%d" % number)
        del m[KEY]
        assert KEY not in m
        assert KEY in copied


def test_a_new_map_in_the_place_of_one_that_died() -> None:
    """Where it lies in memory says nothing."""
    for number in range(200):
        m: Any = ByteMap(shards=1)
        assert m.get(KEY) is None
        assert KEY not in m
        m[KEY] = b"%d" % number
        assert m[KEY] == b"%d" % number
        del m
    gc.collect()


def test_what_is_read_stays_as_it_was() -> None:
    """An object that reading gave is the caller's: overwriting in place does not reach it."""
    for make in VARIANTS.values():
        m = make()
        m[KEY] = b"first"
        found = [m[KEY], m.get(KEY), m[KEY]]
        m[KEY] = b"other"
        m.add(b"counter")
        assert found == [b"first"] * 3
        assert m[KEY] == b"other"


def test_values_that_were_given_are_copied() -> None:
    m: Any = ByteMap()
    for size in (0, 1, 5, 511, 512, 513, 5000):
        value = bytearray(size)
        m[KEY] = value
        for octet in range(1, 4):
            value[:] = bytes([octet]) * size
            assert m[KEY] == bytes(size)


def test_random_changes_of_a_few_keys() -> None:
    """In several maps by turns, with few key objects, many changes, and a look after each."""
    rng = new_random()
    keys = [b"%d" % number for number in range(30)]
    states: list[tuple[AnyMap, dict[bytes, bytes]]] = [(make(), {}) for make in VARIANTS.values()]
    writes: list[Callable[[AnyMap, dict[bytes, bytes], bytes, bytes], Any]] = [
        lambda m, d, k, v: (m.__setitem__(k, v), d.__setitem__(k, v)),
        lambda m, d, k, v: (m.__setitem__(k, v), d.__setitem__(k, v)),
        lambda m, d, k, v: (m.set(k, v, ttl=LONG), d.__setitem__(k, v)),
        lambda m, d, k, v: (m.pop(k, None), d.pop(k, None)),
        lambda m, d, k, v: (m.swap(k, v), d.__setitem__(k, v)),
        lambda m, d, k, v: (m.insert(k, v), d.setdefault(k, v)),
        lambda m, d, k, v: (m.expire(k, LONG), m.persist(k)),
        lambda m, d, k, v: (m.clear(), d.clear()) if v == b"v0" else None,
        lambda m, d, k, v: m.update(dict.fromkeys(map(bytes, range(40)), b"")) if v == b"v1" else None,
        lambda m, d, k, v: [m.pop(bytes(n), None) for n in range(40)] if v == b"v2" else None,
    ]
    for _ in range(scaled(4000)):
        m, expected = rng.choice(states)
        rng.choice(writes)(m, expected, rng.choice(keys), b"v%d" % rng.randrange(12))
        key = rng.choice(keys)
        for each, entries in states:
            assert each.get(key) == entries.get(key)
            assert (key in each) == (key in entries)
            if key in entries:
                assert each[key] == entries[key]
    for m, expected in states:
        m._check()
        assert {key: m[key] for key in keys if key in m} == expected
