"""Iteration, views and ``len`` while the map grows and changes: permanent keys exactly once, no key twice, no error."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from concurrency import (
    THREADS,
    AnyMap,
    Setup,
    assert_same_elements,
    assert_settled,
    on_every_setup,
    run_copies,
    run_threads,
    scaled,
)

from shardmap import ShardMap

PERMANENT = 120
#: Numbers of the keys that come and go start here.
PASSING = 10_000
ROUNDS = scaled(12)

WAYS: dict[str, Callable[[AnyMap], Iterable[tuple[Any, Any]]]] = {
    "iter": lambda m: ((key, None) for key in m),
    "keys": lambda m: ((key, None) for key in m.keys()),  # noqa: SIM118
    "items": lambda m: m.items(),
    "values": lambda m: ((None, value) for value in m.values()),
    "partitions": lambda m: itertools.chain.from_iterable(m.partitions(3)),
    "snapshot": lambda m: m.snapshot().items(),
    "copy": lambda m: m.copy().items(),
}


def assert_sound(setup: Setup, items: Iterable[tuple[Any, Any]]) -> None:
    """The permanent keys exactly once, no key twice, and no value with a key that is not its own."""
    numbers = []
    for key, number in items:
        if number is None:
            number = int(key[4:]) if isinstance(key, str) else key.label
        elif key is not None:
            assert key == setup.key(number)
        numbers.append(number)
    assert len(set(numbers)) == len(numbers), "a key came twice"
    assert_same_elements([number for number in numbers if number < PASSING], range(PERMANENT))


def filled(setup: Setup) -> AnyMap:
    m = setup.new()
    m.update((setup.key(number), number) for number in range(PERMANENT))
    return m


@on_every_setup
@pytest.mark.parametrize("way", WAYS)
def test_iteration_during_growth_and_churn(setup: Setup, way: str) -> None:
    m = filled(setup)
    fresh = [itertools.count(PASSING + thread, 2) for thread in range(2)]

    def churn(thread: int) -> None:
        """New keys by the hundred, and gone again: growth, same-size growth, reused slots and entries."""
        numbers = list(itertools.islice(fresh[thread], 100))
        for number in numbers:
            m[setup.key(number)] = number
        for number in range(thread, PERMANENT, 2):
            m[setup.key(number)] = number
        for number in numbers:
            del m[setup.key(number)]

    def read() -> None:
        for _ in range(ROUNDS):
            assert_sound(setup, WAYS[way](m))

    run_threads([read], background=[lambda: churn(0), lambda: churn(1)])
    assert assert_settled(m) == {setup.key(number): number for number in range(PERMANENT)}


@on_every_setup
@pytest.mark.parametrize("way", ["iter", "items", "values", "partitions"])
def test_an_iterator_outlives_growth_and_shrinking(setup: Setup, way: str) -> None:
    """Every iterator here is begun before the map becomes many times larger and ended after it is small again."""
    m = filled(setup)
    iterators = [iter(WAYS[way](m)) for _ in range(20)]
    begun = [[next(iterator) for _ in range(number)] for number, iterator in enumerate(iterators)]

    def body(thread: int) -> None:
        numbers = range(PASSING + thread, PASSING + scaled(2000), THREADS)
        m.set_many((setup.key(number), number) for number in numbers)
        for mine in range(thread, 10, THREADS):
            begun[mine].extend(iterators[mine])
        m.delete_many(setup.key(number) for number in numbers)
        m.shrink()

    run_copies(body)
    for start, iterator in zip(begun, iterators, strict=True):
        assert_sound(setup, [*start, *iterator])
    assert assert_settled(m) == {setup.key(number): number for number in range(PERMANENT)}


@on_every_setup
def test_len_stays_in_its_bounds(setup: Setup) -> None:
    m = filled(setup)

    def body(thread: int) -> None:
        key = setup.key(PASSING + thread)
        for number in range(scaled(1500)):
            m[key] = number
            if number % 2:
                del m[key]
            else:
                assert m.compute(key, lambda old: old) == number
                assert m.pop(key) == number

    def look() -> None:
        assert PERMANENT <= len(m) <= PERMANENT + THREADS
        assert PERMANENT <= m.stats()["entries"] <= PERMANENT + THREADS
        assert m

    run_copies(body, background=[look])
    assert len(assert_settled(m)) == PERMANENT


@on_every_setup
def test_present_keys_are_always_found_and_absent_ones_never(setup: Setup) -> None:
    m = filled(setup)
    rounds = itertools.count()

    def churn() -> None:
        for start in range(PASSING, PASSING + 400, 100):
            m.set_many((setup.key(number), number) for number in range(start, start + 100))
        if next(rounds) % 3 == 0:
            m.reserve(1000)
        assert m.delete_many(setup.key(number) for number in range(PASSING, PASSING + 400)) == 400
        m.shrink()

    def overwrite() -> None:
        for number in range(PERMANENT):
            m[setup.key(number)] = number

    def read() -> None:
        for _ in range(ROUNDS * 2):
            for number in range(PERMANENT):
                assert m[setup.key(number)] == number
                assert setup.key(number) in m
                assert m.get(setup.key(-1 - number)) is None
                assert setup.key(-1 - number) not in m
                assert not m.insert(setup.key(number), "wrong")
                assert m.setdefault(setup.key(number), "wrong") == number
            assert m.get_many(setup.keys(PERMANENT)) == list(range(PERMANENT))

    run_threads([read, read], background=[churn, overwrite])
    assert assert_settled(m) == {setup.key(number): number for number in range(PERMANENT)}


@on_every_setup
def test_views_are_live_sets(setup: Setup) -> None:
    m = filled(setup)
    permanent_keys = set(setup.keys(PERMANENT))
    permanent_items = {(setup.key(number), number) for number in range(PERMANENT)}
    keys, items, values, read_only = m.keys(), m.items(), m.values(), m.view()

    def churn() -> None:
        for number in range(PASSING, PASSING + 50):
            m[setup.key(number)] = number
        for number in range(PASSING, PASSING + 50):
            m.pop(setup.key(number))

    def read() -> None:
        for _ in range(ROUNDS // 2 + 1):
            assert keys >= permanent_keys
            assert items >= permanent_items
            assert keys & permanent_keys == permanent_keys
            assert items & permanent_items == permanent_items
            assert permanent_keys - keys == set()
            assert len(keys | permanent_keys) >= PERMANENT
            assert not keys.isdisjoint(permanent_keys)
            assert set(range(PERMANENT)) <= set(values)
            assert PERMANENT - 1 in values
            assert (setup.key(0), 0) in items
            assert (setup.key(0), 1) not in items
            assert set(read_only) >= permanent_keys

    run_threads([read], background=[churn, churn_other(m, setup)])
    assert len(assert_settled(m)) == PERMANENT


def churn_other(m: AnyMap, setup: Setup) -> Callable[[], None]:
    def churn() -> None:
        m.set_many((setup.key(number), number) for number in range(2 * PASSING, 2 * PASSING + 50))
        m.delete_many(setup.key(number) for number in range(2 * PASSING, 2 * PASSING + 50))

    return churn


@on_every_setup
@pytest.mark.parametrize("way", ["iter", "items", "values"])
def test_threads_share_an_iterator(setup: Setup, way: str) -> None:
    """Each gets elements that the others do not, and together they get all."""
    m = filled(setup)
    makers: dict[str, Callable[[], Iterator[Any]]] = {
        "iter": lambda: iter(m),
        "items": lambda: iter(m.items()),
        "values": lambda: iter(m.values()),
    }

    def churn() -> None:
        m.set_many((setup.key(number), number) for number in range(PASSING, PASSING + 50))
        m.delete_many(setup.key(number) for number in range(PASSING, PASSING + 50))

    for _ in range(ROUNDS // 3 + 1):
        shared = makers[way]()
        elements = [element for part in run_copies(lambda _: list(shared), background=[churn]) for element in part]
        pairs: dict[str, Callable[[Any], tuple[Any, Any]]] = {
            "iter": lambda element: (element, None),
            "items": lambda element: element,
            "values": lambda element: (None, element),
        }
        assert_sound(setup, map(pairs[way], elements))
        assert next(shared, None) is None
    assert len(assert_settled(m)) == PERMANENT


@on_every_setup
def test_many_threads_iterate_at_once(setup: Setup) -> None:
    m = filled(setup)

    def body(thread: int) -> None:
        for round_ in range(ROUNDS):
            number = PASSING + thread
            m[setup.key(number)] = number
            assert_sound(setup, WAYS[list(WAYS)[round_ % len(WAYS)]](m))
            del m[setup.key(number)]

    run_copies(body)
    assert len(assert_settled(m)) == PERMANENT


def test_threads_share_an_iterator_while_the_map_is_held() -> None:
    """Each element goes to one thread, also when some of them had to wait for the lock of the next shard."""
    numbers = range(20_000)
    m: AnyMap = ShardMap(zip(numbers, numbers, strict=True), shards=256)
    for _ in range(scaled(20)):
        shared = iter(m)
        shares = run_copies(lambda _, shared=shared: list(shared), background=[m.snapshot])
        assert_same_elements(itertools.chain.from_iterable(shares), numbers)


def test_an_iterator_that_another_thread_has_ended() -> None:
    """The iterator keeps the map only until its end; whoever still waits for a lock of that map then has to keep it."""
    for _ in range(scaled(20)):
        m: AnyMap = ShardMap(shards=65536)
        last = next(key for key in itertools.count() if m.shard_of(key) == 65535)
        m[last] = "value"
        one = [m]
        iterators = [iter(m)] * 2
        del m

        def hold(one: list[AnyMap] = one) -> None:
            one.pop().snapshot()

        def end(iterators: list[Iterator[int]] = iterators) -> list[int]:
            return list(iterators.pop())

        _, *shares = run_threads([hold, end, end])
        assert sorted(itertools.chain.from_iterable(shares)) == [last]
