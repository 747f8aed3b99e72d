"""Where dumps go: paths of all kinds, permissions, other dumps, and everything that the system can refuse.

Whatever fails: the file that was at the path is as it was, no temporary file is left, and the next dump works.
"""

from __future__ import annotations

import errno
import gc
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bytemaps import AnyMap, pairs
from concurrency import THREADS, run_copies, scaled
from support import linux_only, run_python_ok

from shardmap import ByteMap, open_snapshot, snapshot
from shardmap._core import Dumper


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "snapshot"


@pytest.fixture
def old(path: Path) -> Iterator[Path]:
    """A file at the path that is the same after the test, with nothing beside it."""
    ByteMap({b"old": b"value"}).dump(path)
    before = path.read_bytes()
    yield path
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def some() -> AnyMap:
    return ByteMap(pairs(100))


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# -- paths ------------------------------------------------------------------------------------------------------------


class Named:
    """A path object of somebody else's."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)


@pytest.mark.parametrize("kind", [str, Path, Named])
def test_paths(kind: Callable[[Path], Any], path: Path) -> None:
    m = some()
    assert m.dump(kind(path)) == 100
    assert ByteMap().load(kind(path)) == 100
    with open_snapshot(kind(path)) as frozen:
        assert frozen.path == str(path)
        assert frozen == m
    assert os.listdir(path.parent) == ["snapshot"]


@pytest.mark.parametrize("name", ["snapshot", "./snapshot", "ümläut \udcff", "a b\nc", "." + "x" * 200])
def test_names(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    m = some()
    for _ in range(2):
        assert m.dump(name) == 100
        assert ByteMap().load(name) == 100
        with open_snapshot(name) as frozen:
            assert len(frozen) == 100
    assert len(os.listdir(tmp_path)) == 1


@pytest.mark.parametrize("path", [None, 3, 2.5, [], object()])
def test_no_paths(path: Any) -> None:
    m = some()
    for use in (m.dump, m.load, open_snapshot):
        with pytest.raises(TypeError):
            use(path)
        with pytest.raises(ValueError, match="null"):
            use("a\0b")


@pytest.mark.parametrize("threads", [0, -1, "2", 2.5])
def test_numbers_of_threads(threads: Any, path: Path) -> None:
    m = some()
    with pytest.raises((TypeError, ValueError)):
        m.dump(path, threads=threads)
    assert os.listdir(path.parent) == []
    m.dump(path)
    with pytest.raises((TypeError, ValueError)):
        m.load(path, threads=threads)
    assert m.dump(path, threads=5) == m.load(path, threads=5) == 100


def test_a_symbolic_link_stays_one(path: Path, tmp_path: Path) -> None:
    """The file that it leads to is replaced; another file system would not have been crossed otherwise."""
    (tmp_path / "elsewhere").mkdir()
    real = tmp_path / "elsewhere" / "real"
    path.symlink_to(real)
    for _ in range(2):
        assert some().dump(path) == 100
        assert path.is_symlink()
        assert ByteMap().load(real) == 100
    assert sorted(os.listdir(tmp_path)) == ["elsewhere", "snapshot"]
    assert os.listdir(real.parent) == ["real"]


def test_the_working_directory_may_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path means what it meant when the dump began."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    monkeypatch.chdir(tmp_path / "a")

    def in_threads(run: Callable[[], None], threads: int) -> None:
        monkeypatch.chdir(tmp_path / "b")
        run()

    monkeypatch.setattr(snapshot, "_in_threads", in_threads)
    some().dump("snapshot")
    assert os.listdir(tmp_path / "a") == ["snapshot"]
    assert os.listdir(tmp_path / "b") == []


# -- what the system refuses ------------------------------------------------------------------------------------------


def test_nothing_is_there(path: Path) -> None:
    m = some()
    for use in (m.load, open_snapshot):
        with pytest.raises(FileNotFoundError):
            use(path)
    with pytest.raises(FileNotFoundError):
        m.dump(path / "below")
    assert os.listdir(path.parent) == []
    assert m == dict(pairs(100))


def test_a_directory_is_there(path: Path) -> None:
    m = some()
    path.mkdir()
    (path / "within").write_bytes(b"")
    for target in (path, f"{path}/"):
        for use in (m.load, open_snapshot, m.dump):
            with pytest.raises(OSError):
                use(target)
    assert os.listdir(path.parent) == ["snapshot"]
    assert os.listdir(path) == ["within"]


def test_a_file_is_where_a_directory_should_be(old: Path) -> None:
    m = some()
    for use in (m.load, open_snapshot, m.dump):
        with pytest.raises(NotADirectoryError):
            use(old / "below")


def test_a_device_is_there(path: Path) -> None:
    """It is not replaced by a file; nor is it a snapshot."""
    os.mkfifo(path)
    with pytest.raises(OSError):
        some().dump(path)
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert os.listdir(path.parent) == ["snapshot"]
    for use in (ByteMap().load, open_snapshot):
        with pytest.raises(ValueError, match="shorter"):
            use("/dev/null")


@linux_only
def test_no_space() -> None:
    for shards, entries in ((1, 0), (4, 100)):
        with open("/dev/full", "r+b", buffering=0) as full:
            dumper = Dumper(ByteMap(pairs(entries), shards=shards), full.fileno())
            dumper.run()
            with pytest.raises(OSError) as caught:
                dumper.finish()
            assert caught.value.errno == errno.ENOSPC


def test_a_file_that_cannot_be_written() -> None:
    with open(os.devnull, "rb", buffering=0) as file:
        dumper = Dumper(some(), file.fileno())
        dumper.run()
        with pytest.raises(OSError) as caught:
            dumper.finish()
        assert caught.value.errno == errno.EBADF


FULL = """
import errno, os, resource, sys
from shardmap import ByteMap

path = sys.argv[1]
m = ByteMap((b"key %d" % n, b"value" * 100) for n in range(20_000))
unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
# The header is written last, the directory before: the limit is met by sections, by the directory, by the trailer.
for limit in (0, 63, 1 << 20, 5_000_000, whole_size - 64, whole_size - 1):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, unlimited[1]))
    for threads in (1, 4):
        try:
            m.dump(path, threads=threads)
        except OSError as error:
            assert error.errno == errno.EFBIG, error
        else:
            raise AssertionError("no error")
        assert os.listdir(os.path.dirname(path)) == ["snapshot"]
    resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert ByteMap().load(path) == 1
assert m.dump(path) == 20_000
assert ByteMap().load(path) == 20_000
"""


def test_no_space_on_the_way(path: Path) -> None:
    """A limit of the file's size stands for a full disk: what is met first differs, what stays does not."""
    m = ByteMap((b"key %d" % n, b"value" * 100) for n in range(20_000))
    m.dump(path)
    size = path.stat().st_size
    ByteMap({b"old": b"value"}).dump(path)
    run_python_ok(f"whole_size = {size}\n" + FULL, str(path))


@pytest.mark.parametrize("call", ["fsync", "replace", "ftruncate"])
def test_a_call_fails(call: str, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*args: Any) -> None:
        raise OSError(errno.EIO, "input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(f"shardmap.snapshot.os.{call}", failing)
        with pytest.raises(OSError, match="input/output"):
            some().dump(old)
    copy = old.read_bytes()
    assert some().dump(old) == 100
    old.write_bytes(copy)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_interrupted(error: type[BaseException], old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(run: Callable[[], None], threads: int) -> None:
        run()
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(snapshot, "_in_threads", interrupted)
        with pytest.raises(error):
            some().dump(old)


def test_interrupted_while_another_thread_writes(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control-C ends a dump for good: no thread of it writes into what is opened next and gets the file's number."""
    may_write = threading.Event()
    joins = []

    class Slow:
        """A dump of which this thread has nothing left to do, and the other one everything."""

        def __init__(self, *args: Any) -> None:
            self.real = Dumper(*args)
            self.main = threading.get_ident()
            self.finish = self.real.finish

        def run(self) -> None:
            if threading.get_ident() != self.main:
                may_write.wait()
                self.real.run()

    class Interrupted(threading.Thread):
        def join(self, timeout: float | None = None) -> None:
            joins.append(self)
            if len(joins) == 1:
                raise KeyboardInterrupt
            may_write.set()
            super().join(timeout)

    with monkeypatch.context() as patch:
        patch.setattr(snapshot, "Dumper", Slow)
        patch.setattr("shardmap.snapshot.threading.Thread", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            some().dump(old, threads=2)
    # The next file to be opened gets the lowest free number.
    other = old.with_name("other")
    with other.open("w+b", buffering=0) as file:
        may_write.set()
        joins[0].join()
        assert file.read() == b""
    other.unlink()


# -- without permissions ----------------------------------------------------------------------------------------------

UNPRIVILEGED = """
import os, stat, sys, tempfile
from shardmap import ByteMap, open_snapshot

m = ByteMap({b"new": b"value"})
directory = tempfile.mkdtemp()
path = os.path.join(directory, "snapshot")
ByteMap({b"old": b"value"}).dump(path)
if os.getuid() == 0:
    os.chown(directory, 65534, 65534)
    os.chown(path, 65534, 65534)
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)

def refused(use):
    try:
        use(path)
    except PermissionError:
        return True
    return False

try:
    os.chmod(path, 0)
    assert refused(m.load) and refused(open_snapshot)
    assert m == {b"new": b"value"}
    os.chmod(path, 0o600)
    os.chmod(directory, 0o500)
    assert refused(m.dump)
    assert os.listdir(directory) == ["snapshot"]
    assert ByteMap().load(path) == 1 and b"old" in open_snapshot(path)
    # Files can be made there, but not listed: an error leaves the old file, no error means the new one.
    os.chmod(directory, 0o300)
    failed = refused(m.dump)
    os.chmod(directory, 0o700)
    assert os.listdir(directory) == ["snapshot"]
    assert (b"old" if failed else b"new") in open_snapshot(path), "an error, but the file has been replaced"
    # Nobody can write to it, but whoever can replace it may.
    os.chmod(path, 0o400)
    assert m.dump(path) == 1
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o400
finally:
    os.chmod(directory, 0o700)
    os.unlink(path)
    os.rmdir(directory)
"""


def test_permissions() -> None:
    run_python_ok(UNPRIVILEGED)


# -- modes ------------------------------------------------------------------------------------------------------------


def test_a_new_file_is_the_owners(path: Path) -> None:
    former = os.umask(0)
    try:
        some().dump(path)
        assert mode_of(path) == 0o600
    finally:
        os.umask(former)


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o660, 0o400, 0o777])
def test_an_old_file_keeps_its_mode(mode: int, path: Path) -> None:
    path.write_bytes(b"old")
    path.chmod(mode)
    for _ in range(2):
        some().dump(path)
        assert mode_of(path) == mode


# -- the temporary file -----------------------------------------------------------------------------------------------


def test_what_a_killed_dump_left_is_written_over(path: Path) -> None:
    left = path.with_name("snapshot.tmp")
    left.write_bytes(b"SHARDMAP" * 10_000)
    left.chmod(0o600)
    some().dump(path)
    first = path.read_bytes()
    assert len(first) < 20_000
    assert ByteMap().load(path) == 100
    assert os.listdir(path.parent) == ["snapshot"]


def test_what_a_killed_dump_left_does_not_decide_the_mode(path: Path) -> None:
    left = path.with_name("snapshot.tmp")
    left.write_bytes(b"")
    left.chmod(0o666)
    some().dump(path)
    assert mode_of(path) == 0o600


def test_a_link_in_the_temporary_files_place_is_not_followed(path: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    path.with_name("snapshot.tmp").symlink_to(victim)
    with pytest.raises(OSError):
        some().dump(path)
    assert victim.read_bytes() == b"precious"
    assert not path.exists()


# -- two at once ------------------------------------------------------------------------------------------------------


def test_two_dumps_to_one_path(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one fails at once, and the first one notices nothing."""
    refused: list[OSError] = []

    def meanwhile(run: Callable[[], None], threads: int) -> None:
        run()
        with monkeypatch.context() as patch:
            patch.setattr(snapshot, "_in_threads", in_threads)
            with pytest.raises(BlockingIOError) as caught:
                ByteMap({b"second": b""}).dump(path)
            refused.append(caught.value)
            assert ByteMap({b"second": b""}).dump(path.with_name("other")) == 1

    in_threads = snapshot._in_threads
    with monkeypatch.context() as patch:
        patch.setattr(snapshot, "_in_threads", meanwhile)
        assert some().dump(path) == 100
    assert refused[0].errno == errno.EAGAIN
    assert refused[0].filename == str(path) + ".tmp"
    assert ByteMap().load(path) == 100
    # Neither has left a lock.
    assert some().dump(path) == 100
    assert sorted(os.listdir(path.parent)) == ["other", "snapshot"]


def test_many_dumps_to_one_path(path: Path) -> None:
    """Each is complete or refused; whoever reads meanwhile finds a complete file of one of them."""
    maps = [ByteMap((b"%d of %d" % (n, i), b"value") for n in range(100 + i)) for i in range(THREADS)]
    maps[0].dump(path)

    def dump(i: int) -> int:
        done = 0
        for _ in range(scaled(25)):
            try:
                assert maps[i].dump(path, threads=1) == 100 + i
            except BlockingIOError:
                continue
            done += 1
        return done

    def look() -> None:
        with open_snapshot(path) as frozen:
            frozen.verify()
            assert frozen == maps[len(frozen) - 100]

    assert sum(run_copies(dump, background=[look])) > 0
    assert os.listdir(path.parent) == ["snapshot"]


def test_a_dump_over_a_file_that_is_open(path: Path) -> None:
    """Whoever has opened the old one goes on with it."""
    first = ByteMap((b"key %d" % n, b"first") for n in range(5000))
    first.dump(path)
    with open_snapshot(path) as frozen:
        iterator = iter(frozen)
        next(iterator)
        ByteMap({b"second": b"value"}).dump(path)
        assert sum(1 for _ in iterator) == 4999
        frozen.verify()
        assert frozen == first
    assert ByteMap().load(path) == 1


@linux_only
def test_descriptors_are_closed(path: Path) -> None:
    """After successes and failures alike."""
    m = some()
    m.dump(path)
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        m.dump(path, threads=2)
        m.load(path)
        open_snapshot(path).close()
        with open_snapshot(path) as frozen:
            list(frozen)
        for use in (m.load, open_snapshot, m.dump):
            with pytest.raises(OSError):
                use(path.parent)
    damaged = path.with_name("damaged")
    damaged.write_bytes(path.read_bytes()[:-1])
    for use in (m.load, open_snapshot):
        with pytest.raises(ValueError, match="byte"):
            use(damaged)
    assert len(os.listdir("/proc/self/fd")) <= before
