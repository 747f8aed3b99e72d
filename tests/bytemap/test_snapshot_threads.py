"""Dumps while others write, loads while others read.

Entries that nobody touches are in every dump, with their values; of the others each is one that was in the map: values
name their key, and have a checksum. Writers make tables grow, shrink and move meanwhile. A load into an empty map is
seen as a whole or not at all.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from bytemaps import LONG, VARIANTS, AnyMap, pairs, stressed
from concurrency import THREADS, new_random, run_copies, run_threads, scaled
from snapshot_reader import read
from support import run_python_ok

from shardmap import ByteMap, open_snapshot

on_every_variant = pytest.mark.parametrize("make", VARIANTS.values(), ids=VARIANTS)

#: Entries that nobody touches while dumps are made, some of them large.
STEADY = dict(pairs(400)) | {b"large %d" % n: bytes([n]) * 40_000 for n in range(3)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "snapshot"


def written_value(key: bytes, number: int, size: int) -> bytes:
    """A value that could be no other key's, nor part of two."""
    body = b"%b:%d:" % (key, number) + b"." * size
    return body + b"%08x" % zlib.crc32(body)


def assert_written(key: bytes, value: bytes) -> None:
    assert value.startswith(key + b":")
    assert int(value[-8:], 16) == zlib.crc32(value[:-8])


def assert_dump(path: Path, number: int) -> None:
    """Every check that a file of a busy map allows."""
    found = read(path)
    entries = found.entries
    assert number == sum(map(len, found.records)) == len(entries)
    for key, value in STEADY.items():
        assert entries.pop(key) == (value, None)
    for key, (value, _) in entries.items():
        assert_written(key, value)
    m = ByteMap(shards=2)
    # An entry with a time to live lives long.
    assert m.load(path) == number
    m._check()


def write_some(m: AnyMap, rng: random.Random, count: int) -> None:
    """Writes of all kinds to a few hundred keys, of growing and shrinking number."""
    for number in range(count):
        key = b"busy %d" % rng.randrange(rng.choice([20, 500]))
        value = written_value(key, number, rng.choice([0, 1, 30, 200, 200, 40_000]))
        match rng.randrange(8):
            case 0 | 1:
                m.pop(key, None)
            case 2:
                m.set(key, value, LONG)
            case 3:
                m.expire(key, LONG)
            case 4:
                m.insert(key, value)
            case _:
                m[key] = value


@on_every_variant
@pytest.mark.parametrize("threads", [1, 3])
def test_dumps_while_others_write(make: Callable[[], AnyMap], threads: int, path: Path) -> None:
    m = make()
    m.update(STEADY)
    rng = new_random()
    seeds = [rng.getrandbits(32) for _ in range(THREADS)]
    dumps = 0

    def dump() -> None:
        nonlocal dumps
        assert_dump(path, m.dump(path, threads=threads))
        dumps += 1

    def resize() -> None:
        m.shrink()
        m.reserve(5000)

    run_copies(lambda i: write_some(m, random.Random(seeds[i]), scaled(800)), background=[dump, resize])
    assert dumps
    m._check()
    assert m.stats()["kept"] == 0


@pytest.mark.parametrize("slots", [1, 2, 12])
def test_dumps_while_tables_move_and_shrink(slots: int, path: Path) -> None:
    """One shard whose table moves between few buckets and many: a walk goes on in the middle of one."""
    m = stressed(slots)
    steady = {b"key %d" % n: written_value(b"key %d" % n, 0, 3) for n in range(300)}
    m.update(steady)
    busy = [b"busy %d" % n for n in range(3000)]

    def swell() -> None:
        for _ in range(scaled(4)):
            for key in busy:
                m[key] = written_value(key, 1, 3)
            m.delete_many(busy)
            m.shrink()

    def dump() -> None:
        number = m.dump(path)
        with open_snapshot(path) as frozen:
            frozen.verify()
            assert len(frozen) == number == len(list(frozen))
            for key, value in frozen.items():
                assert_written(key, value)
            assert all(frozen[key] == value for key, value in steady.items())

    run_threads([swell], [dump])
    dump()
    m._check()


def test_a_dump_while_the_map_is_cleared_and_filled(path: Path) -> None:
    """Each shard is emptied at some time of the dump: nothing is there to be relied on, but all of it is whole."""
    m = ByteMap(shards=4)

    def fill() -> None:
        for number in range(scaled(30)):
            m.update((key, written_value(key, number, 50)) for key, _ in pairs(300))
            m.clear()

    def dump() -> None:
        m.dump(path, threads=2)
        for key, (value, _) in read(path).entries.items():
            assert_written(key, value)

    run_threads([fill], [dump, dump_nothing(path)])
    m._check()


def dump_nothing(path: Path) -> Callable[[], None]:
    """Dumps of an empty map beside it: threads of two dumps never mix their files."""
    empty, other = ByteMap(), path.with_name("empty")

    def dump() -> None:
        assert empty.dump(other, threads=2) == 0
        assert read(other).entries == {}

    return dump


# -- loads ------------------------------------------------------------------------------------------------------------


@on_every_variant
def test_an_empty_map_gets_all_at_one_instant(make: Callable[[], AnyMap], path: Path) -> None:
    entries = dict(pairs(1000))
    ByteMap(entries, shards=8).dump(path)
    keys = list(entries)
    rng = new_random()

    for _ in range(scaled(5)):
        m = make()

        def load(m: AnyMap = m) -> None:
            assert m.load(path, threads=2) == 1000

        def look(m: AnyMap = m) -> None:
            some = rng.sample(keys, 20)
            if any(key in m for key in some[:10]):
                assert all(m.get(key) == entries[key] for key in some)
            assert m.snapshot() in ({}, entries)

        run_threads([load], [look, look])
        assert m == entries
        m._check()


@on_every_variant
def test_a_map_with_entries_gets_one_after_the_other(make: Callable[[], AnyMap], path: Path) -> None:
    """Readers see the former value or the file's; entries that are not in the file are always there."""
    m = make()
    former = {key: b"former " + value for key, value in pairs(500)}
    entries = dict(pairs(1000)[250:])
    ByteMap(entries).dump(path)
    m.update(former)

    def load() -> None:
        for _ in range(scaled(5)):
            assert m.load(path, threads=2) == 750

    def look() -> None:
        for key, value in pairs(250):
            assert m[key] == b"former " + value
        for key, value in pairs(500)[250:]:
            assert m[key] in (value, b"former " + value)
        for key, value in pairs(1000)[500:]:
            assert m.get(key) in (value, None)

    run_threads([load], [look, look])
    assert m == {**former, **entries}
    m._check()


def test_loads_while_others_write(path: Path) -> None:
    """What writers set stays, unless the file has the key; of those either is there."""
    ByteMap(pairs(500)).dump(path)
    for _ in range(scaled(5)):
        m = ByteMap(shards=4)

        def write(i: int, m: AnyMap = m) -> None:
            for number in range(200):
                m[b"own %d of %d" % (number, i)] = b"%d" % number
                m[b"key %d" % number] = b"mine"

        def load(m: AnyMap = m) -> None:
            assert m.load(path) == 500

        run_threads([load, load, lambda: write(0), lambda: write(1)])
        assert len(m) == 900
        for number in range(200):
            for i in range(2):
                assert m[b"own %d of %d" % (number, i)] == b"%d" % number
            assert m[b"key %d" % number] in (b"mine", b"value %d" % number)
        for key, value in pairs(500)[200:]:
            assert m[key] == value
        m._check()


def test_loads_and_dumps_of_one_map(path: Path) -> None:
    """Everything at once: files that are replaced while they are read, a map that is dumped while it loads."""
    ByteMap(STEADY).dump(path)
    m = ByteMap(STEADY, shards=4)

    def dump(i: int) -> None:
        own = path.with_name(f"snapshot {i}")
        for _ in range(scaled(5)):
            assert m.dump(own, threads=2) >= len(STEADY)
            assert m.load(own) >= len(STEADY)
            assert m.load(path) == len(STEADY)
            m[b"more %d" % i] = b"value"

    run_copies(dump, 3)
    assert m == {**STEADY, **{b"more %d" % i: b"value" for i in range(3)}}
    m._check()


LOADED_AND_CLEARED = """
import sys, threading
from shardmap import ByteMap

path, loads = sys.argv[1], int(sys.argv[2])
# With the default of 5 ms each load may wait twice as long for the writers to give the GIL away.
sys.setswitchinterval(1e-4)
entries = {b"a": b"1", b"b": b"2", b"c": b"3"}
ByteMap(entries).dump(path)
m = ByteMap(shards=1)
ended = threading.Event()

def write(own):
    while not ended.is_set():
        for _ in range(100):
            m[own] = b"value"
            m.get(b"a")
            m.pop(own, None)

threads = [threading.Thread(target=write, args=(b"own %d" % i,)) for i in range(2)]
for thread in threads:
    thread.start()
for _ in range(loads):
    m.clear()
    assert m.load(path) == 3
ended.set()
for thread in threads:
    thread.join()
assert m.snapshot() == entries, m.snapshot()
m._check()
"""


def test_a_map_is_locked_while_it_gets_all(path: Path) -> None:
    """Writers come at the very moment; in a child, since two of them in one shard end the process."""
    run_python_ok(LOADED_AND_CLEARED, str(path), str(scaled(5_000)))
