"""The mapping suite: reading, writing and removing single keys, as every mapping does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from implementations import Implementation

NewMap = Callable[..., Any]


def entries_of(m: Any) -> dict[Any, Any]:
    return dict(m.items())


def test_empty(new: NewMap, impl: Implementation) -> None:
    m = new()
    assert len(m) == 0
    assert not m
    assert impl.key(0) not in m
    assert list(m) == list(m.keys()) == list(m.values()) == list(m.items()) == []
    assert m.get(impl.key(0)) is None
    with pytest.raises(KeyError):
        m[impl.key(0)]


def test_set_get_overwrite(new: NewMap, impl: Implementation) -> None:
    m = new()
    m[impl.key(1)] = impl.value(1)
    m[impl.key(2)] = impl.value(2)
    assert len(m) == 2
    assert m
    assert m[impl.key(1)] == impl.value(1)
    assert impl.key(2) in m
    assert impl.key(3) not in m
    m[impl.key(1)] = impl.value(9)
    assert len(m) == 2
    assert m[impl.key(1)] == impl.value(9)
    assert m[impl.key(2)] == impl.value(2)


@pytest.mark.parametrize("count", [0, 1, 2, 12, 13, 100, 3000])
def test_many_keys(new: NewMap, impl: Implementation, count: int) -> None:
    m = new()
    for number in range(count):
        m[impl.key(number)] = impl.value(number)
        assert len(m) == number + 1
    assert entries_of(m) == dict(impl.pairs(count))
    for number in range(count):
        assert m[impl.key(number)] == impl.value(number)
    assert impl.key(count) not in m
    for number in range(0, count, 2):
        del m[impl.key(number)]
    assert entries_of(m) == {impl.key(number): impl.value(number) for number in range(1, count, 2)}
    for number in range(0, count, 2):
        assert impl.key(number) not in m


def test_absent_keys_are_key_errors(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(3))
    for operation in (lambda key: m[key], m.__delitem__, m.pop):
        key = impl.key(7)
        with pytest.raises(KeyError) as caught:
            operation(key)
        assert caught.value.args == (key,)
        assert caught.value.args[0] is key
    assert len(m) == 3


def test_get(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(1))
    default = impl.value(5)
    assert m.get(impl.key(0)) == impl.value(0)
    assert m.get(impl.key(0), default) == impl.value(0)
    assert m.get(impl.key(1)) is None
    assert m.get(impl.key(1), default) is default
    assert len(m) == 1


def test_setdefault(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(1))
    assert m.setdefault(impl.key(0), impl.value(5)) == impl.value(0)
    assert m.setdefault(impl.key(1), impl.value(5)) == impl.value(5)
    assert entries_of(m) == {impl.key(0): impl.value(0), impl.key(1): impl.value(5)}


def test_delete(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(3))
    del m[impl.key(1)]
    assert entries_of(m) == {impl.key(0): impl.value(0), impl.key(2): impl.value(2)}
    with pytest.raises(KeyError):
        del m[impl.key(1)]
    m[impl.key(1)] = impl.value(4)
    assert m[impl.key(1)] == impl.value(4)
    assert len(m) == 3


def test_pop(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(2))
    default = impl.value(5)
    assert m.pop(impl.key(0)) == impl.value(0)
    assert m.pop(impl.key(0), default) is default
    assert m.pop(impl.key(0), None) is None
    assert m.pop(impl.key(1), default) == impl.value(1)
    assert len(m) == 0


@pytest.mark.parametrize("count", [1, 2, 50])
def test_popitem_empties_the_map(new: NewMap, impl: Implementation, count: int) -> None:
    m = new(impl.pairs(count))
    popped = []
    for left in range(count, 0, -1):
        assert len(m) == left
        item = m.popitem()
        assert type(item) is tuple
        assert item[0] not in m
        popped.append(item)
    assert len(popped) == count
    assert dict(popped) == dict(impl.pairs(count))
    for _ in range(2):
        with pytest.raises(KeyError):
            m.popitem()
    m[impl.key(0)] = impl.value(0)
    assert m.popitem() == (impl.key(0), impl.value(0))


def test_popitem_alternating_with_inserts(new: NewMap, impl: Implementation) -> None:
    m = new()
    alive: dict[Any, Any] = {}
    for number in range(400):
        m[impl.key(number)] = alive[impl.key(number)] = impl.value(number)
        if number % 3:
            key, value = m.popitem()
            assert alive.pop(key) == value
    assert entries_of(m) == alive


def test_clear(new: NewMap, impl: Implementation) -> None:
    for count in (0, 1, 500):
        m = new(impl.pairs(count))
        assert m.clear() is None
        assert len(m) == 0
        assert list(m) == []
        assert impl.key(0) not in m
        m[impl.key(0)] = impl.value(1)
        assert entries_of(m) == {impl.key(0): impl.value(1)}


def test_first_key_object_stays(new: NewMap, impl: Implementation) -> None:
    """An overwrite keeps the key that is there, as dict does."""
    m = new(impl.pairs(1))
    (first,) = m
    m[impl.key(0)] = impl.value(1)
    m.setdefault(impl.key(0), impl.value(2))
    m.update([(impl.key(0), impl.value(3))])
    (key,) = m
    assert key == first
    if "objects" in impl.features:
        assert key is first


# -- many at once -----------------------------------------------------------------------------------------------------


class KeysAndGetItem:
    """The least that update takes for a mapping."""

    def __init__(self, entries: dict[Any, Any]) -> None:
        self._entries = entries

    def keys(self) -> list[Any]:
        return list(self._entries)

    def __getitem__(self, key: Any) -> Any:
        return self._entries[key]


SOURCES: dict[str, Callable[[list[tuple[Any, Any]]], Any]] = {
    "list": list,
    "tuple": tuple,
    "generator": lambda pairs: (pair for pair in pairs),
    "pairs that are lists": lambda pairs: [list(pair) for pair in pairs],
    "pairs that are iterators": lambda pairs: [iter(pair) for pair in pairs],
    "dict": dict,
    "dict items": lambda pairs: dict(pairs).items(),
    "zip": lambda pairs: zip([key for key, _ in pairs], [value for _, value in pairs], strict=True),
    "keys and getitem": lambda pairs: KeysAndGetItem(dict(pairs)),
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("count", [0, 1, 200])
def test_construct_and_update_from(new: NewMap, impl: Implementation, source: str, count: int) -> None:
    pairs = impl.pairs(count)
    assert entries_of(new(SOURCES[source](pairs))) == dict(pairs)
    m = new([(impl.key(0), impl.value(77)), (impl.key(1000), impl.value(1000))])
    assert m.update(SOURCES[source](pairs)) is None
    assert entries_of(m) == {impl.key(0): impl.value(77), impl.key(1000): impl.value(1000)} | dict(pairs)


def test_sources_are_only_iterated(new: NewMap, impl: Implementation) -> None:
    """Neither compared nor asked for their truth: some containers answer that with an exception, as arrays do."""

    class Touchy(list[Any]):
        def __eq__(self, other: object) -> bool:
            raise AssertionError("compared")

        def __bool__(self) -> bool:
            raise AssertionError("asked for its truth")

        __ne__ = __eq__
        __hash__ = None  # type: ignore[assignment]

    m = new(Touchy(impl.pairs(3)))
    m.update(Touchy(impl.pairs(4)))
    assert entries_of(m) == dict(impl.pairs(4))


def test_update_from_the_same_kind_of_map(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(5))
    m.update(new([(impl.key(3), impl.value(33)), (impl.key(9), impl.value(9))]))
    assert entries_of(m) == dict(impl.pairs(5)) | {impl.key(3): impl.value(33), impl.key(9): impl.value(9)}
    m.update(m)
    assert len(m) == 6


def test_update_without_arguments(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(2))
    m.update()
    m.update([])
    m.update({})
    assert entries_of(m) == dict(impl.pairs(2))


def test_update_last_pair_wins(new: NewMap, impl: Implementation) -> None:
    m = new()
    m.update([(impl.key(0), impl.value(0)), (impl.key(0), impl.value(1))])
    assert entries_of(m) == {impl.key(0): impl.value(1)}


@pytest.mark.parametrize(
    ("bad", "error"),
    [([()], ValueError), ([(1,)], ValueError), ([(1, 2, 3)], ValueError), ([7], TypeError), (7, TypeError)],
)
def test_update_from_what_are_no_pairs(new: NewMap, bad: Any, error: type[Exception]) -> None:
    m = new()
    with pytest.raises(error):
        m.update(bad)
    with pytest.raises(error):
        new(bad)
    assert len(m) == 0


def test_update_keeps_what_came_before_an_error(new: NewMap, impl: Implementation) -> None:
    m = new()
    with pytest.raises(ValueError):
        m.update([*impl.pairs(3), (impl.key(3),), (impl.key(4), impl.value(4))])
    assert entries_of(m) == dict(impl.pairs(3))

    def interrupted() -> Any:
        yield impl.key(5), impl.value(5)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        m.update(interrupted())
    assert m[impl.key(5)] == impl.value(5)
    assert len(m) == 4


# -- iteration --------------------------------------------------------------------------------------------------------


def test_iteration(new: NewMap, impl: Implementation) -> None:
    pairs = impl.pairs(100)
    m = new(pairs)
    assert set(m) == {key for key, _ in pairs}
    assert len(list(m)) == 100
    iterator = iter(m)
    assert iter(iterator) is iterator
    assert len(list(iterator)) == 100
    for _ in range(2):
        with pytest.raises(StopIteration):
            next(iterator)
    assert dict(zip(m.keys(), m.values(), strict=True)) == dict(m.items()) == dict(m) == {**m} == dict(pairs)


def test_iterators_are_independent(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(10))
    assert sum(1 for _ in m for _ in m) == 100


@pytest.mark.needs("conditional")
def test_iteration_while_the_map_changes(new: NewMap, impl: Implementation) -> None:
    """Weakly consistent: no exception, what stays is yielded exactly once, nothing twice."""
    m = new(impl.pairs(300))
    seen = []
    for key in m:
        seen.append(key)
        number = len(seen)
        m[impl.key(1000 + number)] = impl.value(number)
        m.pop(impl.key(2 * number), None)
        m[key] = impl.value(number)
    assert len(seen) == len(set(seen))
    always = {impl.key(number) for number in range(1, 300, 2)}
    assert always <= set(seen)


@pytest.mark.needs("conditional")
def test_iteration_while_the_map_is_cleared(new: NewMap, impl: Implementation) -> None:
    for kind in (iter, lambda m: iter(m.values()), lambda m: iter(m.items())):
        m = new(impl.pairs(300))
        iterator = kind(m)
        next(iterator)
        m.clear()
        assert len(list(iterator)) < 300
        assert len(m) == 0


@pytest.mark.needs("conditional")
def test_iterator_outlives_its_map(impl: Implementation) -> None:
    iterators = [iter(m) for m in [impl.make(impl.pairs(50))]]
    iterators += [iter(impl.make(impl.pairs(50)).values()), iter(impl.make(impl.pairs(50)).items())]
    assert [len(list(iterator)) for iterator in iterators] == [50, 50, 50]
