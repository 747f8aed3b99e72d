"""The maps that the mapping suite (``tests/mapping``) runs on: one record each.

A map joins the suite by adding its record to `IMPLEMENTATIONS`. The suite makes every key and value through the record,
so that a map of bytes can take part; what a map cannot do is a feature that its record leaves out, and the tests that
need it are then not generated for it.

=============== =====================================================================================================
feature         the map has
=============== =====================================================================================================
``conditional`` ``insert``, ``replace``, ``swap``, ``compare_and_set``, ``compare_and_delete``
``compute``     ``compute``, ``compute_if_absent``, ``compute_if_present``, ``merge``
``counting``    ``add``, ``count``
``bulk``        ``get_many``, ``set_many``, ``delete_many``, ``retain``, ``partitions``
``whole``       ``snapshot``, ``diff``, ``view``, ``stats``
``shards``      ``reserve``, ``shrink``, ``shard_of``, options ``shards``, ``capacity``, ``hash_seed``
``operators``   ``|``, ``|=``, ``fromkeys``, keyword arguments of ``update``
``copying``     ``copy``, ``copy.copy``, ``copy.deepcopy``, pickling
``objects``     any hashable Python object as a key, any object as a value, kept by identity
``repr``        a ``repr`` that shows the entries
``missing``     ``MISSING`` refused as a value
``subclass``    its class can be derived from; ``__missing__`` is honoured
``weak``        weak references to it
=============== =====================================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from hostile import Key

from shardmap import ShardMap

__all__ = [
    "IMPLEMENTATIONS",
    "Implementation",
    "SlottedDict",
    "SlottedMap",
    "StatefulDict",
    "StatefulMap",
    "SubMap",
]

#: What ``dict`` has of it, so that ``dict`` itself is the control of the suite.
OF_DICT = frozenset({"operators", "copying", "objects", "repr", "subclass"})
ALL = OF_DICT | {"conditional", "compute", "counting", "bulk", "whole", "shards", "missing", "weak"}


@dataclass(frozen=True)
class Implementation:
    """One kind of map."""

    name: str
    #: ``make(entries=(), /)``: a new map.
    make: Callable[..., Any]
    #: A new key object; different for different numbers, equal for equal ones.
    key: Callable[[int], Any]
    #: A new value object, in the same way.
    value: Callable[[int], Any]
    features: frozenset[str]

    def pairs(self, count: int) -> list[tuple[Any, Any]]:
        """The first *count* keys, each with the value of its number."""
        return [(self.key(number), self.value(number)) for number in range(count)]

    def __str__(self) -> str:
        return self.name


class SubMap(ShardMap[Any, Any]):
    """A subclass with attributes, as applications derive; in a module, so that it can be pickled."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.label = "made"


class SlottedMap(ShardMap[Any, Any]):
    """A subclass that keeps an attribute in a slot."""

    __slots__ = ("slot",)


class SlottedDict(dict[Any, Any]):
    """The control of `SlottedMap`."""

    __slots__ = ("slot",)


class StatefulMap(ShardMap[Any, Any]):
    """A subclass that decides itself what is pickled of it."""

    def __getstate__(self) -> dict[str, Any]:
        return {"kept": "by getstate"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.restored = state


class StatefulDict(dict[Any, Any]):
    """The control of `StatefulMap`."""

    __getstate__ = StatefulMap.__getstate__
    __setstate__ = StatefulMap.__setstate__


def _stressed(entries: Any = (), /) -> ShardMap[Any, Any]:
    made: ShardMap[Any, Any] = ShardMap(shards=1)
    made._stress(1, 1, True)
    made.update(entries)
    return made


def _string_key(number: int) -> Hashable:
    return f"key {number}"


def _string_value(number: int) -> str:
    return f"value {number}"


IMPLEMENTATIONS = [
    Implementation("dict", dict, _string_key, _string_value, OF_DICT),
    Implementation("ShardMap", ShardMap, _string_key, _string_value, ALL),
    Implementation(
        "one-shard", lambda entries=(), /: ShardMap(entries, shards=1), lambda n: n * 1_000_003, lambda n: [n], ALL
    ),
    # Always four keys with one hash.
    Implementation("stressed", _stressed, lambda n: Key(n, n // 4), _string_value, ALL),
    Implementation("subclass", SubMap, lambda n: (n, str(n)), lambda n: (n,), ALL),
]
