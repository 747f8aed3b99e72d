"""The mapping suite: comparison, union, fromkeys, keyword arguments, repr."""

from __future__ import annotations

import collections
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import pytest
from implementations import Implementation

NewMap = Callable[..., Any]


def test_equality(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(3))
    assert m == m
    assert not m != m
    assert m == new(impl.pairs(3))
    assert m == new(reversed(impl.pairs(3)))
    assert m == dict(impl.pairs(3))
    assert dict(impl.pairs(3)) == m
    assert m != dict(impl.pairs(2))
    assert dict(impl.pairs(4)) != m
    assert m != dict(impl.pairs(3)) | {impl.key(1): impl.value(5)}
    assert m != new([(impl.key(0), impl.value(0)), (impl.key(1), impl.value(1)), (impl.key(7), impl.value(2))])
    assert new() == {}
    assert new() == new()


def test_equality_with_other_mappings(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(3))
    entries = dict(impl.pairs(3))
    assert m == MappingProxyType(entries)
    assert m == collections.OrderedDict(entries)
    if impl.name != "dict":
        assert m == collections.UserDict(entries)
        assert m == collections.ChainMap(entries)


def test_equality_with_what_is_no_mapping(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(1))
    for other in (None, 1, "text", impl.pairs(1), list(m), set(m)):
        assert m != other
        assert not m == other
    assert m.__eq__(1) is NotImplemented

    class Anything:
        def __eq__(self, other: object) -> bool:
            return True

    assert m == Anything()


@pytest.mark.needs("objects")
def test_equality_of_values_is_by_identity_first(new: NewMap, impl: Implementation) -> None:
    nan = float("nan")
    assert new([(impl.key(0), nan)]) == new([(impl.key(0), nan)])
    assert new([(impl.key(0), nan)]) != new([(impl.key(0), float("nan"))])


def test_no_order(new: NewMap) -> None:
    for compare in ("__lt__", "__le__", "__gt__", "__ge__"):
        assert getattr(new(), compare)(new()) is NotImplemented


def test_no_hash(new: NewMap) -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(new())


@pytest.mark.needs("operators")
def test_union(new: NewMap, impl: Implementation) -> None:
    left, right = impl.pairs(3), [(impl.key(2), impl.value(22)), (impl.key(3), impl.value(3))]
    union = dict(left) | dict(right)
    for a, b in [(new(left), new(right)), (new(left), dict(right)), (dict(left), new(right))]:
        merged = a | b
        assert merged == union
        assert merged is not a
        assert a == dict(left)
        assert b == dict(right)
    assert type(new(left) | dict(right)) is type(new(left))
    if impl.name != "dict":
        assert type(dict(left) | new(right)) is type(new(right))


@pytest.mark.needs("operators")
def test_union_with_what_is_no_mapping(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(1))
    for other in (None, 1, impl.pairs(1)):
        with pytest.raises(TypeError):
            m | other
        with pytest.raises(TypeError):
            other | m
    assert m.__or__([]) is NotImplemented


@pytest.mark.needs("operators")
def test_union_in_place(new: NewMap, impl: Implementation) -> None:
    m = same = new(impl.pairs(2))
    m |= {impl.key(1): impl.value(11)}
    m |= [(impl.key(2), impl.value(2))]
    m |= new([(impl.key(3), impl.value(3))])
    m |= m
    assert m is same
    assert m == dict(impl.pairs(4)) | {impl.key(1): impl.value(11)}
    with pytest.raises(TypeError):
        m |= 7
    with pytest.raises(TypeError):
        m |= None


@pytest.mark.needs("operators")
def test_keywords_of_update_are_entries(new: NewMap) -> None:
    m = new()
    m.update(a=1, b=2)
    assert m == {"a": 1, "b": 2}
    m.update({"b": 3, "c": 4}, a=5)
    assert m == {"a": 5, "b": 3, "c": 4}
    m.update([("c", 0)], c=6, self=7, entries=8, shards=9)
    assert m == {"a": 5, "b": 3, "c": 6, "self": 7, "entries": 8, "shards": 9}


@pytest.mark.needs("operators")
def test_fromkeys(impl: Implementation) -> None:
    cls = type(impl.make())
    keys = [impl.key(number) for number in range(20)]
    value = impl.value(1)
    m = cls.fromkeys(keys, value)
    assert type(m) is cls
    assert m == dict.fromkeys(keys, value)
    assert all(each is value for each in m.values())
    assert cls.fromkeys(iter(keys)) == dict.fromkeys(keys)
    assert cls.fromkeys([]) == {}
    assert cls.fromkeys([keys[0], keys[0]], 1) == {keys[0]: 1}
    assert cls.fromkeys("ab", 1) == {"a": 1, "b": 1}
    assert impl.make().fromkeys(keys, value) == m
    for bad in (7, None):
        with pytest.raises(TypeError):
            cls.fromkeys(bad)
    with pytest.raises(TypeError):
        cls.fromkeys()
    with pytest.raises(TypeError):
        cls.fromkeys([[]])


@pytest.mark.needs("repr", "missing")
def test_repr(new: NewMap, impl: Implementation) -> None:
    name = type(impl.make()).__name__
    assert repr(new()) == f"{name}({{}})"
    assert repr(new([(1, "one")])) == f"{name}({{1: 'one'}})"
    m = new(impl.pairs(20))
    assert repr(m) == f"{name}({dict(m.items())!r})"
    assert str(m) == repr(m)
    assert f"{m}" == repr(m)


@pytest.mark.needs("repr", "objects", "missing")
def test_recursive_repr(new: NewMap) -> None:
    m = new()
    m["me"] = m
    name = type(m).__name__
    assert repr(m) == f"{name}({{'me': {name}({{...}})}})"
    m["list"] = [m]
    assert repr(m).count("{...}") == 2
    one, other = new(), new()
    one["other"], other["one"] = other, one
    assert repr(one) == f"{name}({{'other': {name}({{'one': {name}({{...}})}})}})"
    for each in (m, one, other):
        each.clear()


@pytest.mark.needs("repr", "objects")
def test_repr_that_raises(new: NewMap) -> None:
    class Unspeakable:
        def __repr__(self) -> str:
            raise ZeroDivisionError

    m = new([(1, Unspeakable())])
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            repr(m)
    del m[1]
    assert "..." not in repr(m)
