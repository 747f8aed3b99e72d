"""Keys whose callback is running: a thread that holds one, and what every operation does when it meets one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Self

import pytest
from concurrency import AnyMap, join_all

from shardmap import MISSING

__all__ = [
    "PASSING_WHEN_ABSENT",
    "PASSING_WHEN_PRESENT",
    "WAITING_WHEN_ABSENT",
    "WAITING_WHEN_PRESENT",
    "Held",
    "must_not_run",
    "plus_one",
]


class Held:
    """A thread that is inside a callback of *key* until the ``with`` block ends; its compute's *result* is then here."""

    def __init__(self, m: AnyMap, key: Any, new: Any) -> None:
        self.m = m
        self.key = key
        self.new = new
        self.old: Any = None
        self.result: Any = None
        self.error: BaseException | None = None
        self.inside = threading.Event()
        self.release = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self) -> None:
        try:
            self.result = self.m.compute(self.key, self.callback)
        except BaseException as error:
            self.error = error
            self.inside.set()

    def callback(self, old: Any) -> Any:
        self.old = old
        self.inside.set()
        self.release.wait()
        return self.new

    def __enter__(self) -> Self:
        self.thread.start()
        self.inside.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.release.set()
        join_all([self.thread])
        if self.error is not None:
            raise self.error


def plus_one(old: Any) -> Any:
    return 1 if old is MISSING else old + 1


def must_not_run(*_: Any) -> Any:
    raise AssertionError("this callback must not run")


def key_error(call: Callable[[], Any]) -> str:
    with pytest.raises(KeyError):
        call()
    return "KeyError"


#: On a key that holds 1 and whose running callback returns 10: the operation, its result, the value afterwards.
WAITING_WHEN_PRESENT: dict[str, tuple[Callable[[AnyMap, Any], Any], Any, Any]] = {
    "set": (lambda m, k: m.__setitem__(k, 5), None, 5),
    "del": (lambda m, k: m.__delitem__(k), None, MISSING),
    "pop": (lambda m, k: m.pop(k), 10, MISSING),
    "pop with default": (lambda m, k: m.pop(k, 0), 10, MISSING),
    "replace": (lambda m, k: m.replace(k, 5), True, 5),
    "swap": (lambda m, k: m.swap(k, 5), 10, 5),
    "compare_and_set": (lambda m, k: m.compare_and_set(k, 10, 5), True, 5),
    "compare_and_set, old": (lambda m, k: m.compare_and_set(k, 1, 5), False, 10),
    "compare_and_delete": (lambda m, k: m.compare_and_delete(k, 10), True, MISSING),
    "compare_and_delete, old": (lambda m, k: m.compare_and_delete(k, 1), False, 10),
    "add": (lambda m, k: m.add(k), 11, 11),
    "count": (lambda m, k: m.count([k]), None, 11),
    "compute": (lambda m, k: m.compute(k, plus_one), 11, 11),
    "compute to delete": (lambda m, k: m.compute(k, lambda old: MISSING), MISSING, MISSING),
    "compute_if_present": (lambda m, k: m.compute_if_present(k, plus_one), 11, 11),
    "merge": (lambda m, k: m.merge(k, 5, lambda old, new: old + new), 15, 15),
    "set_many": (lambda m, k: m.set_many([(k, 5)]), None, 5),
    "delete_many": (lambda m, k: m.delete_many([k]), 1, MISSING),
    "popitem": (lambda m, k: m.popitem()[1], 10, MISSING),
    "update": (lambda m, k: m.update({k: 5}), None, 5),
}
#: On an absent key whose running callback returns 10.
WAITING_WHEN_ABSENT: dict[str, tuple[Callable[[AnyMap, Any], Any], Any, Any]] = {
    "set": (lambda m, k: m.__setitem__(k, 5), None, 5),
    "setdefault": (lambda m, k: m.setdefault(k, 5), 10, 10),
    "insert": (lambda m, k: m.insert(k, 5), False, 10),
    "swap": (lambda m, k: m.swap(k, 5), 10, 5),
    "add": (lambda m, k: m.add(k), 11, 11),
    "count": (lambda m, k: m.count([k]), None, 11),
    "compute": (lambda m, k: m.compute(k, plus_one), 11, 11),
    "compute_if_absent": (lambda m, k: m.compute_if_absent(k, must_not_run), 10, 10),
    "merge": (lambda m, k: m.merge(k, 5, lambda old, new: old + new), 15, 15),
    "set_many": (lambda m, k: m.set_many([(k, 5)]), None, 5),
}
#: What readers and those who need not know the outcome do at once, on a key that holds 1.
PASSING_WHEN_PRESENT: dict[str, tuple[Callable[[AnyMap, Any], Any], Any]] = {
    "get": (lambda m, k: (m[k], m.get(k), k in m, m.get_many([k]), len(m)), (1, 1, True, [1], 1)),
    "whole map": (
        lambda m, k: (m.snapshot() == {k: 1}, m == {k: 1}, list(m.values()), m.copy()[k]),
        (True, True, [1], 1),
    ),
    "setdefault": (lambda m, k: m.setdefault(k, 5), 1),
    "insert": (lambda m, k: m.insert(k, 5), False),
    "compute_if_absent": (lambda m, k: m.compute_if_absent(k, must_not_run), 1),
}
#: The same on an absent key.
PASSING_WHEN_ABSENT: dict[str, tuple[Callable[[AnyMap, Any], Any], Any]] = {
    "get": (lambda m, k: (m.get(k), k in m, m.get_many([k]), len(m), list(m)), (None, False, [None], 0, [])),
    "[]": (lambda m, k: key_error(lambda: m[k]), "KeyError"),
    "del": (lambda m, k: key_error(lambda: m.__delitem__(k)), "KeyError"),
    "pop": (lambda m, k: key_error(lambda: m.pop(k)), "KeyError"),
    "pop with default": (lambda m, k: m.pop(k, 0), 0),
    "popitem": (lambda m, k: key_error(m.popitem), "KeyError"),
    "replace": (lambda m, k: m.replace(k, 5), False),
    "compare_and_set": (lambda m, k: m.compare_and_set(k, 10, 5), False),
    "compare_and_delete": (lambda m, k: m.compare_and_delete(k, 10), False),
    "compute_if_present": (lambda m, k: m.compute_if_present(k, must_not_run), MISSING),
    "delete_many": (lambda m, k: m.delete_many([k]), 0),
    "retain": (lambda m, k: m.retain(must_not_run), 0),
    "snapshot": (lambda m, k: m.snapshot(), {}),
}
