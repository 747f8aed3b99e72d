"""What a fuzzer asks about one input that may be a snapshot: nothing crashes, and all ways to read it agree.

The input stays in the memory that it is handed over in, so that AddressSanitizer notices a byte that is read behind its
end; a file that is mapped would go on to the end of its page. `load` reads it from a file in memory.
"""

from __future__ import annotations

import os
from typing import Any

from shardmap import ByteMap, FrozenByteMap, SnapshotError
from shardmap._core import Loader

__all__ = ["one_input"]

#: Bytes that a load may take from the system for each byte of the file, and beyond that for any file.
_SHARE, _LEAST = 64, 1 << 20


class Opened(FrozenByteMap):
    """A frozen map over bytes in memory."""

    def __init__(self, data: Any) -> None:
        # As the ordinary constructor, when it has mapped the file.
        self.path = "input"
        self._places = None
        self._open(data, self.path)


_file = os.memfd_create("snapshot")


#: The entries; or why the input is no snapshot.
Outcome = dict[bytes, bytes] | str


def one_input(data: bytes | memoryview) -> str:
    """Read it in every way; AssertionError if they do not agree. Why it is no snapshot, or "" if it is one."""
    view = memoryview(data)
    loaded, entries = _load(view), _open(view)
    # What can be verified can be loaded, and has the same entries.
    assert isinstance(entries, str) or loaded == entries, (loaded, entries)
    return f"{loaded} - {entries}" if isinstance(entries, str) and isinstance(loaded, str) else ""


def _load(view: memoryview) -> Outcome:
    """Into an empty map, and again, into one with entries."""
    os.ftruncate(_file, len(view))
    os.pwrite(_file, view, 0)
    m: Any = ByteMap.__new__(ByteMap)
    m._configure(1 << len(view) // 8 % 3, 1, 0, 0, 0)
    before = m._numbers()["reserved"]
    try:
        assert _run(m, len(view)) == len(m)
    except SnapshotError as error:
        assert 0 <= error.offset <= len(view)
        assert len(m) == 0
        m._check()
        return error.reason
    finally:
        assert m._numbers()["reserved"] - before <= _SHARE * len(view) + _LEAST
    m._check()
    entries: dict[bytes, bytes] = m.snapshot()
    m[b"present"] = b"value"
    _run(m, len(view))
    m._check()
    assert m.snapshot() == {b"present": b"value", **entries}
    return entries


def _run(m: Any, size: int) -> int:
    loader: Any = Loader(m, _file, size, "input")
    found = None
    while found is None:
        loader.run()
        found = loader.finish()
    return int(found)


def _open(view: memoryview) -> Outcome:
    """Look-ups first, which must not rely on verify() or iteration; then these."""
    try:
        frozen = Opened(view)
    except SnapshotError as error:
        assert 0 <= error.offset <= len(view)
        return error.reason
    for key in (b"", b"key", b"key 1", b"absent", b"another key"):
        try:
            frozen.get(key)
        except SnapshotError:
            pass
    try:
        frozen.verify()
        entries = dict(frozen.items())
    except SnapshotError as error:
        assert 0 <= error.offset <= len(view)
        # Broken or not, it is what look-ups and iteration are for.
        _keys(frozen)
        return error.reason
    assert _keys(frozen) == sorted(entries)
    for key, value in entries.items():
        assert frozen[key] == value
    assert b"no key" not in frozen
    frozen.close()
    return entries


def _keys(frozen: Opened) -> list[bytes]:
    try:
        return list(frozen)
    except SnapshotError:
        return []
