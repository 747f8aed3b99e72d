"""Growth in small steps: no key is ever out of reach, no stage breaks an invariant, and the hints do what they say."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest
from concurrency import scaled
from hostile import Key
from support import linux_only, run_python_ok

from shardmap import MISSING, ShardMap

# The tests misuse the map on purpose, so they ask for no types; `typing/` has samples that do.
AnyMap: TypeAlias = Any


def stressed(slots: int, load: int, always_grow: bool, shards: int = 1) -> AnyMap:
    m: AnyMap = ShardMap(shards=shards, hash_seed=7)
    m._stress(slots, load, always_grow)
    return m


MAPS: dict[str, Callable[[], AnyMap]] = {
    "default": lambda: ShardMap(hash_seed=7),
    "one-shard": lambda: ShardMap(shards=1, hash_seed=7),
    "one slot": lambda: stressed(1, 1, False),
    "one slot, crowded": lambda: stressed(1, 12, False),
    "two slots, always growing": lambda: stressed(2, 1, True),
    "all slots, always growing": lambda: stressed(12, 8, True),
    "always growing, 4 shards": lambda: stressed(3, 2, True, shards=4),
}


@pytest.fixture(params=MAPS)
def m(request: pytest.FixtureRequest) -> Iterator[AnyMap]:
    made = MAPS[request.param]()
    yield made
    made._check()


def all_ways_to_read(m: AnyMap, expected: dict[Any, Any]) -> None:
    m._check()
    assert len(m) == len(expected) == m.stats()["entries"]
    assert dict(m.items()) == dict(zip(m, m.values(), strict=True)) == m.snapshot() == expected
    keys = list(expected)
    assert m.get_many(keys, MISSING) == list(expected.values())
    m._forget()
    for key, value in expected.items():
        assert m[key] == m.get(key) == value
        assert key in m


def test_every_key_is_found_at_every_stage(m: AnyMap) -> None:
    """After each single insert, all keys are looked up: through any number of growths."""
    expected: dict[int, int] = {}
    growing = 0
    for number in range(400):
        m[number * 7919] = number
        expected[number * 7919] = number
        all_ways_to_read(m, expected)
        assert -number - 1 not in m
        growing += m.stats()["growing"] > 0
    # A move takes some writes, so the looks above were taken in the middle of many.
    assert growing > 5
    assert m.stats()["growths"] > 3 or len(expected) < 100


def test_writes_of_all_kinds_at_every_stage(m: AnyMap) -> None:
    """Old and new keys are overwritten, computed, deleted and put back while buckets are moving."""
    expected: dict[int, Any] = {}
    rng = random.Random(11)
    for number in range(600):
        key = rng.randrange(300)
        match number % 8:
            case 0 | 1 | 2:
                m[key] = expected[key] = number
            case 3:
                assert m.pop(key, None) == expected.pop(key, None)
            case 4:
                assert m.insert(key, number) == (key not in expected)
                expected.setdefault(key, number)
            case 5:
                expected[key] = expected.get(key, 0) + 1
                assert m.add(key, 1) == expected[key]
            case 6:
                m.compute(key, lambda old, number=number: number if old is MISSING else MISSING)
                if expected.pop(key, MISSING) is MISSING:
                    expected[key] = number
            case 7:
                assert m.replace(key, -number) == (key in expected)
                if key in expected:
                    expected[key] = -number
        m._check()
        if number % 5 == 0:
            all_ways_to_read(m, expected)
    all_ways_to_read(m, expected)


def test_from_nothing_to_many_and_back(m: AnyMap) -> None:
    count = scaled(100_000 if m.stats()["shards"] > 4 else 20_000)
    for number in range(count):
        m[number] = number
        if number % (count // 20) == 0:
            m._check()
            assert m.get_many(range(0, number + 1, 97)) == list(range(0, number + 1, 97))
            assert m.get_many(range(number + 1, number + 50)) == [None] * 49
    assert len(m) == count
    assert m.get_many(range(count)) == list(range(count))
    for number in range(count):
        del m[number]
        if number % (count // 20) == 0:
            m._check()
            assert m.get_many(range(0, number + 1, 97), MISSING) == [MISSING] * len(range(0, number + 1, 97))
            assert m.get_many(range(number + 1, count, 97)) == list(range(number + 1, count, 97))
    assert len(m) == 0
    assert list(m) == []


def test_deletes_during_growth(m: AnyMap) -> None:
    """Delete every key that has been there before the growth began, from both tables."""
    for size in (13, 50, 200, 700):
        m.clear()
        expected: dict[int, int] = {}
        number = 0
        while len(expected) < size or (m.stats()["growing"] == 0 and number < 5 * size):
            m[number] = expected[number] = number
            number += 1
        for key in list(expected)[:: 2 if size % 2 else 1]:
            assert m.pop(key) == expected.pop(key)
            m._check()
            if len(expected) % 16 == 0:
                assert dict(m.items()) == expected
        all_ways_to_read(m, expected)


def test_iterators_across_growths(m: AnyMap) -> None:
    """An iterator that was begun before a growth yields what stays, once."""
    m.update((number, number) for number in range(100))
    iterators = []
    for number in range(100, 500):
        if number % 20 == 0:
            iterator = iter(m.items())
            iterators.append((number, [next(iterator)], iterator))
        m[number] = number
        for _, seen, iterator in iterators[-3:]:
            seen.extend(item for item in [next(iterator, None)] if item is not None)
    for present, seen, iterator in iterators:
        seen.extend(iterator)
        keys = [key for key, _ in seen]
        assert len(keys) == len(set(keys))
        assert set(range(present)) <= set(keys)
        assert all(key == value for key, value in seen)


# -- the same size ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flood", [500, 1500, 4000])
def test_a_table_sheds_overflow_buckets_at_the_same_size(flood: int) -> None:
    """Keys that once collided leave long chains; when they have gone, deletes or later writes clean up."""
    m: AnyMap = ShardMap(shards=1, hash_seed=1)
    m.reserve(5000)
    buckets = m.stats()["buckets"]
    m.update((Key(("flood", number), 3), number) for number in range(flood))
    assert m.stats()["overflow_buckets"] >= flood // 12 - 1
    assert m.delete_many([Key(("flood", number), 3) for number in range(flood)]) == flood
    m._check()
    for number in range(4000):
        m[number] = number
        if number % 2:
            del m[number - 1]
        if number % 500 == 0:
            m._check()
    stats = m.stats()
    assert stats["buckets"] == buckets
    assert stats["overflow_buckets"] <= 20
    assert m.get_many(range(1, 4000, 2)) == list(range(1, 4000, 2))


def test_churn_does_not_grow_the_table() -> None:
    m: AnyMap = ShardMap(shards=2, hash_seed=1)
    size = 1000
    m.update((number, number) for number in range(size))
    before = m.stats()
    for number in range(size, 60 * size):
        m[number] = number
        del m[number - size]
        if number % (5 * size) == 0:
            m._check()
    after = m.stats()
    assert after["entries"] == size
    assert after["buckets"] <= 2 * before["buckets"]
    assert after["bytes"] <= 2 * before["bytes"]
    assert after["overflow_buckets"] <= after["buckets"]
    assert sorted(m) == list(range(59 * size, 60 * size))


def test_constant_growth_stays_at_the_size_that_the_entries_need() -> None:
    m = stressed(12, 9, True)
    for turn in range(20):
        m.update((number, turn) for number in range(500))
        m.delete_many(range(500))
        m._check()
    assert m.stats()["growths"] > 100
    assert m.stats()["buckets"] <= 256


# -- reserve and shrink -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shards", [1, 4, 32])
@pytest.mark.parametrize("count", [1, 12, 13, 100, 9999, 60_000])
@pytest.mark.parametrize("before", [0, 5, 500])
def test_reserve_spares_later_growths(shards: int, count: int, before: int) -> None:
    m: AnyMap = ShardMap(shards=shards, hash_seed=3)
    m.update((-number - 1, number) for number in range(before))
    m.reserve(before + count)
    m._check()
    stats = m.stats()
    assert stats["growing"] == 0
    m.update((number, number) for number in range(count))
    after = m.stats()
    assert after["growths"] == stats["growths"]
    assert after["buckets"] == stats["buckets"]
    assert after["growing"] == 0
    m._check()
    assert m.get_many(range(count)) == list(range(count))
    assert m.get_many(range(-before, 0)) == list(reversed(range(before)))


def test_reserving_less_than_there_is_changes_nothing() -> None:
    m: AnyMap = ShardMap({number: number for number in range(5000)}, shards=4)
    while m.stats()["growing"]:
        m[len(m)] = len(m)
    before = m.stats()
    for size in (0, 1, 100, 4000):
        m.reserve(size)
        assert m.stats()["buckets"] == before["buckets"]
    m._check()


def test_reserve_and_shrink_in_the_middle_of_a_growth(m: AnyMap) -> None:
    expected: dict[int, int] = {}
    for number in range(300):
        m[number] = expected[number] = number
        if number % 7 == 0:
            m.reserve(len(expected) + number % 50)
            all_ways_to_read(m, expected)
        if number % 11 == 0:
            m.shrink()
            all_ways_to_read(m, expected)
        if number % 3 == 0:
            m.pop(number // 2, None)
            expected.pop(number // 2, None)
    all_ways_to_read(m, expected)


def test_shrink_gives_memory_back() -> None:
    m: AnyMap = ShardMap(shards=8, hash_seed=1)
    empty: AnyMap = ShardMap(shards=8)
    empty[0] = 0
    m.update((number, number) for number in range(50_000))
    full = m.stats()["bytes"]
    m.delete_many(range(1000, 50_000))
    assert m.stats()["bytes"] > full / 2, "deleting alone gives nothing back"
    m.shrink()
    m._check()
    stats = m.stats()
    assert stats["bytes"] < full / 20
    assert stats["load"] > 0.3
    assert m.get_many(range(1000)) == list(range(1000))
    m.delete_many(range(1000))
    m.shrink()
    assert m.stats()["bytes"] <= empty.stats()["bytes"] + 200
    assert m.stats()["buckets"] <= 8
    m.update((number, number) for number in range(1000))
    m._check()


def test_clear_gives_memory_back() -> None:
    m: AnyMap = ShardMap(shards=8, hash_seed=1)
    m[0] = 0
    little = m.stats()["bytes"]
    m.update((number, number) for number in range(50_000))
    m.clear()
    stats = m.stats()
    assert stats["bytes"] <= little
    assert (stats["entries"], stats["buckets"], stats["overflow_buckets"], stats["shards_used"]) == (0, 0, 0, 0)
    m._check()


def test_a_copy_is_no_bigger_than_its_original() -> None:
    for count in (1, 100, 30_000):
        m: AnyMap = ShardMap({number: number for number in range(count)}, shards=8, hash_seed=1)
        duplicate = m.copy()
        duplicate._check()
        # Room for the unevenness of shards that are filled only now.
        assert duplicate.stats()["bytes"] <= 2 * m.stats()["bytes"] + 2000


# -- shards -----------------------------------------------------------------------------------------------------------


def test_shards_are_allocated_on_first_use() -> None:
    m: AnyMap = ShardMap(shards=64, hash_seed=1)
    assert m.stats()["shards_used"] == 0
    used: set[int] = set()
    for number in range(200):
        m[number] = number
        used.add(m.shard_of(number))
        assert m.stats()["shards_used"] == len(used)
    assert len(used) > 50


def test_stats_count_the_entries_of_each_shard() -> None:
    m: AnyMap = ShardMap(shards=4, hash_seed=1)
    per_shard = [0, 0, 0, 0]
    for number in range(500):
        m[number] = number
        per_shard[m.shard_of(number)] += 1
        stats = m.stats()
        assert (stats["shard_entries_min"], stats["shard_entries_max"]) == (min(per_shard), max(per_shard))
        assert stats["entries"] == number + 1
        assert abs(stats["load"] - (number + 1) / (12 * stats["buckets"])) < 1e-9


def test_load_stays_in_bounds() -> None:
    m: ShardMap[int, int] = ShardMap(shards=1, hash_seed=1)
    growths = 0
    for number in range(40_000):
        m[number] = number
        stats = m.stats() if number % 50 == 0 else None
        if stats is not None and number > 1000:
            assert 0.15 < stats["load"] <= 0.82
            assert stats["overflow_buckets"] <= 0.4 * stats["buckets"]
            assert stats["growths"] >= growths
            growths = stats["growths"]
    assert growths <= 25


# -- no memory --------------------------------------------------------------------------------------------------------

NO_MEMORY = """
import resource, sys
from shardmap import ShardMap, MISSING

kind = sys.argv[1]
keys = list(range(3_000_000))
m = ShardMap(shards=4, hash_seed=1)
m.set_many((key, key) for key in keys[:20_000])

def vm():
    return int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()

soft, hard = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (vm() + (6 << 20), hard))
stored = 20_000
failures = 0
try:
    while stored < len(keys):
        try:
            if kind == "set":
                while stored < len(keys):
                    m[keys[stored]] = keys[stored]
                    stored += 1
            elif kind == "insert":
                while stored < len(keys):
                    assert m.insert(keys[stored], keys[stored])
                    stored += 1
            elif kind == "compute":
                while stored < len(keys):
                    m.compute(keys[stored], lambda old: keys[stored])
                    stored += 1
            elif kind == "reserve":
                m.reserve(100_000_000)
                assert False, "no limit"
            elif kind == "copy":
                held = []
                while True:
                    held.append(m.copy())
            elif kind == "snapshot":
                held = []
                while True:
                    held.append(m.snapshot())
        except MemoryError:
            held = None
            failures += 1
            if failures == 3:
                break
finally:
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
held = None
assert failures == 3, failures
m._check()
assert len(m) == stored, (len(m), stored)
assert all(m[key] == key for key in keys[:stored])
assert m.stats()["reserved"] == 0
m.set_many((key, key) for key in keys[: stored + 50_000])
m._check()
assert m.delete_many(keys) == stored + 50_000
m._check()
print("sound")
"""


@linux_only
@pytest.mark.parametrize("kind", ["set", "insert", "compute", "reserve", "copy", "snapshot"])
def test_running_out_of_memory_loses_nothing(kind: str) -> None:
    """MemoryError in any of them leaves every entry in place and the map usable when there is memory again."""
    assert run_python_ok(NO_MEMORY, kind) == "sound\n"
