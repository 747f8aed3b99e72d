"""The mapping suite: insert, replace, swap, compare_and_set, compare_and_delete."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from implementations import Implementation

pytestmark = pytest.mark.needs("conditional")
NewMap = Callable[..., Any]


def test_insert(new: NewMap, impl: Implementation) -> None:
    m = new()
    assert m.insert(impl.key(0), impl.value(0)) is True
    assert m.insert(impl.key(0), impl.value(1)) is False
    assert m == {impl.key(0): impl.value(0)}
    assert [m.insert(impl.key(number), impl.value(number)) for number in range(200)] == [False] + [True] * 199
    assert m == dict(impl.pairs(200))


def test_replace(new: NewMap, impl: Implementation) -> None:
    m = new()
    assert m.replace(impl.key(0), impl.value(0)) is False
    assert m == {}
    m[impl.key(0)] = impl.value(0)
    assert m.replace(impl.key(0), impl.value(1)) is True
    assert m.replace(impl.key(5), impl.value(1)) is False
    assert m == {impl.key(0): impl.value(1)}


def test_swap(new: NewMap, impl: Implementation) -> None:
    m = new()
    default = impl.value(9)
    assert m.swap(impl.key(0), impl.value(0)) is None
    assert m.swap(impl.key(0), impl.value(1)) == impl.value(0)
    assert m.swap(impl.key(0), impl.value(2), default) == impl.value(1)
    assert m.swap(impl.key(1), impl.value(3), default) is default
    assert m == {impl.key(0): impl.value(2), impl.key(1): impl.value(3)}


def test_compare_and_set(new: NewMap, impl: Implementation) -> None:
    m = new()
    assert m.compare_and_set(impl.key(0), impl.value(0), impl.value(1)) is False
    assert m.compare_and_set(impl.key(0), None, impl.value(1)) is False
    assert m == {}
    m[impl.key(0)] = impl.value(0)
    assert m.compare_and_set(impl.key(0), impl.value(5), impl.value(1)) is False
    assert m[impl.key(0)] == impl.value(0)
    assert m.compare_and_set(impl.key(0), impl.value(0), impl.value(1)) is True
    assert m == {impl.key(0): impl.value(1)}
    assert m.compare_and_set(impl.key(0), impl.value(1), impl.value(1)) is True
    assert m.compare_and_set(impl.key(7), impl.value(1), impl.value(1)) is False


def test_compare_and_delete(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(2))
    assert m.compare_and_delete(impl.key(5), impl.value(5)) is False
    assert m.compare_and_delete(impl.key(0), impl.value(1)) is False
    assert m == dict(impl.pairs(2))
    assert m.compare_and_delete(impl.key(0), impl.value(0)) is True
    assert m == {impl.key(1): impl.value(1)}
    assert m.compare_and_delete(impl.key(0), impl.value(0)) is False
    assert m.compare_and_delete(impl.key(0), None) is False


@pytest.mark.needs("objects")
def test_comparison_is_by_identity_and_then_by_equality(new: NewMap) -> None:
    class Never:
        def __eq__(self, other: object) -> bool:
            raise AssertionError("identity comes first")

    nan, never = float("nan"), Never()
    m = new([("nan", nan), ("never", never), ("one", 1)])
    assert m.compare_and_set("nan", float("nan"), 0) is False
    assert m.compare_and_set("nan", nan, nan) is True
    assert m.compare_and_delete("nan", nan) is True
    assert m.compare_and_set("never", never, never) is True
    assert m.compare_and_delete("never", never) is True
    assert m.compare_and_set("one", 1.0, 2) is True
    assert m["one"] == 2
    assert m.compare_and_delete("one", complex(2)) is True


@pytest.mark.needs("objects")
def test_comparison_whose_result_is_no_bool(new: NewMap) -> None:
    class Vague:
        def __init__(self, answer: object) -> None:
            self.answer = answer

        def __eq__(self, other: object) -> Any:
            return self.answer

    class NoTruth:
        def __bool__(self) -> bool:
            raise ZeroDivisionError

    m = new([("yes", Vague([1])), ("no", Vague("")), ("raises", Vague(NoTruth()))])
    assert m.compare_and_set("yes", 5, Vague(0)) is True
    assert m.compare_and_set("no", 5, 6) is False
    with pytest.raises(ZeroDivisionError):
        m.compare_and_set("raises", 5, 6)
    with pytest.raises(ZeroDivisionError):
        m.compare_and_delete("raises", 5)
    assert len(m) == 3
