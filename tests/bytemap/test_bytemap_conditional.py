"""insert, replace, swap, compare_and_set, compare_and_delete: they do it exactly when their condition holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from bytemaps import AnyMap, pass_away

#: Values with something in common: lengths, beginnings, ends, octets that are zero; short, long and in other memory.
VALUES = [
    b"", b"\0", b"\0\0", b"v", b"V", b"vv", b"value 1", b"value 2", b"value 12", b"evalue 1", b"x" * 31, b"x" * 32,
    b"x" * 33, b"x" * 31 + b"y", b"y" + b"x" * 31, b"z" * 600, b"z" * 599 + b"Z", bytes(40_000), bytes(39_999) + b"\1",
]  # fmt: skip


def test_insert(m: AnyMap) -> None:
    assert m.insert(b"k", b"v") is True
    assert m.insert(b"k", b"w") is False
    assert m.insert(bytearray(b"k"), b"w") is False
    assert m == {b"k": b"v"}
    del m[b"k"]
    assert m.insert(b"k", b"w") is True
    assert m == {b"k": b"w"}


def test_replace(m: AnyMap) -> None:
    assert m.replace(b"k", b"v") is False
    assert m == {}
    m[b"k"] = b"v"
    for value in VALUES:
        assert m.replace(b"k", value) is True
        assert m == {b"k": value}


def test_swap(m: AnyMap) -> None:
    default = object()
    assert m.swap(b"k", b"first") is None
    assert m.swap(b"l", b"first", default) is default
    former = b"first"
    for value in VALUES:
        assert m.swap(b"k", value, default) == former
        former = value
    assert m == {b"k": former, b"l": b"first"}
    assert m.stats()["kept"] == 0


@pytest.mark.parametrize("current", range(len(VALUES)))
def test_compare(m: AnyMap, current: int) -> None:
    """Each value against all others."""
    value = VALUES[current]
    m[b"k"] = value
    for expected in VALUES:
        equal = expected == value
        assert m.compare_and_delete(b"k", expected) is equal
        assert (b"k" in m) is not equal
        m[b"k"] = value
        assert m.compare_and_set(b"k", expected, b"new") is equal
        assert m[b"k"] == (b"new" if equal else value)
        m[b"k"] = value
        assert m.compare_and_set(b"k", memoryview(expected), expected) is equal
        assert m == {b"k": value}


def test_compare_with_an_absent_key(m: AnyMap) -> None:
    for expected in VALUES:
        assert m.compare_and_set(b"k", expected, b"v") is False
        assert m.compare_and_delete(b"k", expected) is False
    assert m == {}


def test_an_expired_entry_is_absent(m: AnyMap) -> None:
    conditions: dict[str, tuple[Callable[[], Any], Any, dict[bytes, bytes]]] = {
        "insert": (lambda: m.insert(b"k", b"new"), True, {b"k": b"new"}),
        "replace": (lambda: m.replace(b"k", b"new"), False, {}),
        "swap": (lambda: m.swap(b"k", b"new", 5), 5, {b"k": b"new"}),
        "setdefault": (lambda: m.setdefault(b"k", b"new"), b"new", {b"k": b"new"}),
        "compare_and_set": (lambda: m.compare_and_set(b"k", b"old", b"new"), False, {}),
        "compare_and_delete": (lambda: m.compare_and_delete(b"k", b"old"), False, {}),
    }
    for name, (operation, answer, left) in conditions.items():
        m.clear()
        m[b"k"] = b"old"
        pass_away(m, [b"k"])
        assert operation() == answer, name
        assert m == left, name
        if left:
            assert m.ttl(b"k") is None, name


def test_refused_values_change_nothing(m: AnyMap) -> None:
    m[b"k"] = b"v"
    operations: tuple[Callable[[], Any], ...] = (
        lambda: m.insert(b"new", "text"),
        lambda: m.replace(b"k", "text"),
        lambda: m.swap(b"k", 5),
        lambda: m.compare_and_set(b"k", b"v", None),
        lambda: m.insert(b"new", b"v", "soon"),
        lambda: m.replace(b"k", b"w", ttl=0),
        lambda: m.compare_and_set(b"k", b"v", b"w", ttl=-1),
    )
    for operation in operations:
        with pytest.raises((TypeError, ValueError)):
            operation()
    assert m == {b"k": b"v"}
    assert m.stats()["kept"] == 0
