"""Eviction at the bound: what goes, what stays, and that the bound holds meanwhile, in one thread."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from bytemaps import LONG, AnyMap, pass_away, stressed
from concurrency import new_random

from shardmap import ByteMap

LIMIT = 1 << 20
SETUPS: dict[str, Callable[[str], AnyMap]] = {
    "one-shard": lambda eviction: ByteMap(shards=1, max_memory=LIMIT, eviction=eviction),
    "few-shards": lambda eviction: ByteMap(shards=4, max_memory=LIMIT, eviction=eviction),
    "many-shards": lambda eviction: ByteMap(shards=16, max_memory=LIMIT, eviction=eviction),
    "least": lambda eviction: ByteMap(shards=1, max_memory=64 * 1024, eviction=eviction),
    "stressed": lambda eviction: stressed(2, shards=2, limit=256 * 1024, eviction=eviction),
}
SIZES: dict[str, Callable[[random.Random], int]] = {
    "equal": lambda rng: 100,
    "empty": lambda rng: 0,
    "mixed": lambda rng: int(rng.expovariate(1 / 150)),
    "large": lambda rng: 9_000,
    "all": lambda rng: int(2 ** rng.uniform(0, 14)),
}


@pytest.fixture(params=SETUPS)
def new(request: pytest.FixtureRequest) -> Iterator[Callable[[str], AnyMap]]:
    """``new(policy)``: an empty map with a small bound, which holds at the end and is sound."""
    made: list[AnyMap] = []

    def make(eviction: str) -> AnyMap:
        made.append(SETUPS[request.param](eviction))
        return made[-1]

    yield make
    for m in made:
        m._check()
        assert within_bound(m)
        assert m.stats()["kept"] == 0


def within_bound(m: AnyMap) -> bool:
    memory = m.memory()
    assert memory.reserved <= memory.max_memory, memory
    return True


# -- allkeys-lru ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SIZES)
def test_lru_takes_every_write(new: Callable[[str], AnyMap], kind: str) -> None:
    """What has just been written is there; whatever else is, has its last value."""
    m = new("allkeys-lru")
    rng = new_random()
    last: dict[bytes, bytes] = {}
    for step in range(12_000 if kind != "large" else 600):
        key, value = b"%d" % rng.randrange(20_000), rng.randbytes(SIZES[kind](rng))
        m[key] = last[key] = value
        assert m[key] == value
        assert within_bound(m)
        if step % 500 == 0:
            m._check()
    assert m.snapshot().items() <= last.items()
    if kind != "empty":
        assert m.stats()["evicted"] > 0


@pytest.mark.parametrize("shards", [1, 4, 16])
def test_lru_keeps_what_is_read(shards: int) -> None:
    """By sampling, so not every single one: nine of ten at least, where a random choice would keep hardly any."""
    reads: list[Callable[[AnyMap, bytes], Any]] = [
        lambda m, key: m.get(key),
        lambda m, key: m.get_many([key]),
        lambda m, key: m.get_view(key),
        lambda m, key: m.setdefault(key, bytes(100)),
        lambda m, key: m.replace(key, bytes(100)),
    ]
    for read in reads:
        m: Any = ByteMap(shards=shards, max_memory=LIMIT, eviction="allkeys-lru")
        hot = [b"hot %d" % number for number in range(m.memory().max_memory // 4000)]
        m.update((key, bytes(100)) for key in hot)
        turn = itertools.cycle(hot)
        writes = m.memory().max_memory // 30
        for number in range(writes):
            m[b"cold %d" % number] = bytes(100)
            read(m, next(turn))
        assert sum(key in m for key in hot) >= len(hot) * 9 // 10
        assert m.stats()["evicted"] > writes // 2


def test_lru_lets_go_what_was_not_used_for_long(new: Callable[[str], AnyMap]) -> None:
    m = new("allkeys-lru")
    count = m.memory().max_memory // 40
    for number in range(count):
        m[b"%d" % number] = bytes(100)
    present = [number for number in range(count) if b"%d" % number in m]
    newest = [number for number in present if number >= count - len(present)]
    assert len(newest) > len(present) * 3 // 4


def test_lru_writes_of_every_kind(new: Callable[[str], AnyMap]) -> None:
    m = new("allkeys-lru")
    big = bytes(m.memory().max_memory // 200)
    rng = new_random()
    for number in range(1500):
        key = b"%d" % rng.randrange(300)
        former = m.get(key)
        write = rng.randrange(8)
        if write == 0:
            assert m.swap(key, big) in (former, None)
        elif write == 1:
            # To make room for it the present one may have gone.
            assert m.insert(key, big) or former is not None
        elif write == 2:
            assert not m.replace(key, big, ttl=LONG) or former is not None
        elif write == 3:
            assert m.compare_and_set(key, former or b"", b"7" * 9) is (former is not None)
        elif write == 4 and former in (None, b"7" * 9):
            assert m.add(key) == int(former or 0) + 1
            m.swap(key, b"7" * 9)
        elif write == 5:
            assert not m.expire(key, LONG) or former is not None
        elif write == 6:
            m.setdefault(key, big)
        else:
            m.set(key, big, ttl=LONG)
        assert within_bound(m)
        if number % 250 == 0:
            m._check()
    assert m.stats()["evicted"] > 0


def test_lru_spares_what_somebody_looks_at(new: Callable[[str], AnyMap]) -> None:
    """It would free nothing."""
    m = new("allkeys-lru")
    m.update((b"seen %d" % number, b"%d" % number * 20) for number in range(40))
    views = {key: m.get_view(key) for key in list(m)}
    for number in range(m.memory().max_memory // 40):
        m[b"cold %d" % number] = bytes(100)
    for key, view in views.items():
        assert m[key] == view == key.removeprefix(b"seen ") * 20
    views.clear()
    del view
    assert within_bound(m)


def test_lru_when_views_keep_everything() -> None:
    """Then nothing can go, and the write is refused as without eviction."""
    m: Any = ByteMap(shards=1, max_memory=64 * 1024, eviction="allkeys-lru")
    views = []
    with pytest.raises(MemoryError, match="max_memory"):
        for number in range(10_000):
            m[b"%d" % number] = bytes(100)
            views.append(m.get_view(b"%d" % number))
    assert len(m) == len(views) > 100
    views.clear()
    for number in range(10_000):
        m[b"%d" % number] = bytes(100)
    m._check()


@pytest.mark.parametrize("setup", ["one-shard", "few-shards", "many-shards", "least"])
def test_lru_at_the_bound_from_large_to_small_and_back(setup: str) -> None:
    m = SETUPS[setup]("allkeys-lru")
    limit = m.memory().max_memory
    rng = new_random()
    number = 0
    for kind in ["large", "equal", "all", "large", "mixed", "empty", "equal", "large"]:
        written = 0
        while written < 2 * limit:
            value = rng.randbytes(SIZES[kind](rng))
            m[b"%d" % number] = value
            assert m[b"%d" % number] == value
            number += 1
            written += len(value) + 40
            assert within_bound(m)
        m._check()
        if kind not in ("empty", "all") and limit >= LIMIT:
            # What it was full of has made room, but for tables, which stay as large as they were once.
            assert m.memory().used > limit // 4, kind


@pytest.mark.parametrize("shards", [1, 4, 32])
@pytest.mark.parametrize("part", [64, 16, 4, 2])
def test_lru_one_large_value_among_small_ones(shards: int, part: int) -> None:
    """A value that takes a part of the bound, into a map full of small ones in all its shards."""
    limit = 4 << 20
    m: Any = ByteMap(shards=shards, max_memory=limit, eviction="allkeys-lru")
    for number in range(30_000):
        m[b"%d" % number] = bytes(150)
    value = new_random().randbytes(limit // part)
    for key in (b"a", b"b", b"c"):
        m[key] = value
        assert m[key] == value
        assert within_bound(m)
    m._check()
    # It takes what it needs and some more, not everything.
    assert part < 16 or len(m) > 10_000


@pytest.mark.parametrize("shards", [1, 4])
def test_lru_a_small_value_takes_the_room_of_one_large_one(shards: int) -> None:
    m = ByteMap(shards=shards, max_memory=16 << 20, eviction="allkeys-lru")
    for number in range(100):
        m[b"large %d" % number] = b"x" * (256 << 10)
    evictions = m.stats()["evicted"]
    for number in range(500):
        m[b"small %d" % number] = b"x" * 3000
        evicted = m.stats()["evicted"] - evictions
        assert evicted <= 2, number
        evictions += evicted


@pytest.mark.parametrize("shards", [1, 4, 16])
def test_lru_a_table_that_is_nearly_empty(shards: int) -> None:
    """Whatever is left in it can be found, and goes when its room is needed."""
    m: Any = ByteMap(shards=shards, max_memory=LIMIT, eviction="allkeys-lru")
    m.update((b"%d" % number, bytes(60)) for number in range(8000))
    m.delete_many(list(m))
    for part in (8, 4, 3, 2):
        for key in (b"a", b"b", b"c"):
            m[key] = bytes(LIMIT // part)
            assert key in m
            assert within_bound(m)
    m._check()


def test_too_large_for_the_bound_evicts_nothing(new: Callable[[str], AnyMap]) -> None:
    for eviction in ("allkeys-lru", "volatile-ttl"):
        m = new(eviction)
        m.set_many(((b"%d" % number, bytes(50)) for number in range(100)), ttl=LONG)
        for size in (m.memory().max_memory, m.memory().max_memory * 3):
            with pytest.raises(ValueError, match="however empty"):
                m[b"new"] = bytes(size)
        assert len(m) == 100
        assert m.stats()["evicted"] == 0


# -- volatile-ttl -----------------------------------------------------------------------------------------------------


def test_ttl_evicts_only_what_has_one(new: Callable[[str], AnyMap]) -> None:
    m = new("volatile-ttl")
    limit = m.memory().max_memory
    stays = {b"stays %d" % number: bytes(100) for number in range(limit // 500)}
    m.update(stays)
    for number in range(limit // 60):
        m.set(b"volatile %d" % number, bytes(100), ttl=LONG)
        assert within_bound(m)
    assert m.stats()["evicted"] > 0
    assert stays.items() <= m.snapshot().items()
    with pytest.raises(MemoryError, match="eviction policy"):
        for number in range(limit // 60):
            m[b"more %d" % number] = bytes(100)
            assert within_bound(m)
    assert stays.items() <= m.snapshot().items()


@pytest.mark.parametrize("shards", [1, 4, 16])
def test_ttl_the_nearest_deadline_first(shards: int) -> None:
    """Roughly, by sampling: of the half that ends later hardly any goes before the other half has."""
    m: Any = ByteMap(shards=shards, max_memory=LIMIT, eviction="volatile-ttl")
    rng = new_random()
    order = list(range(m.memory().max_memory // 300))
    rng.shuffle(order)
    for rank in order:
        m.set(b"%d" % rank, bytes(100), ttl=LONG + 10 * rank)
    assert m.stats()["evicted"] == 0
    number = 0
    while m.stats()["evicted"] < len(order) // 4:
        m.set(b"new %d" % number, bytes(100), ttl=10 * LONG + 10 * len(order))
        number += 1
    gone = [rank for rank in order if b"%d" % rank not in m]
    assert sum(rank < len(order) // 2 for rank in gone) > len(gone) * 4 // 5


def test_ttl_refuses_when_nothing_has_one(new: Callable[[str], AnyMap]) -> None:
    m = new("volatile-ttl")
    entries: dict[bytes, bytes] = {}
    with pytest.raises(MemoryError):
        for number in range(m.memory().max_memory // 10):
            m[b"%d" % number] = b"%d" % number * 10
            entries[b"%d" % number] = b"%d" % number * 10
    assert m == entries
    assert m.stats()["evicted"] == 0
    for key in list(entries)[: len(entries) // 2]:
        del m[key]
    m.set_many(((b"volatile %d" % number, bytes(50)) for number in range(len(entries))), ttl=LONG)
    m.persist(next(key for key in m if key.startswith(b"volatile")))


def test_ttl_in_another_shard() -> None:
    """The only entries that may go are not where the room is needed, and not in the largest shard."""
    m: Any = ByteMap(shards=4, max_memory=LIMIT, eviction="volatile-ttl")
    keys = {shard: [key for key in (b"%d" % n for n in range(60_000)) if m.shard_of(key) == shard] for shard in (0, 1)}
    m.set_many(((key, bytes(100)) for key in keys[0][:2500]), ttl=LONG)
    written = 0
    with pytest.raises(MemoryError):
        for key in keys[1]:
            m[key] = bytes(100)
            written += 1
    assert sum(m.ttl(key) is not None for key in m) < 100
    assert written > 5000
    assert set(keys[1][:written]) <= set(m)
    m._check()


def test_ttl_of_entries_that_are_few() -> None:
    """One of fifty: a sample has to look for them."""
    m: Any = ByteMap(shards=1, max_memory=LIMIT, eviction="volatile-ttl")
    for number in range(5500):
        m.set(b"%d" % number, bytes(100), ttl=LONG if number % 50 == 0 else None)
    with pytest.raises(MemoryError):
        for number in range(5000):
            m[b"more %d" % number] = bytes(100)
    assert m.stats()["evicted"] > 80


def test_persisted_entries_stay() -> None:
    m: Any = ByteMap(shards=1, max_memory=LIMIT, eviction="volatile-ttl")
    m.set_many(((b"%d" % number, bytes(100)) for number in range(1000)), ttl=LONG)
    for number in range(1000):
        assert m.persist(b"%d" % number)
    m.set_many(((b"volatile %d" % number, bytes(100)) for number in range(20_000)), ttl=LONG)
    assert all(b"%d" % number in m for number in range(1000))


@pytest.mark.parametrize("eviction", ["allkeys-lru", "volatile-ttl"])
def test_what_is_over_goes_first(eviction: str) -> None:
    m: Any = ByteMap(shards=1, max_memory=LIMIT, eviction=eviction)
    m.update((b"stays %d" % number, bytes(100)) for number in range(1500))
    m.set_many(((b"over %d" % number, bytes(100)) for number in range(4000)), ttl=LONG)
    pass_away(m, [b"over %d" % number for number in range(4000)])
    for number in range(3000):
        m.set(b"new %d" % number, bytes(100), ttl=LONG * 2)
    assert sum(b"stays %d" % number in m for number in range(1500)) > 1400
    assert sum(b"new %d" % number in m for number in range(3000)) > 2800
    m._check()


def test_a_policy_that_changes() -> None:
    m: Any = ByteMap(shards=1, max_memory=LIMIT)
    with pytest.raises(MemoryError):
        for number in range(20_000):
            m[b"%d" % number] = bytes(100)
    count = len(m)
    m._bound(LIMIT, 1)
    for number in range(1000):
        m.set(b"new %d" % number, bytes(100), ttl=LONG)
        assert b"new %d" % number in m
    assert len(m) > count * 8 // 10
    m._bound(LIMIT, 2)
    before = {key for key in m if m.ttl(key) is None}
    m.set_many(((b"volatile %d" % number, bytes(100)) for number in range(3000)), ttl=LONG)
    assert before <= set(m)
    m._bound(LIMIT, 0)
    before = set(m)
    with pytest.raises(MemoryError):
        m.update((b"more %d" % number, bytes(100)) for number in range(1000))
    assert before <= set(m)
    m._check()
