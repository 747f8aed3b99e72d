"""The mapping suite: keys(), values() and items() as live, set-like views."""

from __future__ import annotations

from collections.abc import Callable, ItemsView, KeysView, Mapping, ValuesView
from typing import Any

import pytest
from implementations import Implementation

NewMap = Callable[..., Any]


def test_views_are_live(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(2))
    keys, values, items = m.keys(), m.values(), m.items()
    m[impl.key(2)] = impl.value(2)
    del m[impl.key(0)]
    assert set(keys) == {impl.key(1), impl.key(2)}
    assert sorted(map(repr, values)) == sorted(map(repr, [impl.value(1), impl.value(2)]))
    assert dict(items) == {impl.key(1): impl.value(1), impl.key(2): impl.value(2)}
    assert len(keys) == len(values) == len(items) == 2
    m.clear()
    assert not list(keys)
    assert not list(values)
    assert not list(items)
    assert len(keys) == len(values) == len(items) == 0


def test_views_are_what_the_abstract_classes_say(new: NewMap) -> None:
    m = new()
    assert isinstance(m.keys(), KeysView)
    assert isinstance(m.values(), ValuesView)
    assert isinstance(m.items(), ItemsView)


def test_membership(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(3))
    assert impl.key(1) in m.keys()  # noqa: SIM118
    assert impl.key(5) not in m.keys()  # noqa: SIM118
    assert impl.value(1) in m.values()
    assert impl.value(5) not in m.values()
    assert (impl.key(1), impl.value(1)) in m.items()
    assert (impl.key(1), impl.value(2)) not in m.items()
    assert (impl.key(5), impl.value(5)) not in m.items()


@pytest.mark.needs("objects")
def test_membership_by_identity_and_of_other_things(new: NewMap, impl: Implementation) -> None:
    nan = float("nan")
    m = new([(impl.key(0), nan), (impl.key(1), None)])
    assert nan in m.values()
    assert None in m.values()
    assert (impl.key(0), nan) in m.items()
    assert (impl.key(1), None) in m.items()
    assert (impl.key(2), None) not in m.items()


def test_set_operators_of_keys(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(3))
    a, b, c, d = (impl.key(number) for number in range(4))
    keys = m.keys()
    assert keys == {a, b, c}
    assert {a, b, c} == keys
    assert keys != {a, b}
    assert keys == new(impl.pairs(3)).keys()
    assert keys & {b, d} == {b}
    assert {b, d} & keys == {b}
    assert keys | {d} == {a, b, c, d}
    assert {d} | keys == {a, b, c, d}
    assert keys - {a} == {b, c}
    assert {a, d} - keys == {d}
    assert keys ^ {a, d} == {b, c, d}
    assert {a, d} ^ keys == {b, c, d}
    assert keys <= {a, b, c}
    assert keys < {a, b, c, d}
    assert not keys < {a, b, c}
    assert keys >= {a}
    assert keys > {a}
    assert not keys > {a, b, c}
    assert keys.isdisjoint({d})
    assert not keys.isdisjoint({a, d})
    for result in (keys & {b}, keys | {d}, keys - {a}, keys ^ {a}):
        assert isinstance(result, set)
    assert len(m) == 3


def test_set_operators_of_items(new: NewMap, impl: Implementation) -> None:
    if impl.name == "one-shard":
        return  # its values are unhashable
    pairs = impl.pairs(3)
    m = new(pairs)
    other = (impl.key(7), impl.value(7))
    changed = (impl.key(0), impl.value(7))
    items = m.items()
    assert items == set(pairs)
    assert items == new(pairs).items()
    assert items != set(pairs[:2])
    assert items & {pairs[0], other, changed} == {pairs[0]}
    assert items | {other} == {*pairs, other}
    assert items - {pairs[0]} == set(pairs[1:])
    assert {pairs[0], other} - items == {other}
    assert items ^ {pairs[0], other} == {*pairs[1:], other}
    assert items <= {*pairs, other}
    assert items >= {pairs[1]}
    assert items.isdisjoint({other, changed})


@pytest.mark.needs("objects")
def test_items_with_unhashable_values(new: NewMap, impl: Implementation) -> None:
    m = new([(impl.key(0), [])])
    assert (impl.key(0), []) in m.items()
    assert m.items() == new([(impl.key(0), [])]).items()
    with pytest.raises(TypeError, match="unhashable"):
        m.items() | set()


def test_views_have_no_hash(new: NewMap) -> None:
    m = new()
    for view in (m.keys(), m.items()):
        with pytest.raises(TypeError, match="unhashable"):
            hash(view)


def test_values_are_not_compared(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(1))
    assert m.values() != m.values()


def test_view_repr(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(1))
    assert repr([impl.key(0)]) in repr(m.keys())
    assert repr([impl.value(0)]) in repr(m.values())
    assert repr([(impl.key(0), impl.value(0))]) in repr(m.items())


@pytest.mark.needs("operators")
def test_view_mapping(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(1))
    for view in (m.keys(), m.values(), m.items()):
        assert issubclass(type(view.mapping), Mapping)
        assert view.mapping[impl.key(0)] == impl.value(0)
        m[impl.key(1)] = impl.value(1)
        assert len(view.mapping) == 2
        with pytest.raises(TypeError):
            view.mapping[impl.key(2)] = impl.value(2)
        del m[impl.key(1)]


def test_view_outlives_its_map(impl: Implementation) -> None:
    keys, values, items = (
        impl.make(impl.pairs(3)).keys(),
        impl.make(impl.pairs(3)).values(),
        impl.make(impl.pairs(3)).items(),
    )
    assert len(keys) == len(list(values)) == len(items) == 3
    assert set(keys) == {impl.key(number) for number in range(3)}
