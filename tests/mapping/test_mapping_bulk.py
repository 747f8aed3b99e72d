"""The mapping suite: get_many, set_many, delete_many, retain, partitions."""

from __future__ import annotations

import collections
import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from implementations import Implementation

pytestmark = pytest.mark.needs("bulk")
NewMap = Callable[..., Any]

KEYS: dict[str, Callable[[list[Any]], Any]] = {
    "list": list,
    "tuple": tuple,
    "generator": lambda keys: (key for key in keys),
    "deque": collections.deque,
}


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 64, 1000])
def test_get_many(new: NewMap, impl: Implementation, kind: str, count: int) -> None:
    m = new(impl.pairs(count))
    numbers = [*range(count + 5), *range(3)]
    random.Random(count).shuffle(numbers)
    keys = [impl.key(number) for number in numbers]
    default = impl.value(-1)
    found = m.get_many(KEYS[kind](keys))
    assert type(found) is list
    assert found == [impl.value(number) if number < count else None for number in numbers]
    assert m.get_many(KEYS[kind](keys), default) == [impl.value(n) if n < count else default for n in numbers]
    assert len(m) == count


def test_get_many_of_views_and_maps(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(40))
    for keys in (m, m.keys(), dict(m), set(m)):
        found = m.get_many(keys)
        assert len(found) == 40
        assert sorted(map(repr, found)) == sorted(map(repr, m.values()))


@pytest.mark.parametrize("method", ["get_many", "delete_many", "set_many", "count"])
def test_what_is_not_iterable(new: NewMap, method: str) -> None:
    for bad in (None, 7, object()):
        with pytest.raises(TypeError):
            getattr(new(), method)(bad)


def test_set_many(new: NewMap, impl: Implementation) -> None:
    m = new()
    assert m.set_many(impl.pairs(30)) is None
    assert m == dict(impl.pairs(30))
    m.set_many({impl.key(3): impl.value(33), impl.key(30): impl.value(30)})
    m.set_many((impl.key(number), impl.value(44)) for number in (4, 4))
    m.set_many(new([(impl.key(5), impl.value(55))]))
    m.set_many([])
    expected = dict(impl.pairs(31)) | {impl.key(n): impl.value(11 * n) for n in (3, 4, 5)}
    assert m == expected


def test_delete_many(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(100))
    assert m.delete_many([]) == 0
    assert m.delete_many([impl.key(number) for number in range(90, 110)]) == 10
    assert m.delete_many(impl.key(number) for number in (0, 0, 1)) == 2
    assert m == dict(impl.pairs(90)[2:])
    assert m.delete_many(m) == 88
    assert len(m) == 0
    assert m.delete_many([impl.key(0)]) == 0


def test_bulk_keeps_what_came_before_an_error(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(10))
    with pytest.raises(TypeError, match="unhashable"):
        m.delete_many([impl.key(0), impl.key(1), [], impl.key(2)])
    assert m == dict(impl.pairs(10)[2:])
    with pytest.raises(TypeError, match="unhashable"):
        m.get_many([impl.key(2), []])

    def interrupted() -> Iterator[Any]:
        yield impl.key(2)
        raise ZeroDivisionError

    for method in (m.get_many, m.delete_many):
        with pytest.raises(ZeroDivisionError):
            method(interrupted())
    assert m == dict(impl.pairs(10)[3:])


def test_retain(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(100))
    kept = {impl.key(number) for number in range(0, 100, 3)}
    judged = []

    def judge(key: Any, value: Any) -> bool:
        judged.append((key, value))
        return key in kept

    assert m.retain(judge) == 66
    assert set(m) == kept
    assert len(judged) == 100
    assert dict(judged) == dict(impl.pairs(100))
    assert m.retain(lambda key, value: True) == 0
    assert m.retain(lambda key, value: "truthy") == 0
    assert m.retain(lambda key, value: None) == 34
    assert len(m) == 0
    assert m.retain(judge) == 0
    assert len(judged) == 100


def test_retain_whose_predicate_raises(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(50))
    calls = itertools.count()

    def judge(key: Any, value: Any) -> bool:
        if next(calls) == 20:
            raise ZeroDivisionError
        return False

    with pytest.raises(ZeroDivisionError):
        m.retain(judge)
    assert 30 <= len(m) <= 50
    assert dict(m).items() <= dict(impl.pairs(50)).items()
    for bad in (None, 7):
        with pytest.raises(TypeError):
            m.retain(bad)


def test_retain_while_the_predicate_changes_the_map(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(50))

    def judge(key: Any, value: Any) -> bool:
        m[impl.key(100 + len(m))] = impl.value(0)
        m.pop(impl.key(7), None)
        return True

    removed = m.retain(judge)
    assert removed == 0
    assert impl.key(7) not in m
    assert all(impl.key(number) in m for number in range(50) if number != 7)


def test_retain_judges_a_changed_value_again(new: NewMap, impl: Implementation) -> None:
    """What is removed is what was judged: a value set meanwhile gets a judgement of its own."""
    m = new(impl.pairs(1))
    key = impl.key(0)
    judged = []

    def judge(key: Any, value: Any) -> bool:
        judged.append(value)
        if len(judged) == 1:
            m[key] = impl.value(1)
            return False
        return True

    assert m.retain(judge) == 0
    assert judged == [impl.value(0), impl.value(1)]
    assert m[key] == impl.value(1)


def test_retain_whose_predicate_deletes_or_clears(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(50))

    def delete(key: Any, value: Any) -> bool:
        del m[key]
        return False

    assert m.retain(delete) == 0
    assert len(m) == 0
    m.update(impl.pairs(50))

    def clear(key: Any, value: Any) -> bool:
        m.clear()
        return False

    assert m.retain(clear) == 0
    assert len(m) == 0


@pytest.mark.parametrize("parts", [1, 2, 3, 16, 100])
@pytest.mark.parametrize("count", [0, 1, 10, 1000])
def test_partitions(new: NewMap, impl: Implementation, parts: int, count: int) -> None:
    m = new(impl.pairs(count))
    found = m.partitions(parts)
    assert type(found) is list
    assert len(found) == parts
    items = [item for part in found for item in part]
    assert len(items) == count
    assert dict(items) == dict(impl.pairs(count))
    for part in m.partitions(parts):
        assert iter(part) is iter(part)


def test_partitions_taken_in_turns(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(500))
    turns = list(itertools.chain.from_iterable(itertools.zip_longest(*m.partitions(4))))
    items = [item for item in turns if item is not None]
    assert len(items) == 500
    assert dict(items) == dict(impl.pairs(500))


def test_partitions_while_the_map_changes(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(300))
    seen = []
    for part in m.partitions(3):
        for key, _ in part:
            seen.append(key)
            m[impl.key(1000 + len(seen))] = impl.value(0)
            m.pop(impl.key(2 * len(seen)), None)
    assert len(seen) == len(set(seen))
    assert {impl.key(number) for number in range(1, 300, 2)} <= set(seen)


@pytest.mark.parametrize("bad", [0, -1, -(2**70)])
def test_partitions_needs_a_positive_number(new: NewMap, bad: int) -> None:
    with pytest.raises((ValueError, OverflowError)):
        new().partitions(bad)


def test_partitions_needs_a_number(new: NewMap) -> None:
    for bad in ("2", None, 1.5):
        with pytest.raises(TypeError):
            new().partitions(bad)
