"""The map's operations as plain Python over a dict, for one thread: what each returns and leaves behind.

Tests of hostile keys and values use it to work out which outcomes are right. An operation during which somebody changed
the map may look like the operation before the change or after it; nothing else is allowed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shardmap import MISSING

__all__ = ["OPERATIONS", "READS", "Operation", "Outcome", "outcome", "outcome_of_plain"]

#: An operation: given a map and a key, its result.
Operation = Callable[[Any, Any], Any]
#: What came of it: the result or the exception's type, and the entries left.
Outcome = tuple[Any, dict[Any, Any]]

#: Every operation with a key, with arguments that make it do something. Values in the map are ints; 10 is expected.
OPERATIONS: dict[str, Operation] = {
    "getitem": lambda m, key: m[key],
    "contains": lambda m, key: key in m,
    "get": lambda m, key: m.get(key, -1),
    "keys contains": lambda m, key: key in m.keys(),  # noqa: SIM118
    "items contains": lambda m, key: (key, 10) in m.items(),
    "get_many": lambda m, key: m.get_many([key], -1),
    "setitem": lambda m, key: m.__setitem__(key, 20),
    "delitem": lambda m, key: m.__delitem__(key),
    "pop": lambda m, key: m.pop(key),
    "pop default": lambda m, key: m.pop(key, -1),
    "setdefault": lambda m, key: m.setdefault(key, 20),
    "update": lambda m, key: m.update([(key, 20)]),
    "update dict-like": lambda m, key: m.update(_OneKey(key)),
    "insert": lambda m, key: m.insert(key, 20),
    "replace": lambda m, key: m.replace(key, 20),
    "swap": lambda m, key: m.swap(key, 20, -1),
    "compare_and_set": lambda m, key: m.compare_and_set(key, 10, 20),
    "compare_and_set other": lambda m, key: m.compare_and_set(key, 11, 20),
    "compare_and_delete": lambda m, key: m.compare_and_delete(key, 10),
    "compute": lambda m, key: m.compute(key, lambda old: 1 if old is MISSING else old + 1),
    "compute to delete": lambda m, key: m.compute(key, lambda old: MISSING),
    "compute_if_absent": lambda m, key: m.compute_if_absent(key, lambda key: 20),
    "compute_if_present": lambda m, key: m.compute_if_present(key, lambda old: old + 1),
    "merge": lambda m, key: m.merge(key, 5, lambda old, value: old + value),
    "add": lambda m, key: m.add(key, 5),
    "add float": lambda m, key: m.add(key, 0.5),
    "add other": lambda m, key: m.add(key, _Five()),
    "count": lambda m, key: m.count([key, key]),
    "set_many": lambda m, key: m.set_many([(key, 20)]),
    "delete_many": lambda m, key: m.delete_many([key]),
}

READS = {"getitem", "contains", "get", "keys contains", "items contains", "get_many"}


class _OneKey:
    """The least that update takes for a mapping; it does not hash the key itself."""

    def __init__(self, key: Any) -> None:
        self._key = key

    def keys(self) -> list[Any]:
        return [self._key]

    def __getitem__(self, key: Any) -> int:
        return 20


class _Five:
    """Adds 5 the slow way, through ``__radd__``."""

    def __radd__(self, other: int) -> int:
        return other + 5

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Five)

    def __hash__(self) -> int:
        return 5


class Reference(dict[Any, Any]):
    """The operations that dict does not have."""

    def get_many(self, keys: Any, default: Any = None) -> list[Any]:
        return [self.get(key, default) for key in keys]

    def set_many(self, pairs: Any) -> None:
        self.update(pairs)

    def delete_many(self, keys: Any) -> int:
        return sum(self.pop(key, MISSING) is not MISSING for key in keys)

    def insert(self, key: Any, value: Any) -> bool:
        absent = key not in self
        self.setdefault(key, value)
        return absent

    def replace(self, key: Any, value: Any) -> bool:
        present = key in self
        if present:
            self[key] = value
        return present

    def swap(self, key: Any, value: Any, default: Any = None) -> Any:
        old = self.get(key, default)
        self[key] = value
        return old

    def compare_and_set(self, key: Any, expected: Any, new: Any) -> bool:
        same = key in self and self[key] == expected
        if same:
            self[key] = new
        return same

    def compare_and_delete(self, key: Any, expected: Any) -> bool:
        same = key in self and self[key] == expected
        if same:
            del self[key]
        return same

    def compute(self, key: Any, fn: Callable[[Any], Any]) -> Any:
        new = fn(self.get(key, MISSING))
        if new is MISSING:
            self.pop(key, None)
        else:
            self[key] = new
        return new

    def compute_if_absent(self, key: Any, fn: Callable[[Any], Any]) -> Any:
        return self[key] if key in self else self.compute(key, lambda old: fn(key))

    def compute_if_present(self, key: Any, fn: Callable[[Any], Any]) -> Any:
        return self.compute(key, fn) if key in self else MISSING

    def merge(self, key: Any, value: Any, fn: Callable[[Any, Any], Any]) -> Any:
        return self.compute(key, lambda old: value if old is MISSING else fn(old, value))

    def add(self, key: Any, delta: Any = 1) -> Any:
        return self.merge(key, delta, lambda old, delta: old + delta)

    def count(self, keys: Any) -> None:
        for key in keys:
            self.add(key)


def outcome(operation: Operation, m: Any, key: Any) -> Outcome:
    """Run the operation: its result, or the type of what it raised; then the entries by the labels of their keys."""
    try:
        result = operation(m, key)
    except (KeyError, RuntimeError) as error:
        result = type(error)
    return result, by_label(m)


def outcome_of_plain(operation: Operation, entries: dict[Any, Any], label: Any) -> Outcome:
    """The same on a plain dict by label, where nothing interferes."""
    reference = Reference(entries)
    try:
        result = operation(reference, label)
    except KeyError:
        result = KeyError
    return result, dict(reference)


def by_label(m: Any) -> dict[Any, Any]:
    return {key.label: value for key, value in m.items()}
