"""FrozenByteMap: a snapshot that answers from its file, without being loaded."""

from __future__ import annotations

import mmap
import os
from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar

from shardmap._core import CoreFrozenMap
from shardmap.snapshot import StrPath

__all__ = ["FrozenByteMap", "open_snapshot"]

_T = TypeVar("_T")


class FrozenByteMap(CoreFrozenMap, Mapping[bytes, bytes]):
    """A read-only mapping over a snapshot file, from :func:`open_snapshot`.

    Opening takes well under a millisecond, however large the file: it is mapped into memory, and a look-up reads the
    pages that it needs. A look-up is O(log file), and the first one in each section of about 1 MiB verifies the
    section's checksum. Iteration is in the order of the keys; the first one sorts, O(n log n), with eight bytes an
    entry.

    Any number of threads may use it. Entries whose time has come are not seen, but ``len`` counts them.

    What the file says is checked before it is believed: :class:`SnapshotError` names what is damaged and where. But who
    cuts the mapped file off, instead of replacing it as :meth:`ByteMap.dump` does, ends the process.
    """

    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    def __init__(self, path: StrPath, /) -> None:
        name = os.fspath(path)
        file = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            # mmap() refuses an empty file with an error that does not say so.
            contents: Any = mmap.mmap(file, 0, access=mmap.ACCESS_READ) if os.fstat(file).st_size else b""
        finally:
            os.close(file)
        self.path = name
        self._places: Any = None
        self._open(contents, name)

    def __getitem__(self, key: bytes, /) -> bytes:
        found = self._find(key, False)
        if found is None:
            raise KeyError(key)
        return found

    def get(self, key: bytes, default: _T | None = None, /) -> bytes | _T | None:  # type: ignore[override]
        """The value of *key*, or *default* if it is absent. O(log file)."""
        found = self._find(key, False)
        return default if found is None else found

    def __contains__(self, key: object, /) -> bool:
        return self._find(key, True) is not None  # type: ignore[call-overload]

    def __iter__(self) -> Iterator[bytes]:
        return self._each(_KEYS)

    def items(self) -> ItemsView[bytes, bytes]:
        """A view of the ``(key, value)`` pairs, in the order of keys."""
        return _Items(self)

    def values(self) -> ValuesView[bytes]:
        """A view of the values, in the order of keys."""
        return _Values(self)

    def get_view(self, key: bytes, /) -> memoryview | None:
        """A read-only memoryview of the value of *key* in the file, or None if it is absent. Nothing is copied."""
        return self._find(key, True)

    @property
    def created(self) -> float:
        """When the snapshot was begun, in seconds since 1970."""
        return self._created

    def verify(self) -> None:
        """Check the whole file; :class:`SnapshotError` for the first damage. O(file)."""
        self._verify()

    def close(self) -> None:
        """Let the file go, as soon as no view of it is left. Look-ups raise :class:`ValueError` from then on."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path!r}, {len(self)} entries)"

    def _each(self, kind: int) -> Iterator[Any]:
        """Keys, values or both, in the order of keys."""
        if self._places is None:
            self._places = self._sorted()
        places = self._places
        for i in range(len(places)):
            found = self._record(places, i, kind)
            if found is not None:
                yield found


# Of the core.
_KEYS, _VALUES, _ITEMS = 1, 2, 3


class _Items(ItemsView[bytes, bytes]):
    """Pairs without a look-up for each: an entry whose time comes meanwhile would be missing."""

    _mapping: FrozenByteMap

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        return self._mapping._each(_ITEMS)


class _Values(ValuesView[bytes]):
    _mapping: FrozenByteMap

    def __iter__(self) -> Iterator[bytes]:
        return self._mapping._each(_VALUES)


def open_snapshot(path: StrPath, /) -> FrozenByteMap:
    """Look into a file that :meth:`ByteMap.dump` has written, without loading it.

    *path* is a string or a path object. Raises :class:`OSError`, or :class:`SnapshotError` if it is no snapshot. O(1),
    but for 64 bytes for each MiB of the file.
    """
    return FrozenByteMap(path)
