"""The difference between two mappings, as ``ShardMap.diff`` returns it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, NamedTuple, TypeVar

__all__ = ["Diff", "difference"]

_K = TypeVar("_K")
_V = TypeVar("_V")


class Diff(NamedTuple, Generic[_K, _V]):
    """What turns one mapping (here) into another (there)."""

    #: Keys that only the other mapping has, with its values.
    added: dict[_K, _V]
    #: Keys that only this mapping has, with its values.
    removed: dict[_K, _V]
    #: Keys of both whose values differ: ``key: (value here, value there)``.
    changed: dict[_K, tuple[_V, _V]]


def difference(here: Mapping[_K, _V], there: Mapping[_K, _V]) -> Diff[_K, _V]:
    """Compare two mappings that do not change meanwhile; values differ when they are not identical and not equal."""
    return Diff(
        added={key: value for key, value in there.items() if key not in here},
        removed={key: value for key, value in here.items() if key not in there},
        changed={
            key: (value, there[key])
            for key, value in here.items()
            if key in there and there[key] is not value and there[key] != value
        },
    )
