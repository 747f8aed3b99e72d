"""The plain thing: what every operation of a ShardMap means, said with a `dict` and one thread.

`PlainMap` has the map's operations under the same names, so that a test can call both and compare. It is the
specification in the fewest words, without a thought for speed or threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from shardmap import MISSING

__all__ = ["PlainMap"]


class PlainMap(dict[Any, Any]):
    """A dict with the operations of ShardMap. Keys whose callback is running are `reserved`."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.reserved: dict[Any, object] = {}

    def _may_write(self, key: Any, *values: Any) -> None:
        if any(value is MISSING for value in values):
            raise ValueError
        if key in self.reserved:
            raise RuntimeError

    # -- mapping ------------------------------------------------------------------------------------------------------

    def __setitem__(self, key: Any, value: Any) -> None:
        self._may_write(key, value)
        super().__setitem__(key, value)

    def clear(self) -> None:
        super().clear()
        self.reserved.clear()

    # -- conditional --------------------------------------------------------------------------------------------------

    def insert(self, key: Any, value: Any) -> bool:
        self._may_write(key, value)
        if key in self:
            return False
        self[key] = value
        return True

    def replace(self, key: Any, value: Any) -> bool:
        self._may_write(key, value)
        if key not in self:
            return False
        self[key] = value
        return True

    def swap(self, key: Any, value: Any, default: Any = None) -> Any:
        self._may_write(key, value)
        old = self.get(key, default)
        self[key] = value
        return old

    def compare_and_set(self, key: Any, expected: Any, new: Any) -> bool:
        self._may_write(key, new)
        if key in self and (self[key] is expected or self[key] == expected):
            self[key] = new
            return True
        return False

    def compare_and_delete(self, key: Any, expected: Any) -> bool:
        self._may_write(key)
        if key in self and (self[key] is expected or self[key] == expected):
            del self[key]
            return True
        return False

    # -- compute ------------------------------------------------------------------------------------------------------

    def compute(self, key: Any, fn: Callable[[Any], Any]) -> Any:
        self._may_write(key)
        reservation = self.reserved[key] = object()
        try:
            new = fn(self.get(key, MISSING))
        finally:
            # It is not there any more when the map was cleared meanwhile, which counts as coming after this.
            cleared = self.reserved.get(key) is not reservation
            if not cleared:
                del self.reserved[key]
        if not cleared:
            if new is MISSING:
                self.pop(key, None)
            else:
                self[key] = new
        return new

    def compute_if_absent(self, key: Any, fn: Callable[[Any], Any]) -> Any:
        return self[key] if key in self else self.compute(key, lambda _: fn(key))

    def compute_if_present(self, key: Any, fn: Callable[[Any], Any]) -> Any:
        return self.compute(key, fn) if key in self else MISSING

    def merge(self, key: Any, value: Any, fn: Callable[[Any, Any], Any]) -> Any:
        self._may_write(key, value)
        return self.compute(key, lambda old: value if old is MISSING else fn(old, value))

    # -- counting -----------------------------------------------------------------------------------------------------

    def add(self, key: Any, delta: Any = 1) -> Any:
        self._may_write(key)
        self[key] = self[key] + delta if key in self else delta
        return self[key]

    def count(self, iterable: Iterable[Any]) -> None:
        for key in iterable:
            self.add(key, 1)

    # -- bulk ---------------------------------------------------------------------------------------------------------

    def get_many(self, keys: Iterable[Any], default: Any = None) -> list[Any]:
        return [self.get(key, default) for key in keys]

    def set_many(self, pairs: Mapping[Any, Any] | Iterable[tuple[Any, Any]]) -> None:
        for key, value in pairs.items() if isinstance(pairs, Mapping) else pairs:
            self[key] = value

    def delete_many(self, keys: Iterable[Any]) -> int:
        return sum(self.pop(key, MISSING) is not MISSING for key in keys)

    def retain(self, predicate: Callable[[Any, Any], object]) -> int:
        return self.delete_many([key for key, value in list(self.items()) if not predicate(key, value)])

    # -- whole map ----------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[Any, Any]:
        return dict(self)

    def diff(self, other: Mapping[Any, Any]) -> tuple[dict[Any, Any], dict[Any, Any], dict[Any, tuple[Any, Any]]]:
        added = {key: other[key] for key in other if key not in self}
        removed = {key: self[key] for key in self if key not in other}
        changed = {key: (self[key], other[key]) for key in self if key in other and self[key] != other[key]}
        return added, removed, changed

    def reserve(self, n: int) -> None:
        pass

    def shrink(self) -> None:
        pass

    def drain(self) -> int:
        return 0
