"""Dumps are what docs/snapshot-format.md says, to the last byte.

`snapshot_reader`, which knows only that document, reads what `ByteMap.dump` writes, for maps of all kinds, and checks
all that the document promises: sums, ranges, the order of hashes, the index. `snapshot_writer` makes the same bytes
again, and files of its own, which `ByteMap.load` and `open_snapshot` take. One file is kept here as text, so that a
change of the format does not go unnoticed when reader and writer change with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bytemaps import LONG, SHORT, AnyMap, outlive, pairs, stressed
from snapshot_hashes import hash_of, shard_of, siphash13, xxh64
from snapshot_reader import Snapshot, WrongFileError, read
from snapshot_writer import SIP, assembled, section, written

from shardmap import ByteMap, fnv1a_64, open_snapshot, snapshot
from shardmap._core import _siphash, _xxh64

#: Bytes of records from which on a section is finished.
SECTION = 1 << 20


def dumped(m: AnyMap, path: Path, threads: int = 1) -> Snapshot:
    """The map's dump as the reader sees it."""
    number = m.dump(path, threads=threads)
    found = read(path)
    assert sum(map(len, found.records)) == number
    return found


def filled(entries: list[tuple[bytes, bytes]], **options: Any) -> AnyMap:
    return ByteMap(entries, hash_seed=7, **options)


def with_times_to_live() -> AnyMap:
    m = ByteMap(pairs(30), shards=4, hash_seed=7)
    for key, value in pairs(60)[20:]:
        m.set(key, value, LONG)
    m.set(b"gone", b"value", SHORT)
    m.set(b"persistent", b"value", LONG)
    m.persist(b"persistent")
    outlive()
    return m


def large_with_time_to_live() -> AnyMap:
    m = ByteMap(shards=1, hash_seed=7)
    m.set(b"key", bytes(50_000), LONG)
    return m


def on_the_move() -> AnyMap:
    m = stressed(2, shards=4)
    m.update(pairs(500))
    m.delete_many(key for key, _ in pairs(300))
    return m


#: Maps of all kinds.
MAPS: dict[str, Callable[[], AnyMap]] = {
    "empty": ByteMap,
    "one entry": lambda: filled([(b"key", b"value")]),
    "empty key and value": lambda: filled([(b"", b"")]),
    "empty keys or values": lambda: filled([(b"", b"value"), (b"key", b"")]),
    "keys of all lengths": lambda: filled([(bytes(range(n)), bytes(range(n, 2 * n))) for n in range(90)]),
    "large values": lambda: filled([(b"%d" % n, bytes([n]) * n * 5_000) for n in range(20)], shards=2),
    "large keys": lambda: filled([(bytes([n]) * n * 10_000, b"%d" % n) for n in range(10)], shards=2),
    "times to live": with_times_to_live,
    "a large value with a time to live": large_with_time_to_live,
    "one shard": lambda: filled(pairs(3000), shards=1),
    "more shards than entries": lambda: filled(pairs(50), shards=1024),
    "a growing table": on_the_move,
    "a table to grow into": lambda: filled(pairs(10), shards=1, capacity=10_000),
}


@pytest.fixture(params=MAPS)
def some(request: pytest.FixtureRequest) -> AnyMap:
    """A map of each kind."""
    return MAPS[request.param]()


# -- the hash functions, without which nothing here means anything ----------------------------------------------------


def test_xxh64() -> None:
    # From the specification's and other implementations' tests.
    assert xxh64(b"") == 0xEF46DB3751D8E999
    assert xxh64(b"abc") == 0x44BC2CF5AD770999
    assert xxh64(b"xxhash") == 0x32DD38952C4BC720
    for size in (*range(130), 1000, 4096):
        data = bytes(7 * i & 0xFF for i in range(size))
        assert _xxh64(data) == xxh64(data)


def test_siphash() -> None:
    for size in range(70):
        data = bytes(7 * i & 0xFF for i in range(size))
        assert _siphash(data, *SIP) == siphash13(data, *SIP)


def test_shards() -> None:
    m = ByteMap(shards=65536)
    for key, _ in pairs(100):
        assert m.shard_of(key) == shard_of(key, 65536)
        h = fnv1a_64(key)
        h ^= h >> 32
        assert shard_of(key, 65536) == (h ^ h >> 16) & 0xFFFF


# -- what dump writes -------------------------------------------------------------------------------------------------


def test_the_reader_finds_what_the_map_has(some: AnyMap, tmp_path: Path) -> None:
    found = dumped(some, tmp_path / "snapshot")
    assert {key: value for key, (value, _) in found.entries.items()} == some.snapshot()
    assert found.shards == some._shards
    now = time.time()
    assert abs(found.created / 1000 - now) < 100
    for key, (_, deadline) in found.entries.items():
        left = some.ttl(key)
        assert (left is None) == (deadline is None)
        if left is not None and deadline is not None:
            assert abs(deadline / 1000 - now - left) < 100


def test_the_writer_makes_the_same_file(some: AnyMap, tmp_path: Path) -> None:
    found = dumped(some, tmp_path / "snapshot")
    entries = [(key, *rest) for key, rest in found.entries.items()]
    same = written(entries, shards=found.shards, sip=found.sip, created=found.created)
    assert same == (tmp_path / "snapshot").read_bytes()


def test_the_seed_is_the_same_in_the_file(tmp_path: Path) -> None:
    first = dumped(ByteMap(pairs(3), hash_seed=1), tmp_path / "snapshot")
    assert dumped(ByteMap(hash_seed=1), tmp_path / "snapshot").sip == first.sip
    assert dumped(ByteMap(hash_seed=2), tmp_path / "snapshot").sip != first.sip


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_shard_of_several_sections(threads: int, tmp_path: Path) -> None:
    m = filled([(b"key %d" % n, b"v" * 400) for n in range(9000)], shards=2)
    found = dumped(m, tmp_path / "snapshot", threads)
    assert {key: value for key, (value, _) in found.entries.items()} == m.snapshot()
    for shard in range(2):
        sections = [each for each in found.sections if each.shard == shard]
        assert len(sections) == 2
        assert sections[0].first == 0
        assert sections[-1].end == 1 << 32
        assert all(each.size >= SECTION for each in sections[:-1])


def test_large_values_do_not_make_large_sections(tmp_path: Path) -> None:
    """Whoever writes or reads a section has it in memory as a whole: it is no longer than its last record makes it."""
    m = filled([(b"%d" % n, b"v" * SECTION) for n in range(8)], shards=1)
    found = dumped(m, tmp_path / "snapshot")
    assert max(each.size for each in found.sections) < 2 * SECTION + 1000


def test_the_time_is_that_of_the_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = []

    def in_threads(run: Callable[[], None], threads: int) -> None:
        ends.append(time.time())
        while time.time() < ends[0] + 0.01:
            pass
        run()

    monkeypatch.setattr(snapshot, "_in_threads", in_threads)
    begun = time.time()
    found = dumped(filled(pairs(3)), tmp_path / "snapshot")
    # Two clocks that are read one after the other, each in whole milliseconds.
    assert begun - 0.002 <= found.created / 1000 <= ends[0] + 0.002


# -- what load takes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shards", [1, 4, 64])
def test_a_file_from_elsewhere(shards: int, tmp_path: Path) -> None:
    entries = dict(pairs(200)) | {b"": b"", b"large": bytes(100_000)}
    path = tmp_path / "snapshot"
    path.write_bytes(written(entries, shards=shards))
    for m in (ByteMap(), ByteMap(shards=4), stressed(1)):
        assert m.load(path) == len(entries)
        assert m == entries
        m._check()
    with open_snapshot(path) as frozen:
        frozen.verify()
        assert frozen == entries
        assert frozen.created == 1_700_000_000.0


def test_other_sections_and_indexes_than_dump_makes(tmp_path: Path) -> None:
    """A writer may cut sections where it likes, lay them in any order, and make any number of slots."""
    entries = [(key, value, None) for key, value in pairs(300)]
    middle = 1 << 31
    low = [entry for entry in entries if hash_of(entry[0], SIP) < middle]
    high = [entry for entry in entries if hash_of(entry[0], SIP) >= middle]
    parts = [section(low, hashes=(0, middle)), section(high, hashes=(middle, 1 << 32))]
    path = tmp_path / "snapshot"
    for file in (assembled(parts), assembled([section(entries, slots=1)]), assembled([section(entries, slots=5000)])):
        path.write_bytes(file)
        read(path)
        m = ByteMap()
        assert m.load(path) == 300
        assert m == dict(pairs(300))
        with open_snapshot(path) as frozen:
            frozen.verify()
            assert all(frozen[key] == value for key, value in pairs(300))
            assert b"absent" not in frozen


# -- version 1, for ever ----------------------------------------------------------------------------------------------

#: Three entries and one with a deadline in the year 2255, in two shards.
GOLDEN = bytes.fromhex(
    "53484152444d41500100000040000000000102030405060708090a0b0c0d0e0f0068e5cf8b0100000200000000000000"
    "0000000000000000d6daa40ec1d4cabb0b00000016000000616e6f74686572206b6579612076616c7565207468617420"
    "6973206c6f6e6765720000000000000005000080050000000090cd792f0800006c6174657276616c7565000000000000"
    "0000000000000000000000000000000003000000050000006b657976616c756500000000000000004000000000000000"
    "500000000000000002000000000000000000000001000000000000000000000000000000010000006649f2177ba36c80"
    "000000000000000098000000000000001800000000000000020000000000000001000000010000000000000000000000"
    "00000000010000004d87659a8b8c626a0000000000000000b80000000000000002000000000000000400000000000000"
    "7801000000000000bab7c6413b89986a5348415244454e44000000000000000051f54cc6935c4cc2"
)
GOLDEN_ENTRIES = [
    (b"", b"", None),
    (b"key", b"value", None),
    (b"another key", b"a value that is longer", None),
    (b"later", b"value", 9_000_000_000_000),
]


def test_version_1_is_what_it_was(tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    path.write_bytes(GOLDEN)
    assert written(GOLDEN_ENTRIES, shards=2) == GOLDEN
    assert read(path).entries == {key: (value, deadline) for key, value, deadline in GOLDEN_ENTRIES}
    m = ByteMap()
    assert m.load(path) == 4
    assert m == {key: value for key, value, _ in GOLDEN_ENTRIES}
    assert m.ttl(b"later") is not None
    with open_snapshot(path) as frozen:
        frozen.verify()
        assert frozen == m


# -- the reader itself ------------------------------------------------------------------------------------------------


def test_the_reader_refuses_every_wrong_bit(tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    right = written([(b"later", b"v", 1 << 43)])
    for bit in range(8 * len(right)):
        wrong = bytearray(right)
        wrong[bit // 8] ^= 1 << bit % 8
        path.write_bytes(wrong)
        with pytest.raises(WrongFileError):
            read(path)
