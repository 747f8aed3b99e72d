"""ByteMap, the public class: the compiled core, plus what is not hot and reads better in Python."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any, ClassVar, Self

from shardmap import config, snapshot
from shardmap._core import CoreByteMap, _adopt_methods, _as_key
from shardmap.diff import Diff, difference
from shardmap.memory import Memory
from shardmap.views import ShardItems, ShardKeys, ShardValues

__all__ = ["ByteMap"]

#: Distinct keys that `count` collects before it adds them to the map.
_TALLY = 65536

_Source = Any


class ByteMap(CoreByteMap):
    """A mapping of bytes to bytes in native memory, which the garbage collector never walks, for any number of threads.

    ``ByteMap(mapping_or_pairs=(), /, *, shards=None, capacity=0, max_memory=None, eviction=None, hash_seed=None)``

    *mapping_or_pairs*
        the first entries. Keys and values are bytes-like; reading gives ``bytes``.
    *shards*
        independent parts of the map, a power of two from 1 to 65536. Default: ``SHARDMAP_SHARDS``, else
        ``max(32, next_pow2(4 * cpus))``, or fewer for a small *max_memory*.
    *capacity*
        entries to make room for in the tables at once, so that filling the map does not grow them.
    *max_memory*
        bytes that the map may take from the system in all, as an int or as ``"512mb"``; 0 for no bound. Default:
        ``SHARDMAP_MAX_MEMORY``, else 0.
    *eviction*
        what happens when the bound is reached: ``"noeviction"`` (:class:`MemoryError`, nothing is lost),
        ``"allkeys-lru"`` (what was not used for long goes, by sampling), ``"volatile-ttl"`` (of the entries with a time
        to live those that end soonest). Default: ``SHARDMAP_EVICTION``, else ``"noeviction"``.
    *hash_seed*
        an integer from 0 to 2**64 - 1 that decides where in its shard a key goes. Default: ``SHARDMAP_HASH_SEED``,
        else random.

    Raises :class:`shardmap.ConfigError` (a ``ValueError``) for an option that is not allowed.

    Every operation on one key is atomic and linearizable. Iteration is weakly consistent: it never fails because of a
    concurrent change and yields every key that is present throughout exactly once. ``snapshot``, ``copy``, ``==``,
    ``clear`` and pickling see one instant of the whole map. Expired entries are never seen; ``len`` counts those that
    nobody has met and no sweep removed yet. Order is not kept.
    """

    __slots__ = ()
    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    def __init__(
        self,
        entries: _Source = (),
        /,
        *,
        shards: int | None = None,
        capacity: int = 0,
        max_memory: int | str | None = None,
        eviction: str | None = None,
        hash_seed: int | None = None,
    ) -> None:
        limit = config.max_memory(max_memory)
        self._configure(
            config.byte_shards(shards, limit),
            config.hash_seed(hash_seed),
            limit,
            config.eviction(eviction),
            config.capacity(capacity),
        )
        self.update(entries)

    @classmethod
    def fromkeys(cls, iterable: Iterable[bytes], value: bytes = b"", /) -> Self:
        """A new map with the keys of *iterable*, all with the same *value*. O(n)."""
        made = cls()
        made.set_many((key, value) for key in iterable)
        return made

    # -- entries from elsewhere and to it -------------------------------------------------------------------------

    def update(self, entries: _Source = (), /) -> None:
        """Set every entry of a mapping or of pairs, one after the other, each atomically. O(n)."""
        self.set_many(entries)

    def __or__(self, other: Mapping[bytes, bytes]) -> Self:
        if not isinstance(other, Mapping):
            return NotImplemented
        merged = self.copy()
        merged.update(other)
        return merged

    def __ror__(self, other: Mapping[bytes, bytes]) -> Self:
        if not isinstance(other, Mapping):
            return NotImplemented
        merged = self._empty_copy()
        merged.update(other)
        merged.update(self)
        return merged

    def __ior__(self, other: _Source) -> Self:  # type: ignore[misc]  # As dict's: |= takes pairs too.
        self.set_many(other)
        return self

    def count(self, iterable: Iterable[bytes], /) -> None:
        """Add 1 to the counter of each element, as ``collections.Counter.update`` does. O(n).

        Each key's addition is atomic and may be held back until the end, so that an element that comes often costs
        little. If the iterable raises, or a value is no counter, the elements before are counted.
        """
        tally: dict[bytes, int] = {}
        try:
            for key in iterable:
                exact = _as_key(key)
                tally[exact] = tally.get(exact, 0) + 1
                if len(tally) >= _TALLY:
                    self._flush(tally)
        finally:
            self._flush(tally)

    def _flush(self, tally: dict[bytes, int]) -> None:
        """Add every count to the map; what one key raises is raised after all others have been added."""
        failure: Exception | None = None
        while tally:
            key, number = tally.popitem()
            try:
                self.add(key, number)
            except (ValueError, OverflowError, MemoryError) as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def retain(self, predicate: Callable[[bytes, bytes], object], /) -> int:
        """Remove every entry for which ``predicate(key, value)`` is false. Returns how many were removed. O(n).

        The predicate runs with nothing locked. An entry is removed only while it has the value that was judged.
        """
        removed = 0
        for key, value in self._iter_items():
            if not predicate(key, value):
                removed += self.compare_and_delete(key, value)
        return removed

    # -- views ----------------------------------------------------------------------------------------------------

    def keys(self) -> ShardKeys[bytes]:
        """A live, set-like view of the keys."""
        return ShardKeys(self)

    def values(self) -> ShardValues[bytes]:
        """A live view of the values."""
        return ShardValues(self)

    def items(self) -> ShardItems[bytes, bytes]:
        """A live, set-like view of the ``(key, value)`` pairs."""
        return ShardItems(self)

    def view(self) -> MappingProxyType[bytes, bytes]:
        """A live, read-only mapping over this map, to hand to code that must not change it. O(1)."""
        return MappingProxyType(self)

    # -- one instant of the whole map -----------------------------------------------------------------------------

    def copy(self) -> Self:
        """A new map of the same class, options and entries, times to live included; sees one instant. O(n)."""
        made = self._empty_copy()
        made._fill(self._records())
        return made

    __copy__ = copy

    def diff(self, other: Mapping[bytes, bytes], /) -> Diff[bytes, bytes]:
        """What turns this map into *other*: ``(added, removed, changed)``, each a dict. O(n).

        Each side that is a ByteMap is read at one instant (not the same one). Raises :class:`TypeError` if *other* is
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
        return f"{type(self).__name__}({self.snapshot()!r})"

    # -- memory ---------------------------------------------------------------------------------------------------

    def memory(self) -> Memory:
        """What the map's memory is used for, as :class:`shardmap.Memory`. O(shards), each shard at its own instant."""
        numbers = self._numbers()
        used = numbers["used"] + numbers["large"]
        entries = numbers["entries"]
        return Memory(
            content=numbers["content"],
            used=used,
            reserved=numbers["reserved"],
            tables=numbers["tables"],
            free=numbers["free"],
            fragmentation=numbers["unusable"] / numbers["reserved"],
            overhead_per_entry=(used + numbers["tables"] - numbers["content"]) / entries if entries else 0.0,
            max_memory=self._limit,
        )

    def stats(self) -> dict[str, int]:
        """Entries, hits, misses, expirations, evictions and the structure in numbers. O(shards)."""
        return self._numbers()

    def __sizeof__(self) -> int:
        """Bytes of the map, its entries included, for ``sys.getsizeof``."""
        return object.__sizeof__(self) + self._numbers()["reserved"]

    # -- files ----------------------------------------------------------------------------------------------------

    def dump(self, path: snapshot.StrPath, /, *, threads: int | None = None) -> int:
        """Write all entries to a file, with the times that they have left; returns how many. O(n), without the GIL.

        *path* is a string or a path object; *threads* share the work (default: as many as there are processors, up to
        eight). Others may go on writing: every entry that nobody changes meanwhile is in the file, each entry that is
        there was in the map at some time of the dump. The file at *path* is replaced at once when the new one is
        complete and on the disk: at any moment it is the old one or the new one. Raises :class:`OSError`, and then
        leaves it as it was.
        """
        return snapshot.dump(self, path, threads)

    def load(self, path: snapshot.StrPath, /, *, threads: int | None = None) -> int:
        """Set every entry of a file that :meth:`dump` has written; returns how many. O(n), without the GIL.

        An empty map gets them at one instant; otherwise each is set atomically, one after the other. Entries whose time
        has come are left out. Raises :class:`OSError`, or :class:`SnapshotError`, with where and why, if the file is
        damaged; the map is as it was then.
        """
        return snapshot.load(self, path, threads)

    # -- pickling -------------------------------------------------------------------------------------------------

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle one instant of the map, with the times that entries have left."""
        options = (self._shards, self._limit, self._policy)
        return _unpickle, (type(self), options, self._records()), self.__getstate__() or None

    def _empty_copy(self) -> Self:
        made = type(self).__new__(type(self))
        made._configure(self._shards, config.hash_seed(None), self._limit, self._policy, 0)
        return made

    def _fill(self, records: Iterable[tuple[bytes, bytes, int | None]]) -> None:
        for key, value, milliseconds in records:
            self.set(key, value, None if milliseconds is None else timedelta(milliseconds=milliseconds))


MutableMapping.register(ByteMap)
_adopt_methods(ByteMap)


def configure_by_default(made: CoreByteMap) -> None:
    """For a map whose class did not call the constructor: as if called without arguments."""
    limit = config.max_memory(None)
    made._configure(config.byte_shards(None, limit), config.hash_seed(None), limit, config.eviction(None), 0)


def _unpickle(cls: Any, options: Any, records: Any) -> ByteMap:
    """A module-level function, since pickle finds it by name."""
    if not isinstance(cls, type) or not issubclass(cls, ByteMap):
        raise TypeError(f"the pickle names {cls!r}, which is no ByteMap")
    shards, limit, policy = options
    name = config.EVICTION_POLICIES[policy]
    made: ByteMap = cls.__new__(cls)
    size = config.max_memory(limit)
    made._configure(config.byte_shards(shards, size), config.hash_seed(None), size, config.eviction(name), 0)
    made._fill(records)
    return made


def _at_one_instant(mapping: Mapping[bytes, bytes]) -> Mapping[bytes, bytes]:
    if isinstance(mapping, ByteMap):
        return mapping.snapshot()
    return mapping if isinstance(mapping, dict) else dict(mapping.items())
