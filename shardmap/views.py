"""Live views of a map: set-like for keys and items, as ``dict``'s are, and weakly consistent.

A view holds no data. Iterating one goes shard by shard: concurrent changes never raise, a key that is present from
start to end is met exactly once, and no key is met twice. Membership asks the map. Set operators read the view once.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from shardmap.sentinel import MISSING

if TYPE_CHECKING:
    from shardmap.map import ShardMap

__all__ = ["ShardItems", "ShardKeys", "ShardValues"]

_K = TypeVar("_K")
_V = TypeVar("_V")


class ShardKeys(KeysView[_K]):
    """What ``ShardMap.keys()`` returns: a live set of the keys."""

    __slots__ = ()
    _mapping: ShardMap[_K, object]

    def __iter__(self) -> Iterator[_K]:
        return iter(self._mapping)

    @property
    def mapping(self) -> MappingProxyType[_K, object]:
        """The map behind the view, read-only."""
        return self._mapping.view()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self)!r})"


class ShardValues(ValuesView[_V]):
    """What ``ShardMap.values()`` returns: a live collection of the values."""

    __slots__ = ()
    _mapping: ShardMap[object, _V]

    def __iter__(self) -> Iterator[_V]:
        return self._mapping._iter_values()

    def __contains__(self, value: object) -> bool:
        return any(other is value or other == value for other in self)

    @property
    def mapping(self) -> MappingProxyType[object, _V]:
        """The map behind the view, read-only."""
        return self._mapping.view()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self)!r})"


class ShardItems(ItemsView[_K, _V]):
    """What ``ShardMap.items()`` returns: a live set of the ``(key, value)`` pairs."""

    __slots__ = ()
    _mapping: ShardMap[_K, _V]

    def __iter__(self) -> Iterator[tuple[_K, _V]]:
        return self._mapping._iter_items()

    def __contains__(self, item: object) -> bool:
        if not isinstance(item, tuple) or len(item) != 2:
            return False
        key, value = item
        # get() and not m[key]: a subclass's __missing__ has no say, and a KeyError can only come from the key itself.
        found = self._mapping.get(key, MISSING)
        return found is not MISSING and (found is value or bool(found == value))

    @property
    def mapping(self) -> MappingProxyType[_K, _V]:
        """The map behind the view, read-only."""
        return self._mapping.view()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self)!r})"
