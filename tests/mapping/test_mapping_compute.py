"""The mapping suite: compute, compute_if_absent, compute_if_present, merge, as one thread sees them.

What the reservation of the key means for others is in ``tests/test_compute.py``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
from implementations import Implementation

from shardmap import MISSING

pytestmark = pytest.mark.needs("compute")
NewMap = Callable[..., Any]


def forbidden(*args: object) -> Any:
    raise AssertionError(f"called with {args}")


def test_compute(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(1))
    given = []

    def step(old: Any) -> Any:
        given.append(old)
        return impl.value(len(given))

    assert m.compute(impl.key(0), step) == impl.value(1)
    assert m.compute(impl.key(1), step) == impl.value(2)
    assert given[0] == impl.value(0)
    assert given[1] is MISSING
    assert m == {impl.key(0): impl.value(1), impl.key(1): impl.value(2)}


def test_compute_deletes(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(2))
    assert m.compute(impl.key(0), lambda old: MISSING) is MISSING
    assert m.compute(impl.key(5), lambda old: MISSING) is MISSING
    assert m == {impl.key(1): impl.value(1)}


def test_compute_if_absent(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(1))
    given = []

    def make(key: Any) -> Any:
        given.append(key)
        return impl.value(7)

    assert m.compute_if_absent(impl.key(0), forbidden) == impl.value(0)
    key = impl.key(1)
    assert m.compute_if_absent(key, make) == impl.value(7)
    assert m.compute_if_absent(impl.key(1), forbidden) == impl.value(7)
    assert given == [key]
    assert given[0] is key
    assert m.compute_if_absent(impl.key(2), lambda key: MISSING) is MISSING
    assert m == {impl.key(0): impl.value(0), impl.key(1): impl.value(7)}


def test_compute_if_present(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(2))
    given = []

    def step(old: Any) -> Any:
        given.append(old)
        return impl.value(7)

    assert m.compute_if_present(impl.key(5), forbidden) is MISSING
    assert m.compute_if_present(impl.key(0), step) == impl.value(7)
    assert given == [impl.value(0)]
    assert m.compute_if_present(impl.key(1), lambda old: MISSING) is MISSING
    assert m == {impl.key(0): impl.value(7)}


def test_merge(new: NewMap, impl: Implementation) -> None:
    m = new()
    given = []

    def combine(old: Any, value: Any) -> Any:
        given.append((old, value))
        return impl.value(7)

    assert m.merge(impl.key(0), impl.value(1), forbidden) == impl.value(1)
    assert m.merge(impl.key(0), impl.value(2), combine) == impl.value(7)
    assert given == [(impl.value(1), impl.value(2))]
    assert m == {impl.key(0): impl.value(7)}
    assert m.merge(impl.key(0), impl.value(3), lambda old, value: MISSING) is MISSING
    assert m == {}


@pytest.mark.needs("objects")
def test_results_are_the_objects_themselves(new: NewMap) -> None:
    m = new()
    one, two = object(), object()
    assert m.compute("k", lambda old: one) is one
    assert m["k"] is one
    assert m.compute("k", lambda old: old) is one
    assert m.compute_if_present("k", lambda old: two) is two
    assert m.compute_if_absent("k", forbidden) is two
    assert m.merge("k", one, lambda old, value: value) is one
    assert m.merge("new", two, forbidden) is two
    assert m == {"k": one, "new": two}


OPERATIONS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "compute": lambda m, key, fn: m.compute(key, lambda old: fn()),
    "compute_if_absent": lambda m, key, fn: m.compute_if_absent(key, lambda key: fn()),
    "compute_if_present": lambda m, key, fn: m.compute_if_present(key, lambda old: fn()),
    "merge": lambda m, key, fn: m.merge(key, None, lambda old, value: fn()),
}


@pytest.mark.parametrize("error", [ValueError, KeyError, StopIteration, KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_exception_leaves_the_entry_as_it_was(
    new: NewMap, impl: Implementation, name: str, error: type[BaseException]
) -> None:
    def fail() -> Any:
        raise error("in the callback")

    m = new(impl.pairs(3))
    for key in (impl.key(0), impl.key(9)):
        runs = {"compute", "merge", "compute_if_present"} if key in m else {"compute", "compute_if_absent"}
        if name not in runs:
            continue
        for _ in range(3):
            with pytest.raises(error, match="in the callback"):
                OPERATIONS[name](m, key, fail)
        assert m == dict(impl.pairs(3))
        assert len(m) == 3
        m[key] = impl.value(5)
        assert m.pop(key) == impl.value(5)
        if key == impl.key(0):
            m[key] = impl.value(0)
    assert m.stats()["reserved"] == 0


@pytest.mark.parametrize("name", OPERATIONS)
def test_callbacks_that_cannot_be_called(new: NewMap, impl: Implementation, name: str) -> None:
    m = new(impl.pairs(1))
    for bad in (None, 7, "text"):
        for key in (impl.key(0), impl.key(5)):
            before = dict(m.items())
            try:
                if name == "merge":
                    m.merge(key, impl.value(0), bad)
                else:
                    getattr(m, name)(key, bad)
            except TypeError:
                assert dict(m.items()) == before
            else:
                # It was never needed: absent for merge and compute_if_present, present for compute_if_absent.
                assert name != "compute"
                m.pop(impl.key(5), None)
    with pytest.raises(TypeError):
        m.compute(impl.key(0), lambda: 1)
    with pytest.raises(TypeError):
        m.merge(impl.key(0), 1, lambda old: 1)
    assert m.stats()["reserved"] == 0
    assert m == dict(impl.pairs(1))


@pytest.mark.needs("objects")
def test_callbacks_of_all_kinds(new: NewMap, impl: Implementation) -> None:
    class Step:
        def method(self, old: Any) -> Any:
            return (impl.value(1), old)

        def __call__(self, old: Any) -> Any:
            return (impl.value(2), old)

    for step in (Step().method, Step(), lambda *args: args, functools.partial(lambda a, b: (a, b), 1), str, type):
        m = new(impl.pairs(1))
        assert m.compute(impl.key(0), step) == step(impl.value(0))
        assert m == {impl.key(0): step(impl.value(0))}
