"""Files that are cut off, broken, or wrong on purpose: an error that says so, never a crash and never a part of a file.

A small file is cut off at every byte, and has every bit turned over; `snapshot_hostile` has files with right checksums
and wrong numbers. After each refusal the map must be as it was. A child process with little memory to spare reads the
hostile files too: whatever they claim, nobody may believe it and ask for memory.
"""

from __future__ import annotations

import contextlib
import pickle
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bytemaps import LONG, AnyMap, outlive
from concurrency import new_random, scaled
from snapshot_hostile import DOUBLE, KEYS, MISLEADING, REFUSED, many_times
from snapshot_writer import Part, assembled, section, written
from support import linux_only, run_python_ok

from shardmap import ByteMap, FrozenByteMap, SnapshotError, open_snapshot, snapshot
from shardmap._core import Loader

#: What the small file has: in four shards, with and without a deadline.
ENTRIES = [(b"", b"", None), (b"key", b"value", None), (b"later", b"", 1 << 43), (b"another", bytes(20), None)]
SMALL = written(ENTRIES, shards=4)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "snapshot"


@pytest.fixture
def target() -> Iterator[AnyMap]:
    """A map with entries, which is the same after the test."""
    m = ByteMap({b"present": b"before", b"key": b"another value", b"large": bytes(50_000)}, shards=2)
    m.set(b"short", b"value", LONG)
    before = m.snapshot()
    yield m
    m._check()
    assert m == before
    assert m.stats()["deadlines"] == 1
    assert m.stats()["kept"] == 0


def assert_refused(path: Path, m: AnyMap, threads: int = 1) -> SnapshotError:
    """`load` refuses the file, for a map with entries and for an empty one. The error."""
    empty = ByteMap(shards=4)
    with pytest.raises(SnapshotError):
        empty.load(path, threads=threads)
    assert len(empty) == 0
    empty._check()
    with pytest.raises(SnapshotError) as caught:
        m.load(path, threads=threads)
    error = caught.value
    assert error.path == str(path)
    assert 0 <= error.offset <= path.stat().st_size
    assert str(error) == f"{path}: at byte {error.offset}: {error.reason}"
    return error


def assert_frozen_refused(path: Path) -> None:
    """Opening refuses the file, or else verifying does; in between look-ups do not crash."""
    with pytest.raises(SnapshotError), contextlib.closing(open_snapshot(path)) as frozen:
        use(frozen)
        frozen.verify()


def use(frozen: FrozenByteMap) -> None:
    """Ask for everything; it may be wrong or an error, but one that says so."""
    for key in (*KEYS, b"", b"key", b"absent"):
        with contextlib.suppress(SnapshotError):
            frozen.get(key)
            frozen.get_view(key)
            key in frozen
    with contextlib.suppress(SnapshotError):
        list(frozen)
    with contextlib.suppress(SnapshotError):
        list(frozen.items())


# -- broken by accident -----------------------------------------------------------------------------------------------


def test_the_small_file_is_right(path: Path) -> None:
    path.write_bytes(SMALL)
    m = ByteMap()
    assert m.load(path) == len(ENTRIES)
    with open_snapshot(path) as frozen:
        frozen.verify()
        assert frozen == m == {key: value for key, value, _ in ENTRIES}


def test_cut_off_at_every_byte(path: Path, target: AnyMap) -> None:
    for size in range(len(SMALL)):
        path.write_bytes(SMALL[:size])
        assert_refused(path, target)
        with pytest.raises(SnapshotError):
            open_snapshot(path)


def test_the_start_is_missing(path: Path, target: AnyMap) -> None:
    for size in range(1, len(SMALL)):
        path.write_bytes(SMALL[size:])
        assert_refused(path, target)
        with pytest.raises(SnapshotError):
            open_snapshot(path)


def test_more_behind_the_end(path: Path, target: AnyMap) -> None:
    for more in (b"\0", bytes(8), bytes(64), SMALL[-64:], SMALL):
        path.write_bytes(SMALL + more)
        assert_refused(path, target)
        with pytest.raises(SnapshotError):
            open_snapshot(path)


def test_every_bit_turned_over(path: Path, target: AnyMap) -> None:
    entries = {key: value for key, value, _ in ENTRIES}
    for bit in range(8 * len(SMALL)):
        wrong = bytearray(SMALL)
        wrong[bit // 8] ^= 1 << bit % 8
        path.write_bytes(wrong)
        error = assert_refused(path, target)
        assert error.reason
        with pytest.raises(SnapshotError), contextlib.closing(open_snapshot(path)) as frozen:
            for key, value in entries.items():
                # The section's checksum comes first: the right value, or an error.
                with contextlib.suppress(SnapshotError):
                    assert frozen[key] == value
            frozen.verify()


def test_pieces_overwritten(path: Path, target: AnyMap) -> None:
    rng = new_random()
    for _ in range(scaled(300)):
        wrong = bytearray(SMALL)
        start = rng.randrange(len(wrong))
        size = min(rng.choice([1, 2, 4, 8, 64, 200]), len(wrong) - start)
        wrong[start : start + size] = rng.choice([bytes(size), b"\xff" * size, rng.randbytes(size)])
        if wrong == SMALL:
            continue
        path.write_bytes(wrong)
        assert_refused(path, target, rng.choice([1, 3]))
        assert_frozen_refused(path)


def test_nothing_and_something_else(path: Path, target: AnyMap) -> None:
    for content in (
        b"",
        b"SHARDMAP",
        bytes(128),
        bytes(10_000),
        b"\xff" * 128,
        b"SHARDMAP" * 100,
        pickle.dumps({1: 2}),
    ):
        path.write_bytes(content)
        assert_refused(path, target)
        with pytest.raises(SnapshotError):
            open_snapshot(path)


def test_one_section_of_many_is_broken(path: Path, target: AnyMap) -> None:
    """Whichever section it is, and however many threads have loaded others meanwhile."""
    m = ByteMap(((b"key %d" % n, b"value" * 40) for n in range(10_000)), shards=8)
    m.dump(path)
    whole = path.read_bytes()
    rng = new_random()
    for threads in (1, 2, 4, 8):
        for _ in range(scaled(5)):
            wrong = bytearray(whole)
            wrong[rng.randrange(64, len(wrong) - 64 * 9)] ^= 1 << rng.randrange(8)
            path.write_bytes(wrong)
            error = assert_refused(path, target, threads)
            assert error.reason == "a section's checksum is wrong"
            assert_frozen_refused(path)


# -- wrong on purpose -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, path: Path, target: AnyMap) -> None:
    path.write_bytes(REFUSED[name])
    for threads in (1, 3):
        assert_refused(path, target, threads)


@pytest.mark.parametrize("name", REFUSED)
def test_refused_when_opened_or_verified(name: str, path: Path) -> None:
    path.write_bytes(REFUSED[name])
    assert_frozen_refused(path)


@pytest.mark.parametrize("name", DOUBLE)
def test_a_key_twice(name: str, path: Path) -> None:
    path.write_bytes(DOUBLE[name])
    m = ByteMap()
    for threads in (1, 3):
        with pytest.raises(SnapshotError, match="twice"):
            m.load(path, threads=threads)
        assert len(m) == 0
        m._check()
    with contextlib.closing(open_snapshot(path)) as frozen:
        use(frozen)
        with pytest.raises(SnapshotError, match="twice"):
            list(frozen)


@pytest.mark.parametrize("name", MISLEADING)
def test_misleading(name: str, path: Path) -> None:
    path.write_bytes(MISLEADING[name])
    with contextlib.closing(open_snapshot(path)) as frozen:
        use(frozen)
        with pytest.raises(SnapshotError):
            frozen.verify()
    m = ByteMap()
    with contextlib.suppress(SnapshotError):
        assert m.load(path) == len(m)
    m._check()


def test_random_numbers_with_right_checksums(path: Path, target: AnyMap) -> None:
    """Numbers of descriptors and trailer, replaced by others that are near, far, or mean something elsewhere."""
    rng = new_random()
    right = section([(key, b"value", None) for key in KEYS])
    for _ in range(scaled(500)):
        file = assembled([wild_part(rng, right)], **wild_numbers(rng))
        path.write_bytes(file)
        m = ByteMap(shards=1)
        try:
            loaded = m.load(path)
        except SnapshotError:
            assert len(m) == 0
        else:
            assert loaded == len(m)
        m._check()
        with contextlib.suppress(SnapshotError):
            use(open_snapshot(path))


def wild(rng: random.Random) -> int:
    """A number that may be interesting, of 64 bits."""
    base = rng.choice([0, 8, 64, 128, 1 << 31, 1 << 32, 1 << 63, 1 << 64, rng.getrandbits(64), rng.getrandbits(10)])
    return (base + rng.choice([0, 0, 1, -1, 8, -8, 64, -64])) & ((1 << 64) - 1)


def wild_part(rng: random.Random, right: Part) -> Part:
    def sometimes(number: int | None, bits: int = 64) -> int | None:
        return wild(rng) & ((1 << bits) - 1) if rng.random() < 0.15 else number

    # Record heads within, too: the checksum is right for what is there.
    records = bytearray(right.records)
    for _ in range(rng.choice([0, 0, 1, 3])):
        at = rng.randrange(0, len(records), 4)
        records[at : at + 4] = (wild(rng) & 0xFFFFFFFF).to_bytes(4, "little")
    first, end = right.hashes
    return Part(
        bytes(records),
        right.index,
        sometimes(right.entries) or 0,
        (sometimes(0, 32) or 0) & 3,
        (sometimes(first) or 0, sometimes(end) or 0),
        sometimes(None, 32),
        sometimes(None),
        sometimes(None),
    )


def wild_numbers(rng: random.Random) -> dict[str, Any]:
    names = ("directory", "sections", "entries", "size")
    return {name: wild(rng) if rng.random() < 0.1 else None for name in names}


# -- deadlines --------------------------------------------------------------------------------------------------------


def test_deadlines_in_the_past(path: Path) -> None:
    """1970 is the past, however early in it; nobody ever sees what ended then."""
    past = [0, 1, 1000, int(time.time() * 1000) - 1]
    path.write_bytes(written([(b"%d" % deadline, b"value", deadline) for deadline in past] + [(b"here", b"", None)]))
    m = ByteMap({b"present": b""})
    assert m.load(path) == 1
    assert m == {b"present": b"", b"here": b""}
    with open_snapshot(path) as frozen:
        frozen.verify()
        assert list(frozen) == [b"here"]
        assert dict(frozen.items()) == {b"here": b""}
        assert frozen.get(b"0") is None
        assert b"1" not in frozen
        assert len(frozen) == 5


@pytest.mark.parametrize("deadline", [1 << 43, 1 << 60, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_deadlines_far_away(deadline: int, path: Path) -> None:
    """As good as none; and whatever a map does with an entry that has a time to live, it does with this one."""
    path.write_bytes(written([(b"key", b"value", deadline), (b"large", bytes(50_000), deadline)]))
    m = ByteMap()
    assert m.load(path) == 2
    left = m.ttl(b"key")
    assert left is None or left > 1e8
    assert m.copy() == m == pickle.loads(pickle.dumps(m))
    assert m.dump(path) == 2
    again = ByteMap({b"other": b""})
    assert again.load(path) == 2
    assert again.snapshot() == {**m.snapshot(), b"other": b""}
    assert again.persist(b"key") == (left is not None)
    with open_snapshot(path) as frozen:
        assert frozen == m


def test_deadlines_that_pass(path: Path) -> None:
    soon = int(time.time() * 1000) + 30
    path.write_bytes(written([(b"soon", b"value", soon), (b"here", b"value", None)]))
    m = ByteMap()
    m.load(path)
    with open_snapshot(path) as frozen:
        while time.time() * 1000 <= soon + 2:
            outlive()
        assert dict(frozen.items()) == m == {b"here": b"value"}


# -- memory and time --------------------------------------------------------------------------------------------------

CHILD = """
import resource, sys, time
sys.path.insert(0, sys.argv[1])
from snapshot_hostile import KEYS, MISLEADING, REFUSED
from shardmap import ByteMap, SnapshotError, open_snapshot

files = dict(REFUSED)
files["many"] = open(sys.argv[2], "rb").read()
for m in (ByteMap(shards=1), ByteMap(shards=1)):
    m.update({key: b"value" for key in KEYS})
    m.dump(sys.argv[3])
    m.clear()
    m.load(sys.argv[3])
with open_snapshot(sys.argv[3]) as frozen:
    list(frozen)
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (64 << 20),) * 2)
for name, file in files.items():
    with open(sys.argv[3], "wb") as output:
        output.write(file)
    m = ByteMap(shards=1)
    for use in (lambda: m.load(sys.argv[3], threads=1), lambda: list(open_snapshot(sys.argv[3]))):
        try:
            use()
        except SnapshotError:
            continue
        except MemoryError:
            print(name, "asks for much memory")
"""


@linux_only
def test_whatever_a_file_claims_memory_is_bounded(path: Path, tmp_path: Path) -> None:
    """Files of some KiB, read with 64 MiB to spare."""
    claims = tmp_path / "claims"
    # 100 KiB that claim 2,500,000 records.
    claims.write_bytes(many_times(2500, 1000))
    assert run_python_ok(CHILD, str(Path(__file__).parent), str(claims), str(path)) == ""


GUARDED = """
import ctypes, mmap, sys
sys.path[:0] = sys.argv[1:]
from snapshot_hostile import DOUBLE, KEYS, MISLEADING, REFUSED
from snapshot_target import Opened
from snapshot_writer import written
from shardmap import SnapshotError

room = 16 * mmap.PAGESIZE
memory = mmap.mmap(-1, room + mmap.PAGESIZE)
start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(start + room), ctypes.c_size_t(mmap.PAGESIZE), 0) == 0

def use(frozen):
    yield from (lambda key=key: frozen.get(key) for key in [*KEYS, b"", b"key"])
    yield frozen.verify
    yield lambda: list(frozen.items())

small = written({b"": b"", b"key": b"value"})
files = [*REFUSED.values(), *DOUBLE.values(), *MISLEADING.values(), small]
files += [small[:size] for size in range(len(small))]
for file in files:
    memory[room - len(file) : room] = file
    try:
        frozen = Opened(memoryview(memory)[room - len(file) : room])
    except SnapshotError:
        continue
    for ask in use(frozen):
        try:
            ask()
        except SnapshotError:
            pass
"""


@linux_only
def test_nothing_is_read_behind_a_file() -> None:
    """There is memory that nobody may read; a mapped file would go on to the end of its page."""
    here = Path(__file__).parent
    run_python_ok(GUARDED, str(here), str(here.parent / "fuzz"))


def test_a_file_that_gets_shorter(path: Path) -> None:
    """The size is asked for once; what is missing then is damage."""
    path.write_bytes(SMALL)
    with path.open("rb") as file:
        for size in (len(SMALL) + 1, len(SMALL) + 8, 2 * len(SMALL), 1 << 40):
            with pytest.raises(SnapshotError):
                Loader(ByteMap(), file.fileno(), size, str(path))


def test_a_file_that_gets_shorter_while_it_is_loaded(
    path: Path, monkeypatch: pytest.MonkeyPatch, target: AnyMap
) -> None:
    path.write_bytes(SMALL)

    def cut(run: Callable[[], None], threads: int) -> None:
        with path.open("r+b") as file:
            file.truncate(80)
        run()

    monkeypatch.setattr(snapshot, "_in_threads", cut)
    with pytest.raises(SnapshotError):
        target.load(path)


# -- after a failure --------------------------------------------------------------------------------------------------


def test_a_map_that_was_not_opened(path: Path) -> None:
    """Who goes on after the constructor has failed gets an error, for everything."""
    for file in (REFUSED["21 entries in all"], REFUSED["hashes not in order"], b""):
        path.write_bytes(file)
        frozen = FrozenByteMap.__new__(FrozenByteMap)
        with pytest.raises(SnapshotError):
            frozen.__init__(path)  # type: ignore[misc]
        for ask in (frozen.get, frozen.get_view, frozen.__contains__, frozen.__getitem__):
            with pytest.raises(ValueError):
                ask(KEYS[0])
        with pytest.raises(ValueError):
            list(frozen)
        with pytest.raises(ValueError):
            frozen.verify()
        frozen.close()


def test_the_next_file_loads(path: Path) -> None:
    path.write_bytes(SMALL[:-1])
    m = ByteMap()
    for _ in range(3):
        with pytest.raises(SnapshotError):
            m.load(path)
    path.write_bytes(SMALL)
    assert m.load(path) == len(ENTRIES)
