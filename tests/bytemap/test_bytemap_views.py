"""The live views keys(), values(), items() and view(), and diff(): what dict's views do, without its order."""

from __future__ import annotations

from collections.abc import Callable, ItemsView, KeysView, ValuesView
from types import MappingProxyType
from typing import Any

import pytest
from bytemaps import AnyMap, pairs, pass_away

from shardmap import ByteMap, ShardMap


def test_views_are_live(m: AnyMap) -> None:
    keys, values, items, view = m.keys(), m.values(), m.items(), m.view()
    assert isinstance(keys, KeysView)
    assert isinstance(values, ValuesView)
    assert isinstance(items, ItemsView)
    assert (len(keys), len(values), len(items), len(view)) == (0, 0, 0, 0)
    m.update(pairs(50))
    assert set(keys) == {key for key, _ in pairs(50)}
    assert sorted(values) == sorted(value for _, value in pairs(50))
    assert dict(items) == dict(view) == dict(pairs(50))
    assert (len(keys), len(values), len(items), len(view)) == (50, 50, 50, 50)
    pass_away(m, [b"key 7"])
    assert b"key 7" not in list(keys)
    assert b"value 7" not in values
    assert (b"key 7", b"value 7") not in items
    assert b"key 7" not in view
    m.clear()
    assert (list(keys), list(values), list(items), list(view)) == ([], [], [], [])


def test_membership(m: AnyMap) -> None:
    m.update(pairs(5))
    assert b"key 3" in m.keys()  # noqa: SIM118
    assert bytearray(b"key 3") in m.keys()  # noqa: SIM118
    assert b"value 3" in m.values()
    assert bytearray(b"value 3") in m.values()
    assert (b"key 3", b"value 3") in m.items()
    for absent in ((b"key 3", b"value 4"), (b"key 9", b"value 9"), (b"key 3",), [b"key 3", b"value 3"], b"key 3", None):
        assert absent not in m.items()
    for absent_value in (b"value 9", "value 3", None, b""):
        assert absent_value not in m.values()


def test_set_operators(m: AnyMap) -> None:
    m.update(pairs(6))
    expected = dict(pairs(6))
    other = {b"key 3", b"key 9"}
    assert m.keys() & other == {b"key 3"}
    assert m.keys() | other == expected.keys() | other
    assert m.keys() - other == expected.keys() - other
    assert other - m.keys() == {b"key 9"}
    assert m.keys() ^ other == expected.keys() ^ other
    assert not m.keys().isdisjoint(other)
    assert m.keys().isdisjoint({b"key 9"})
    assert m.keys() >= {b"key 3"}
    assert m.keys() == set(expected)
    assert m.items() & {(b"key 3", b"value 3"), (b"key 4", b"")} == {(b"key 3", b"value 3")}
    assert m.items() == set(expected.items())
    assert m.items() - expected.items() == set()


def test_what_the_views_show_of_themselves(m: AnyMap) -> None:
    m[b"k"] = b"v"
    assert repr(m.keys()) == "ShardKeys([b'k'])"
    assert repr(m.values()) == "ShardValues([b'v'])"
    assert repr(m.items()) == "ShardItems([(b'k', b'v')])"
    for each in (m.keys(), m.values(), m.items()):
        assert dict(each.mapping) == {b"k": b"v"}


def test_a_read_only_mapping(m: AnyMap) -> None:
    m.update(pairs(3))
    view: Any = m.view()
    assert type(m.view()) is MappingProxyType
    assert view == m
    assert (view[b"key 1"], view.get(b"none"), b"key 1" in view) == (b"value 1", None, True)
    changes: list[Callable[[], Any]] = [
        lambda: view.__setitem__(b"k", b"v"), lambda: view.clear(), lambda: view.__delitem__(b"key 1")
    ]  # fmt: skip
    for change in changes:
        with pytest.raises((TypeError, AttributeError)):
            change()
    assert view.copy() == m
    assert type(view | {b"k": b"v"}) is ByteMap


def test_diff(m: AnyMap) -> None:
    m.update(pairs(4))
    other = {b"key 1": b"value 1", b"key 2": b"other", b"new": b"v"}
    for each in (other, ByteMap(other), ShardMap(other), MappingProxyType(other)):
        found = m.diff(each)
        assert found.added == {b"new": b"v"}
        assert found.removed == {b"key 0": b"value 0", b"key 3": b"value 3"}
        assert found.changed == {b"key 2": (b"value 2", b"other")}
    assert m.diff(m) == m.diff(dict(pairs(4))) == ({}, {}, {})
    assert m.diff({"key 0": b""}).added == {"key 0": b""}
    for bad in ([(b"k", b"v")], None, 5):
        with pytest.raises(TypeError, match="mapping"):
            m.diff(bad)
