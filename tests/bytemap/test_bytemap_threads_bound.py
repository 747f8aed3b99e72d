"""`max_memory` while eight threads write: it holds at every instant, whatever the sizes and the policy, and what a policy
promises is kept."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from byte_threads import assert_settled, check_value, key, value
from bytemaps import LONG, SHORT, AnyMap, outlive, policy, stressed
from concurrency import new_random, run_copies, scaled

from shardmap import ByteMap

THREADS = 8
ROUNDS = scaled(300)
KEYS = 2000
LIMIT = 1 << 20
POLICIES = ("noeviction", "allkeys-lru", "volatile-ttl")
#: What one thread writes: small, around the sizes from which a record is large, or many times as large.
SIZES: dict[str, tuple[int, ...]] = {
    "small": (0, 10, 50, 100, 200),
    "mixed": (0, 10, 100, 500, 1000, 3000, 20_000, 40_000),
    "large": (10_000, 40_000, 80_000, 130_000, 200_000),
}
MAPS: dict[str, Callable[[str], AnyMap]] = {
    "default": lambda eviction: ByteMap(max_memory=LIMIT, eviction=eviction),
    "one-shard": lambda eviction: ByteMap(max_memory=LIMIT, eviction=eviction, shards=1),
    "stressed": lambda eviction: stressed(2, shards=4, limit=LIMIT, eviction=eviction),
}


@pytest.mark.parametrize("variant", MAPS)
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("eviction", POLICIES)
def test_the_bound_holds_at_every_instant(eviction: str, sizes: str, variant: str) -> None:
    m = MAPS[variant](eviction)
    seed = new_random().randrange(1 << 32)
    empty = m.memory().reserved

    def look() -> None:
        for _ in range(50):
            assert m.stats()["reserved"] <= LIMIT

    def body(thread: int) -> int:
        choose = random.Random(seed + thread)
        # One of them writes what is small in any case.
        mine = SIZES["small" if thread == 0 else sizes]
        refused = 0
        views = []
        for _ in range(ROUNDS):
            number = choose.randrange(KEYS)
            try:
                # Under "volatile-ttl" nearly all have one.
                ttl = LONG if choose.random() < (0.95 if eviction == "volatile-ttl" else 0.1) else None
                m.set(key(number), value(number, choose.randrange(99), choose.choice(mine)), ttl=ttl)
            except MemoryError:
                refused += 1
                if choose.random() < 0.1:
                    m.delete_many(key(choose.randrange(KEYS)) for _ in range(50))
            found = m.get(key(number))
            if found is not None:
                check_value(number, found)
            if choose.random() < 0.02:
                views.append((number, m.get_view(key(number))))
            if len(views) > 3:
                former, view = views.pop(0)
                if view is not None:
                    check_value(former, view)
            assert m.memory().reserved <= LIMIT
        return refused

    refused = run_copies(body, THREADS, background=[look])
    if eviction == "allkeys-lru" and sizes == "small":
        assert sum(refused) == 0, "under allkeys-lru there is always something to evict"
    m._check()
    assert m.memory().reserved <= LIMIT
    if eviction == "noeviction":
        assert m.stats()["evicted"] == 0
    # What was taken is given back, to the last byte.
    m.clear()
    assert assert_settled(m) == {}
    assert m.memory().reserved == empty


@pytest.mark.parametrize("variant", MAPS)
def test_noeviction_loses_nothing(variant: str) -> None:
    """Each thread's writes are all there but for those that it was told are not."""
    m = MAPS[variant]("noeviction")

    def body(thread: int) -> dict[bytes, bytes]:
        mine: dict[bytes, bytes] = {}
        for round_ in range(ROUNDS):
            number = 10_000 * thread + round_ % 300
            one, new = key(number), value(number, round_, (round_ * 37) % 3000)
            try:
                m[one] = new
                mine[one] = new
            except MemoryError:
                assert m.get(one) == mine.get(one)
        return mine

    expected: dict[bytes, bytes] = {}
    for mine in run_copies(body, THREADS):
        expected.update(mine)
    assert assert_settled(m) == expected


def test_volatile_ttl_keeps_what_has_none() -> None:
    m = MAPS["stressed"]("volatile-ttl")
    permanent = {key(number): value(number, 0, 50) for number in range(200)}
    m.update(permanent)

    def body(thread: int) -> None:
        # Enough to fill the map, however short the run.
        for round_ in range(max(ROUNDS, 200)):
            number = 10_000 * (thread + 1) + round_
            try:
                m.set(key(number), value(number, 0, 1000), ttl=LONG)
            except MemoryError:
                pass

    run_copies(body, THREADS)
    assert m.stats()["evicted"] > 0
    entries = assert_settled(m)
    assert {one: entries[one] for one in permanent} == permanent


def test_the_bound_is_changed_while_threads_write() -> None:
    m = MAPS["default"]("allkeys-lru")
    limits = [LIMIT, 4 * LIMIT, 0, LIMIT // 2, 2 * LIMIT]

    def body(thread: int) -> None:
        for round_ in range(ROUNDS):
            number = round_ % 100
            m[key(number)] = value(number, round_, (round_ * 97) % 5000)
            check_value(number, m.get(key(number), b"0"))

    def change() -> None:
        for limit in limits:
            m._bound(limit, policy("allkeys-lru"))

    run_copies(body, 4, background=[change])
    assert_settled(m)


# -- one thread: where there is something to evict, a write finds room ------------------------------------------------


@pytest.mark.parametrize("shards", [1, 32])
def test_few_large_entries_in_large_tables(shards: int) -> None:
    """Tables that once had many entries, or were made for them, have few: these are found and evicted all the same."""
    m = ByteMap(max_memory="16mb", eviction="allkeys-lru", shards=shards, capacity=50_000)
    for number in range(200):
        m[key(number)] = bytes(400_000)
    assert_settled(m)


@pytest.mark.parametrize("size", [100, 33_000])
def test_one_entry_that_takes_the_room_of_many(size: int) -> None:
    m = ByteMap(max_memory="16mb", eviction="allkeys-lru", shards=32)
    for number in range(20_000_000 // (size + 60)):
        m[key(number)] = bytes(size)
    for megabytes in (1, 2, 4, 8):
        m[b"large"] = bytes(megabytes << 20)
        assert len(m[b"large"]) == megabytes << 20
    assert_settled(m)


def test_entries_with_a_time_to_live_are_found_among_many_without() -> None:
    m = ByteMap(max_memory="2mb", eviction="volatile-ttl", shards=1)
    for number in range(5):
        m.set(key(number), bytes(100), ttl=LONG)
    with pytest.raises(MemoryError):
        for number in range(5, 100_000):
            m[key(number)] = bytes(100)
    assert m.stats()["deadlines"] == 0


@pytest.mark.parametrize("eviction", ["noeviction", "volatile-ttl"])
def test_what_is_due_in_another_shard_makes_room(eviction: str) -> None:
    m = ByteMap(max_memory="1mb", eviction=eviction, shards=2)
    keys: list[list[bytes]] = [[], []]
    for number in range(20_000):
        keys[m.shard_of(key(number))].append(key(number))
    soon = keys[0][:4000]
    m.set_many(((one, bytes(100)) for one in soon), ttl=LONG)
    for one in soon:
        m.expire(one, SHORT)
    outlive()
    later = keys[1][:4000]
    for one in later:
        m[one] = bytes(100)
    assert all(one in m for one in later)
    assert m.stats()["expired"] > 0
    assert m.stats()["evicted"] == 0
    assert_settled(m)


@pytest.mark.parametrize("eviction", ["noeviction", "allkeys-lru"])
def test_a_write_whose_condition_fails_needs_no_room(eviction: str) -> None:
    m = ByteMap(max_memory="1mb", eviction=eviction, shards=1)
    m[b"key"] = b"value"
    try:
        for number in range(1500):
            m[key(number)] = bytes(500)
            m[b"key"]
    except MemoryError:
        pass
    before = m.snapshot()
    new = bytes(300_000)
    assert not m.insert(b"key", new)
    assert m.setdefault(b"key", new) == b"value"
    assert not m.replace(b"absent", new)
    assert not m.compare_and_set(b"key", b"other", new)
    assert m.snapshot() == before


def test_a_lower_bound_is_reached_by_writing() -> None:
    m = ByteMap(max_memory="8mb", eviction="allkeys-lru", shards=4)
    for number in range(60_000):
        m[key(number)] = bytes(100)
    m._bound(2 << 20, policy("allkeys-lru"))
    for number in range(60_000):
        m[key(number)] = bytes(100)
    assert m.memory().reserved <= 2 << 20
    assert_settled(m)
