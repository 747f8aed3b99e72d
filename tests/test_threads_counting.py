"""Counting from many threads: every increment is in the total, and every intermediate total is returned once."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from concurrency import (
    THREADS,
    AnyMap,
    Setup,
    assert_same_elements,
    assert_settled,
    new_random,
    on_every_setup,
    run_copies,
    run_threads,
    scaled,
)

from shardmap import MISSING

KEYS = 24
OPERATIONS = scaled(1500)


def numbers_for(seed: int, thread: int) -> list[int]:
    """The key numbers that a thread counts; a few of them hot."""
    choose = random.Random(seed + thread)
    return [min(choose.randrange(KEYS), choose.randrange(KEYS)) for _ in range(OPERATIONS)]


def expected_counts(setup: Setup, numbers: Iterable[int]) -> dict[Any, int]:
    return {setup.key(number): count for number, count in Counter(numbers).items()}


@on_every_setup
def test_add_loses_nothing_and_returns_each_total_once(setup: Setup) -> None:
    m = setup.new()
    seed = new_random().randrange(1 << 32)

    def body(thread: int) -> list[tuple[int, int]]:
        return [(number, m.add(setup.key(number))) for number in numbers_for(seed, thread)]

    returned = [pair for pairs in run_copies(body) for pair in pairs]
    totals = Counter(number for number, _ in returned)
    assert assert_settled(m) == {setup.key(number): total for number, total in totals.items()}
    assert_same_elements(returned, [(number, total + 1) for number in totals for total in range(totals[number])])


@on_every_setup
def test_add_of_both_signs_and_of_floats(setup: Setup) -> None:
    m = setup.new()

    def body(thread: int) -> None:
        delta = 1 << thread
        for number in range(OPERATIONS):
            m.add(setup.key(number % KEYS), delta)
            m.add(setup.key(number % KEYS), -delta)
            m.add(setup.key(KEYS + number % 3), 0.5)

    run_copies(body)
    entries = assert_settled(m)
    assert all(entries[key] == 0 for key in setup.keys(KEYS))
    assert sum(entries[key] for key in setup.keys(range(KEYS, KEYS + 3))) == OPERATIONS * THREADS * 0.5


@on_every_setup
def test_count_equals_counter(setup: Setup) -> None:
    m = setup.new()
    seed = new_random().randrange(1 << 32)

    def body(thread: int) -> None:
        m.count(setup.key(number) for number in numbers_for(seed, thread))
        m.count(setup.keys(numbers_for(seed, thread)))

    run_copies(body)
    numbers = [number for thread in range(THREADS) for number in numbers_for(seed, thread) * 2]
    assert assert_settled(m) == expected_counts(setup, numbers)


@on_every_setup
def test_count_of_an_iterable_that_raises_keeps_what_came_before(setup: Setup) -> None:
    m = setup.new()
    rounds = scaled(100)

    def some(number: int) -> Iterator[Any]:
        yield from setup.keys(number % 7)
        raise LookupError(number)

    def body(thread: int) -> None:
        for number in range(rounds):
            try:
                m.count(some(number))
            except LookupError as error:
                assert error.args == (number,)
            else:
                raise AssertionError("the iterable's exception is lost")

    run_copies(body)
    numbers = [n for number in range(rounds) for n in range(number % 7)] * THREADS
    assert assert_settled(m) == expected_counts(setup, numbers)


@on_every_setup
def test_every_way_to_count_meets_on_the_same_keys(setup: Setup) -> None:
    m = setup.new()
    seed = new_random().randrange(1 << 32)

    def by_add(key: Any) -> None:
        m.add(key, 1)

    def by_merge(key: Any) -> None:
        m.merge(key, 1, lambda old, one: old + one)

    def by_compute(key: Any) -> None:
        m.compute(key, lambda old: 1 if old is MISSING else old + 1)

    def by_compute_if_present(key: Any) -> None:
        if not m.insert(key, 1):
            assert m.compute_if_present(key, lambda old: old + 1) is not MISSING

    def by_compute_if_absent(key: Any) -> None:
        m.compute_if_absent(key, lambda _: 0)
        m.add(key)

    def by_compare_and_set(key: Any) -> None:
        m.setdefault(key, 0)
        while True:
            old = m[key]
            if m.compare_and_set(key, old, old + 1):
                return

    def by_count(key: Any) -> None:
        m.count([key])

    ways = [by_add, by_merge, by_compute, by_compute_if_present, by_compute_if_absent, by_compare_and_set, by_count]

    def body(thread: int) -> None:
        choose = random.Random(seed - thread)
        for number in numbers_for(seed, thread):
            choose.choice(ways)(setup.key(number))

    run_copies(body)
    numbers = [number for thread in range(THREADS) for number in numbers_for(seed, thread)]
    assert assert_settled(m) == expected_counts(setup, numbers)


@on_every_setup
def test_totals_only_rise_for_a_reader(setup: Setup) -> None:
    m = setup.new()
    key = setup.key(0)
    m[key] = 0
    seen = [0]

    def read() -> None:
        values: list[Any] = [m[key], m.get(key), m.get_many([key])[0], m.snapshot()[key]]
        for value in values:
            assert value >= seen[0], "an older total after a newer one"
            seen[0] = value

    def body(_: int) -> None:
        for _ in range(OPERATIONS):
            m.add(setup.key(0))
            m.add(setup.key(1))

    run_copies(body, threads=2, background=[read])
    assert assert_settled(m) == {setup.key(0): 2 * OPERATIONS, setup.key(1): 2 * OPERATIONS}


def test_two_maps_do_not_mix() -> None:
    maps: list[AnyMap] = [Setup("stressed", "str").new() for _ in range(2)]

    def counting(m: AnyMap, delta: int) -> None:
        for number in range(OPERATIONS):
            m.add(number % KEYS, delta)

    pairs = list(zip(maps, (1, 1000), strict=True))
    run_threads([partial(counting, m, delta) for m, delta in pairs * 2])
    for m, delta in pairs:
        assert sum(assert_settled(m).values()) == 2 * OPERATIONS * delta
