"""What a map dumps another map loads, whatever the two are like: shards, seeds, bounds, times to live, threads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from bytemaps import LONG, SHORT, VARIANTS, AnyMap, outlive, pairs
from concurrency import new_random, scaled
from snapshot_reader import read

from shardmap import ByteMap, open_snapshot, sweeper

ENTRIES = dict(pairs(2000)) | {b"": b"", b"large": bytes(range(256)) * 1000, b"\0" * 300: b"\xff"}

on_every_variant = pytest.mark.parametrize("make", VARIANTS.values(), ids=VARIANTS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "snapshot"


def assert_holds(path: Path, entries: dict[bytes, bytes]) -> None:
    """The file has these entries, for whoever looks into it."""
    with open_snapshot(path) as frozen:
        frozen.verify()
        assert len(frozen) == len(entries)
        assert dict(frozen.items()) == entries
        assert all(frozen[key] == value for key, value in entries.items())


# -- the same entries -------------------------------------------------------------------------------------------------


@on_every_variant
@pytest.mark.parametrize("threads", [None, 1, 2, 3, 8])
def test_round_trip(make: Callable[[], AnyMap], threads: int | None, m: AnyMap, path: Path) -> None:
    source = make()
    source.update(ENTRIES)
    assert source.dump(path, threads=threads) == len(ENTRIES)
    assert m.load(path, threads=threads) == len(ENTRIES)
    assert m == source == ENTRIES
    assert_holds(path, ENTRIES)
    m[b"one more"] = b"value"
    del m[b""]
    source._check()


@pytest.mark.parametrize("shards", [1, 2, 64, 4096])
@pytest.mark.parametrize("others", [1, 2, 64, 4096])
def test_other_shards_and_seeds(shards: int, others: int, path: Path) -> None:
    ByteMap(ENTRIES, shards=shards, hash_seed=1).dump(path)
    for seed in (1, 2):
        m = ByteMap(shards=others, hash_seed=seed)
        assert m.load(path) == len(ENTRIES)
        assert m == ENTRIES
        m._check()


@pytest.mark.parametrize(("shards", "others"), [(64, 2), (2, 64), (4096, 4)])
def test_threads_that_load_have_no_shard_in_common(shards: int, others: int, path: Path) -> None:
    """They take no locks for that."""
    entries = dict(pairs(scaled(30_000)))
    ByteMap(entries, shards=shards).dump(path)
    for _ in range(scaled(5)):
        m = ByteMap(shards=others)
        assert m.load(path, threads=8) == len(entries)
        assert m == entries
        m._check()


def test_many_entries_by_many_threads(path: Path) -> None:
    """Enough for the default to take several threads, and for several sections a shard."""
    entries = {b"key %d" % n: b"value %d" % n * 10 for n in range(24_000)}
    source = ByteMap(entries, shards=2)
    assert source.dump(path) == len(entries)
    assert len(read(path).sections) > 2
    m = ByteMap(shards=2)
    assert m.load(path) == len(entries)
    assert m == entries
    m._check()
    assert_holds(path, entries)


def test_nothing(m: AnyMap, path: Path) -> None:
    assert m.dump(path) == 0
    assert_holds(path, {})
    assert m.load(path) == 0
    m[b"key"] = b"value"
    assert m.load(path) == 0
    assert m == {b"key": b"value"}


def test_into_a_map_with_entries(m: AnyMap, path: Path) -> None:
    ByteMap({b"both": b"of the file", b"file": b"value", b"large": bytes(90_000)}).dump(path)
    m.update({b"both": b"of the map", b"map": b"value", b"large": bytes(50_000)})
    m.expire(b"both", LONG)
    view = m.get_view(b"both")
    assert m.load(path) == 3
    assert m == {b"both": b"of the file", b"file": b"value", b"map": b"value", b"large": bytes(90_000)}
    assert m.ttl(b"both") is None
    assert view == b"of the map"


def test_into_an_empty_map_whose_values_are_viewed(m: AnyMap, path: Path) -> None:
    """What a view keeps stays in its shard, which is not empty then."""
    ByteMap(ENTRIES).dump(path)
    m[b"key 1"] = b"before"
    view = m.get_view(b"key 1")
    m.clear()
    assert m.load(path) == len(ENTRIES)
    assert m == ENTRIES
    assert view == b"before"


def test_into_a_map_that_was_emptied(m: AnyMap, path: Path) -> None:
    ByteMap(ENTRIES).dump(path)
    for _ in range(3):
        m.update(pairs(100))
        m.clear()
        assert m.load(path) == len(ENTRIES)
        assert m == ENTRIES
        m._check()


def test_again_and_again(m: AnyMap, path: Path) -> None:
    rng = new_random()
    model: dict[bytes, bytes] = {}
    for _ in range(scaled(20)):
        for _ in range(rng.randrange(50)):
            key = b"%d" % rng.randrange(100)
            if rng.random() < 0.3:
                m.pop(key, None)
                model.pop(key, None)
            else:
                m[key] = model[key] = rng.randbytes(rng.choice([0, 1, 7, 8, 100, 40_000]))
        assert m.dump(path, threads=rng.randint(1, 3)) == len(model)
        if rng.random() < 0.5:
            m.clear()
        assert m.load(path, threads=rng.randint(1, 3)) == len(model)
        assert m == model


# -- times to live ----------------------------------------------------------------------------------------------------


def test_times_to_live_go_on(m: AnyMap, path: Path) -> None:
    source = ByteMap({b"for ever": b"value"})
    for number in range(50):
        source.set(b"key %d" % number, b"value" * number * 200, LONG + number)
    assert source.dump(path) == 51
    assert m.load(path) == 51
    assert m.ttl(b"for ever") is None
    for number in range(50):
        assert LONG + number - 100 < m.ttl(b"key %d" % number) <= LONG + number + 0.1
    assert m.stats()["deadlines"] == 50
    m.persist(b"key 3")
    m.update({b"key 4": b"value"})
    assert m.stats()["deadlines"] == 48


def test_what_is_over_is_not_dumped(path: Path) -> None:
    source = ByteMap(pairs(10))
    for key, value in pairs(20)[10:]:
        source.set(key, value, SHORT)
    outlive()
    assert source.dump(path) == 10
    assert_holds(path, dict(pairs(10)))


def test_a_map_that_loads_times_to_live_is_swept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[bool] = []
    monkeypatch.setattr(sweeper, "start", lambda: started.append(True))
    source = ByteMap()
    source.set(b"key", b"value", LONG)
    source.dump(path)
    started.clear()
    ByteMap().load(path)
    assert started
    started.clear()
    ByteMap({b"other": b"value"}).load(path)
    assert started


# -- bounds -----------------------------------------------------------------------------------------------------------

#: Some 8 MB in a map.
MANY = [(b"key %d" % n, b"value %d" % n * 20) for n in range(40_000)]


@pytest.fixture
def large(path: Path) -> Path:
    ByteMap(MANY, shards=8).dump(path)
    return path


@pytest.mark.parametrize("threads", [1, 3])
def test_a_bound_that_is_large_enough(threads: int, large: Path) -> None:
    for eviction in ("noeviction", "allkeys-lru", "volatile-ttl"):
        m = ByteMap(max_memory="24mb", eviction=eviction)
        assert m.load(large, threads=threads) == len(MANY)
        assert m == dict(MANY)
        assert m.memory().reserved <= 24 << 20
        m._check()


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("shards", [2, 8, 32])
def test_a_bound_without_eviction(threads: int, shards: int, large: Path) -> None:
    """Nothing is loaded into an empty map, and its memory is given back."""
    m = ByteMap(max_memory="4mb", shards=shards)
    before = m.memory().reserved
    with pytest.raises(MemoryError, match="max_memory=4194304"):
        m.load(large, threads=threads)
    assert len(m) == 0
    m._check()
    assert m.memory().reserved == before
    m.update(pairs(1000))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("shards", [2, 8, 32])
def test_a_bound_with_eviction(threads: int, shards: int, large: Path) -> None:
    """The map is full of entries of the file then; and it was no larger than its bound on the way."""
    m = ByteMap(max_memory="4mb", eviction="allkeys-lru", shards=shards)
    m.load(large, threads=threads)
    m._check()
    entries = dict(MANY)
    assert all(entries[key] == value for key, value in m.items())
    memory = m.memory()
    assert memory.reserved <= 4 << 20
    assert memory.content > 1 << 20
    m.update(pairs(1000))
    m._check()


def test_a_bound_with_eviction_of_what_has_a_time_to_live(path: Path) -> None:
    """What lives until it is removed is there, or the error says that there was no room."""
    source = ByteMap(MANY[:5000], shards=8)
    for key, value in MANY[5000:]:
        source.set(key, value, LONG)
    source.dump(path)
    m = ByteMap(max_memory="4mb", eviction="volatile-ttl", shards=8)
    try:
        m.load(path)
    except MemoryError:
        pass
    else:
        assert all(m[key] == value for key, value in MANY[:5000])
    m._check()
    entries = dict(MANY)
    assert all(entries[key] == value for key, value in m.items())
    assert m.memory().reserved <= 4 << 20


def test_a_bounded_map_with_an_entry_takes_what_an_empty_one_takes(large: Path) -> None:
    for eviction in ("noeviction", "allkeys-lru", "volatile-ttl"):
        m = ByteMap({b"present": b"value"}, max_memory="12mb", eviction=eviction, shards=8)
        assert m.load(large) == len(MANY)
        assert m == {**dict(MANY), b"present": b"value"}
        m._check()


def test_loading_twice_needs_no_more_room(large: Path) -> None:
    m = ByteMap(max_memory="12mb", shards=8)
    for _ in range(3):
        assert m.load(large) == len(MANY)
    assert m == dict(MANY)


@pytest.mark.parametrize("eviction", ["noeviction", "allkeys-lru"])
def test_an_entry_larger_than_the_bound(eviction: str, path: Path) -> None:
    ByteMap({b"small": b"value", b"large": bytes(3 << 20)}).dump(path)
    m = ByteMap(max_memory="2mb", eviction=eviction)
    with pytest.raises((MemoryError, ValueError), match="max_memory"):
        m.load(path)
    m._check()
