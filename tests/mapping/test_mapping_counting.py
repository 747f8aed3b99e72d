"""The mapping suite: add and count."""

from __future__ import annotations

import collections
import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from implementations import Implementation

pytestmark = pytest.mark.needs("counting")
NewMap = Callable[..., Any]


def test_add(new: NewMap, impl: Implementation) -> None:
    m = new()
    assert m.add(impl.key(0)) == 1
    assert m.add(impl.key(0)) == 2
    assert m.add(impl.key(0), 40) == 42
    assert m.add(impl.key(0), -43) == -1
    assert m.add(impl.key(0), 0) == -1
    assert m.add(impl.key(1), 0) == 0
    assert impl.key(1) in m
    assert m[impl.key(0)] == -1


@pytest.mark.needs("objects")
@pytest.mark.parametrize(
    "start", [0, 255, 256, 257, -6, 2**30 - 1, 2**30, 2**31 - 1, 2**62, 2**63 - 2, 2**63 - 1, 2**63, 2**64, 10**30,
              -(2**30), -(2**31), -(2**63), -(2**63) - 1, -(2**64), 0.5, 1e308, -0.0, True, False, 1j]
)  # fmt: skip
def test_add_adds_as_python_does(new: NewMap, start: Any) -> None:
    """Where the core adds in C, it must not overflow, and types come out as from Python's own addition."""
    m = new()
    deltas: list[Any] = [1, -1, 0, 2**62, 2**63 - 1, -(2**63), 2**64, 10**20, 0.5, 1e308, True, Fraction(1, 3)]
    for delta in deltas:
        m["k"] = start
        for expected in (start + delta, start + delta + delta, start + delta + delta + delta):
            found = m.add("k", delta)
            assert found == expected
            assert type(found) is type(expected)
            assert m["k"] is found


@pytest.mark.needs("objects")
def test_add_takes_anything_with_plus(new: NewMap) -> None:
    m = new([("list", [1]), ("tuple", (1,)), ("str", "a"), ("decimal", Decimal("0.1"))])
    m["counter"] = collections.Counter("a")
    items = m["list"]
    assert m.add("list", [2]) == [1, 2]
    assert items == [1]
    assert m.add("tuple", (2,)) == (1, 2)
    assert m.add("str", "b") == "ab"
    assert m.add("decimal", Decimal("0.2")) == Decimal("0.3")
    assert m.add("counter", collections.Counter("ab")) == collections.Counter("aab")


@pytest.mark.needs("objects")
def test_add_to_an_absent_key_stores_the_delta_as_it_is(new: NewMap) -> None:
    m = new()
    delta = [1]
    assert m.add("k", delta) is delta
    assert m["k"] is delta
    assert m.add("none", None) is None


@pytest.mark.needs("objects")
def test_add_uses_the_operator_of_subclasses(new: NewMap) -> None:
    class Money(int):
        def __add__(self, other: int) -> Money:
            return Money(int(self) + int(other) * 100)

        def __radd__(self, other: int) -> Money:
            return Money(int(self) * 1000 + int(other))

    m = new([("left", Money(1)), ("right", 1)])
    assert (m.add("left", 1), type(m["left"])) == (101, Money)
    assert (m.add("right", Money(1)), type(m["right"])) == (1001, Money)


@pytest.mark.needs("objects")
def test_add_that_fails_changes_nothing(new: NewMap) -> None:
    class Broken:
        def __add__(self, other: object) -> object:
            raise ZeroDivisionError

    value = Broken()
    m = new([("none", None), ("text", "a"), ("broken", value)])
    for key, delta, error in [("none", 1, TypeError), ("text", 1, TypeError), ("broken", 1, ZeroDivisionError)]:
        for _ in range(2):
            with pytest.raises(error):
                m.add(key, delta)
    assert m == {"none": None, "text": "a", "broken": value}
    assert m.stats()["reserved"] == 0


@pytest.mark.needs("objects")
def test_count_that_fails(new: NewMap) -> None:
    m = new([("text", "a")])
    with pytest.raises(TypeError):
        m.count(["x", "text", "y"])
    assert m["x"] == 1
    assert m["text"] == "a"


INPUTS: dict[str, Callable[[list[Any]], Any]] = {
    "list": list,
    "tuple": tuple,
    "iterator": iter,
    "generator": lambda items: (item for item in items),
    "deque": collections.deque,
    "dict keys": lambda items: dict.fromkeys(items, 1).keys(),
    "dict": lambda items: dict.fromkeys(items, 50),
    "set": set,
}


@pytest.mark.parametrize("kind", INPUTS)
def test_count(new: NewMap, impl: Implementation, kind: str) -> None:
    rng = random.Random(1)
    items = [impl.key(int(rng.expovariate(0.05))) for _ in range(5000)]
    expected = collections.Counter(iter(INPUTS[kind](items)))
    m = new()
    assert m.count(INPUTS[kind](items)) is None
    assert m == expected
    m.count(INPUTS[kind](items))
    assert m == expected + expected


def test_count_of_nothing(new: NewMap) -> None:
    m = new()
    empties: list[Any] = [[], (), iter([]), {}, ""]
    for empty in empties:
        m.count(empty)
    assert m == {}
    for bad in (None, 7):
        with pytest.raises(TypeError):
            m.count(bad)


@pytest.mark.needs("objects")
def test_count_text(new: NewMap) -> None:
    m = new()
    m.count("abracadabra")
    assert m == collections.Counter("abracadabra")
    m.count(b"ab")
    assert m[ord("a")] == 1


@pytest.mark.needs("objects")
def test_count_on_top_of_other_numbers(new: NewMap) -> None:
    m = new([("float", 0.5), ("big", 2**63 - 1), ("huge", 2**64), ("bool", True), ("fraction", Fraction(1, 2))])
    m.count([*m, *m])
    assert m == {"float": 2.5, "big": 2**63 + 1, "huge": 2**64 + 2, "bool": 3, "fraction": Fraction(5, 2)}
    assert type(m["bool"]) is int


def test_count_of_itself(new: NewMap, impl: Implementation) -> None:
    m = new()
    m.count(impl.key(number) for number in range(50))
    m.count(m)
    assert m == {impl.key(number): 2 for number in range(50)}
    m.count(m.keys())
    assert m == {impl.key(number): 3 for number in range(50)}


def test_count_keeps_what_came_before_an_error(new: NewMap, impl: Implementation) -> None:
    def interrupted() -> Iterator[Any]:
        for _ in range(1000):
            yield impl.key(0)
        yield impl.key(1)
        raise ZeroDivisionError

    m = new()
    with pytest.raises(ZeroDivisionError):
        m.count(interrupted())
    assert m == {impl.key(0): 1000, impl.key(1): 1}
    with pytest.raises(TypeError, match="unhashable"):
        m.count([impl.key(0)] * 10 + [impl.key(2), []])
    assert m == {impl.key(0): 1010, impl.key(1): 1, impl.key(2): 1}


def test_count_around_reads(new: NewMap, impl: Implementation) -> None:
    """Counts may be batched inside one call; they are there when the call returns."""
    m = new()
    for number in range(1, 300):
        m.count([impl.key(0)] * 3 + [impl.key(number)])
        assert m[impl.key(0)] == 3 * number
        assert m[impl.key(number)] == 1
