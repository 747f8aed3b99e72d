"""ShardMap, the public class: the compiled core, plus what is not hot and reads better in Python.

``m[k]``, ``m[k] = v``, ``get`` and all the atomic operations are slots and methods of the core and run no Python frame.
Here are the constructor, ``update``, the operators, ``repr``, copying, pickling and the views.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping, MutableMapping
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, Self, TypeVar, overload

from shardmap import codec as codecs
from shardmap import config
from shardmap._core import CoreMap, _adopt_methods
from shardmap.codec import Codec
from shardmap.diff import Diff, difference
from shardmap.snapshot import StrPath
from shardmap.views import ShardItems, ShardKeys, ShardValues

__all__ = ["ShardMap"]

_K = TypeVar("_K")
_V = TypeVar("_V")
_K2 = TypeVar("_K2")
_V2 = TypeVar("_V2")
_V_co = TypeVar("_V_co", covariant=True)


class SupportsKeysAndGetItem(Protocol[_K, _V_co]):
    """The least that ``update`` takes for a mapping, as ``dict.update`` does."""

    def keys(self) -> Iterable[_K]: ...
    def __getitem__(self, key: _K, /) -> _V_co: ...


#: The default of a source of entries. Sources are only iterated, neither compared nor asked for their truth.
_NOTHING: Any = ()


class ShardMap(CoreMap[_K, _V]):
    """A mapping that any number of threads may use at once, without a lock of their own.

    ``ShardMap(mapping_or_pairs=(), /, *, shards=None, capacity=0, hash_seed=None)``

    *mapping_or_pairs*
        the first entries, as for ``dict``.
    *shards*
        independent parts of the map, a power of two from 1 to 65536; writers of different shards do not meet.
        Default: ``SHARDMAP_SHARDS``, else ``max(32, next_pow2(4 * cpus))``.
    *capacity*
        entries to make room for at once, so that filling the map does not grow it.
    *hash_seed*
        an integer from 0 to 2**64 - 1 that decides where keys go. Default: ``SHARDMAP_HASH_SEED``, else random, so
        that nobody can choose keys that all meet in one place.

    Keyword arguments are options, never entries; ``update(a=1)`` takes entries.

    Raises :class:`shardmap.ConfigError` (a ``ValueError``) for an option that is not allowed.

    Every operation on one key is atomic and linearizable. Iteration is weakly consistent: it never fails because of a
    concurrent change and yields every key that is present throughout exactly once. ``snapshot``, ``copy``, ``==``,
    ``clear`` and pickling see one instant of the whole map. Order is not kept.
    """

    __slots__ = ()
    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    @overload
    def __init__(self, /, *, shards: int | None = None, capacity: int = 0, hash_seed: int | None = None) -> None: ...
    @overload
    def __init__(
        self,
        entries: SupportsKeysAndGetItem[_K, _V],
        /,
        *,
        shards: int | None = None,
        capacity: int = 0,
        hash_seed: int | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        entries: Iterable[tuple[_K, _V]],
        /,
        *,
        shards: int | None = None,
        capacity: int = 0,
        hash_seed: int | None = None,
    ) -> None: ...
    def __init__(
        self, entries: Any = (), /, *, shards: int | None = None, capacity: int = 0, hash_seed: int | None = None
    ) -> None:
        self._configure(config.shards(shards), config.hash_seed(hash_seed), config.capacity(capacity))
        if entries is not _NOTHING:
            self.update(entries)

    @overload
    @classmethod
    def fromkeys(cls, iterable: Iterable[_K2], value: None = None, /) -> ShardMap[_K2, Any | None]: ...
    @overload
    @classmethod
    def fromkeys(cls, iterable: Iterable[_K2], value: _V2, /) -> ShardMap[_K2, _V2]: ...
    @classmethod
    def fromkeys(cls, iterable: Iterable[_K2], value: Any = None, /) -> ShardMap[_K2, Any]:
        """A new map with the keys of *iterable*, all with the same *value*. O(n)."""
        made: ShardMap[_K2, Any] = cls()
        made.set_many((key, value) for key in iterable)
        return made

    # -- entries from elsewhere -----------------------------------------------------------------------------------

    @overload
    def update(self, entries: SupportsKeysAndGetItem[_K, _V], /) -> None: ...
    @overload
    def update(self: ShardMap[str, _V], entries: SupportsKeysAndGetItem[str, _V], /, **more: _V) -> None: ...
    @overload
    def update(self, entries: Iterable[tuple[_K, _V]], /) -> None: ...
    @overload
    def update(self: ShardMap[str, _V], entries: Iterable[tuple[str, _V]], /, **more: _V) -> None: ...
    @overload
    def update(self: ShardMap[str, _V], /, **more: _V) -> None: ...
    def update(self, entries: Any = (), /, **more: Any) -> None:
        """Set every entry of a mapping, of pairs, and of the keyword arguments, one after the other. O(n).

        Each entry is set atomically; the whole is not: a concurrent reader may see some of them. Another ShardMap is
        read at one instant.
        """
        self.set_many(entries)
        if more:
            self.set_many(more)  # type: ignore[arg-type]  # the overloads: only a ShardMap[str, V] gets here

    def __or__(self, other: Mapping[_K2, _V2]) -> ShardMap[_K | _K2, _V | _V2]:
        if not isinstance(other, Mapping):
            return NotImplemented
        merged: ShardMap[Any, Any] = self.copy()
        merged.update(other)
        return merged

    def __ror__(self, other: Mapping[_K2, _V2]) -> ShardMap[_K | _K2, _V | _V2]:
        if not isinstance(other, Mapping):
            return NotImplemented
        merged: ShardMap[Any, Any] = self._empty_copy()
        merged.update(other)
        merged.update(self)
        return merged

    # As dict's: |= takes pairs too, | only mappings.
    def __ior__(  # type: ignore[misc]
        self, other: SupportsKeysAndGetItem[_K, _V] | Iterable[tuple[_K, _V]]
    ) -> Self:
        self.set_many(other)
        return self

    # -- views ----------------------------------------------------------------------------------------------------

    def keys(self) -> ShardKeys[_K]:
        """A live, set-like view of the keys."""
        return ShardKeys(self)

    def values(self) -> ShardValues[_V]:
        """A live view of the values."""
        return ShardValues(self)

    def items(self) -> ShardItems[_K, _V]:
        """A live, set-like view of the ``(key, value)`` pairs."""
        return ShardItems(self)

    def view(self) -> MappingProxyType[_K, _V]:
        """A live, read-only mapping over this map, to hand to code that must not change it. O(1)."""
        return MappingProxyType(self)

    # -- one instant of the whole map -----------------------------------------------------------------------------

    def copy(self) -> Self:
        """A new map of the same class, options and entries; sees one instant of the whole map. O(n).

        Keys and values are shared, not copied; ``__hash__`` and ``__eq__`` are not called. Attributes that a subclass
        keeps on the instance are not carried over.
        """
        made = self._empty_copy()
        self._copy_into(made)
        return made

    __copy__ = copy

    def diff(self, other: Mapping[_K, _V], /) -> Diff[_K, _V]:
        """What turns this map into *other*: ``(added, removed, changed)``, each a dict. O(n).

        Each side that is a ShardMap is read at one instant (not the same one). Raises :class:`TypeError` if *other* is
        not a mapping.
        """
        if not isinstance(other, Mapping):
            raise TypeError(f"diff() takes a mapping, not {type(other).__name__}")
        return difference(self.snapshot(), _at_one_instant(other))

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Mapping):
            return NotImplemented
        return self.snapshot() == _at_one_instant(other)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._entries_repr()})"

    @reprlib.recursive_repr("{...}")
    def _entries_repr(self) -> str:
        return repr(self.snapshot())

    # -- files ----------------------------------------------------------------------------------------------------

    def dump(self, path: StrPath, /, *, codec: Codec) -> int:
        """Write one instant of the map to a file; returns the number of entries. O(n).

        *codec* makes bytes of keys and values: a pair of functions ``(encode, decode)``, or what has ``dumps`` and
        ``loads``, such as ``pickle``. The file is replaced at once when the new one is complete and on the disk, as
        :meth:`ByteMap.dump` does it, in the same format. Raises :class:`OSError`, and what the codec raises; the file
        is as it was then. :class:`ValueError` if two keys become the same bytes.
        """
        return codecs.dump(self.snapshot().items(), path, codec)

    def load(self, path: StrPath, /, *, codec: Codec | None = None, trusted_codec: Codec | None = None) -> int:
        """Set every entry of a file that :meth:`dump` has written; returns how many. O(n).

        *codec* is that of the dump. ``pickle``, and others that run whatever the file says, are only taken as
        *trusted_codec*: for files that nobody else can have written. Raises :class:`OSError`, :class:`SnapshotError`
        if the file is damaged, and what the codec raises for the first entry that it does not like; the map is as it
        was then.
        """
        entries = list(codecs.load(path, codec, trusted_codec))
        self.set_many(entries)
        return len(entries)

    # -- pickling -------------------------------------------------------------------------------------------------

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle one instant of the map; the seed is not kept, since hashes of str differ in the next process."""
        state = self.__getstate__() or None
        return _unpickle, (type(self), self._shards), state, None, iter(self.snapshot().items())

    def _empty_copy(self) -> Self:
        made = type(self).__new__(type(self))
        made._configure(self._shards, self._seed, 0)
        return made


MutableMapping.register(ShardMap)
_adopt_methods(ShardMap)


def _unpickle(cls: Any, shards: Any) -> ShardMap[Any, Any]:
    """Make the empty map that the unpickler fills; a module-level function, since pickle finds it by name."""
    if not isinstance(cls, type) or not issubclass(cls, ShardMap):
        raise TypeError(f"the pickle names {cls!r}, which is no ShardMap")
    if shards is None:
        raise TypeError("the pickle does not say how many shards the map has")
    made: ShardMap[Any, Any] = cls.__new__(cls)
    made._configure(config.shards(shards), config.hash_seed(None), 0)
    return made


def _at_one_instant(mapping: Mapping[_K, _V]) -> Mapping[_K, _V]:
    if isinstance(mapping, ShardMap):
        return mapping.snapshot()
    return mapping if isinstance(mapping, dict) else dict(mapping.items())


config.check_environment()
