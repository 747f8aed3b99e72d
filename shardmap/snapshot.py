"""Files of entries: written in one piece or not at all, by several threads, while others use the map.

A dump goes to ``<path>.tmp``, is synced to the disk, takes the place of what was at the path, and the directory is
synced: whenever the process or the machine stops, the path has the old file or the new one. The lock on the temporary
file keeps two dumps of one path apart; what a killed one left of it is written over by the next.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from shardmap import sweeper
from shardmap._core import CoreByteMap, Dumper, Loader

try:
    import fcntl
except ImportError:  # Not on every system; there two dumps of one path at once are the caller's to avoid.
    fcntl = None  # type: ignore[assignment]

__all__ = ["StrPath", "dump", "load"]

StrPath = str | os.PathLike[str]

#: More than these would wait for the disk.
_MOST_THREADS = 8
#: And than these however many are asked for.
_MOST_WANTED = 64
#: Entries of a map from which on a second thread is worth its start, 50 microseconds.
_ENTRIES_FOR_THREADS = 10_000
#: Only the owner: a snapshot has what the process keeps in its memory. An existing file keeps its mode.
_MODE = 0o600


def dump(source: CoreByteMap, path: StrPath, threads: int | None) -> int:
    """Write all entries of a byte map; how many there were."""
    number = _threads(threads, len(source))
    # A link stays one, and a relative path means the same when the working directory changes.
    target = os.path.realpath(os.fsdecode(path))
    with _directory(target) as directory, _temporary(target) as file:
        mode = _mode_for(target)
        dumper = Dumper(source, file)
        _in_threads(dumper.run, number)
        written = dumper.finish()
        os.fchmod(file, mode)
        os.fsync(file)
        os.replace(target + ".tmp", target)
        os.fsync(directory)
    return written


def load(target: CoreByteMap, path: StrPath, threads: int | None) -> int:
    """Set every entry of a file; how many there were."""
    source = os.fsdecode(path)
    file = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(file).st_size
        loader = Loader(target, file, size, source)
        # A hundred bytes an entry, or so.
        number = _threads(threads, size // 100)
        loaded = None
        try:
            while loaded is None:
                _in_threads(loader.run, number)
                loaded = loader.finish()
        finally:
            # Some of them may be there after an error, too.
            if loader.has_deadlines:
                sweeper.start()
    finally:
        os.close(file)
    return loaded


def _threads(wanted: int | None, entries: int) -> int:
    if wanted is not None:
        if wanted < 1:
            raise ValueError(f"threads={wanted}: allowed is 1 or more")
        return min(wanted, _MOST_WANTED)
    return min(_MOST_THREADS, os.cpu_count() or 1) if entries >= _ENTRIES_FOR_THREADS else 1


def _in_threads(work: Callable[[], None], number: int) -> None:
    """Run it in so many threads, this one among them. What fails is kept by what they work on."""
    others = [threading.Thread(target=work, name="shardmap-snapshot", daemon=True) for _ in range(number - 1)]
    started = []
    try:
        for thread in others:
            # Without another thread this one does all the work.
            with suppress(RuntimeError):
                thread.start()
                started.append(thread)
        work()
    finally:
        _join(started)


def _join(threads: list[threading.Thread]) -> None:
    """Wait for all of them, also if that is interrupted: they work on a file that is closed afterwards."""
    interrupted: BaseException | None = None
    for thread in threads:
        while thread.is_alive():
            try:
                thread.join()
            except BaseException as error:
                interrupted = error
    if interrupted is not None:
        raise interrupted


@contextmanager
def _temporary(target: str) -> Iterator[int]:
    """An empty file beside the target, locked; removed again unless it has taken the target's place."""
    name = target + ".tmp"
    file = _open_locked(name)
    try:
        # It may have been left by somebody else, for everybody to read.
        os.fchmod(file, _MODE)
        try:
            os.ftruncate(file, 0)
            yield file
        except BaseException:
            with suppress(OSError):
                if os.path.samestat(os.fstat(file), os.stat(name, follow_symlinks=False)):
                    os.unlink(name)
            raise
    finally:
        os.close(file)


def _open_locked(name: str) -> int:
    while True:
        # Whoever may write to the directory must not lead the dump into another file.
        file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE)
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between the two calls another dump may have finished: then this is its file, and no temporary one.
            if os.path.samestat(os.fstat(file), os.stat(name, follow_symlinks=False)):
                return file
        except FileNotFoundError:
            pass
        except OSError as error:
            os.close(file)
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise BlockingIOError(errno.EAGAIN, "another dump to this path is under way", name) from None
            raise
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def _mode_for(target: str) -> int:
    """The mode of the file that is there. OSError if what is there is none: a device must not be replaced."""
    try:
        found = os.stat(target).st_mode
    except FileNotFoundError:
        return _MODE
    if not stat.S_ISREG(found):
        number = errno.EISDIR if stat.S_ISDIR(found) else errno.EINVAL
        raise OSError(number, "a dump takes the place of files only", target)
    return stat.S_IMODE(found) & 0o777


@contextmanager
def _directory(target: str) -> Iterator[int]:
    """The target's directory, to be synced. Opened first: where that is not allowed nothing has happened yet."""
    directory = os.open(os.path.dirname(target), os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield directory
    finally:
        os.close(directory)
