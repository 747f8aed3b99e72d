"""Iteration while other keys come and go, the tables grow and shrink: each permanent key exactly once, no key twice."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from byte_threads import MAPS, assert_settled, check_value, key, number_of, on_every_map, value
from bytemaps import AnyMap, stressed
from concurrency import THREADS, assert_same_elements, run_copies, run_threads, scaled
from support import run_python_ok

from shardmap import ByteMap

PERMANENT = 200
#: Numbers of the keys that come and go start here.
PASSING = 10_000
ROUNDS = scaled(12)

WAYS: dict[str, Callable[[AnyMap], Iterable[tuple[bytes, bytes | None]]]] = {
    "iter": lambda m: ((one, None) for one in m),
    "keys": lambda m: ((one, None) for one in m.keys()),  # noqa: SIM118
    "items": lambda m: m.items(),
    "partitions": lambda m: itertools.chain.from_iterable(m.partitions(3)),
    "snapshot": lambda m: m.snapshot().items(),
    "copy": lambda m: m.copy().items(),
}


def assert_sound(entries: Iterable[tuple[bytes, bytes | None]]) -> None:
    """The permanent keys exactly once, no key twice, and no value that is not its key's."""
    numbers = []
    for one, found in entries:
        numbers.append(number_of(one))
        if found is not None:
            check_value(numbers[-1], found)
    assert len(set(numbers)) == len(numbers), "a key came twice"
    assert_same_elements([number for number in numbers if number < PASSING], range(PERMANENT))


def filled(m: AnyMap) -> AnyMap:
    m.set_many((key(number), value(number, 0, number % 100)) for number in range(PERMANENT))
    return m


@on_every_map
@pytest.mark.parametrize("way", WAYS)
def test_iteration_during_growth_and_churn(variant: str, way: str) -> None:
    m = filled(MAPS[variant]())
    fresh = [itertools.count(PASSING + thread, 2) for thread in range(2)]

    def churn(thread: int) -> None:
        """New keys by the hundred, the permanent ones overwritten, the new ones gone again, and a smaller table."""
        numbers = list(itertools.islice(fresh[thread], 300))
        m.set_many((key(number), value(number, 1, number % 50)) for number in numbers)
        for number in range(thread, PERMANENT, 2):
            m[key(number)] = value(number, numbers[0], number % 70)
        for number in numbers:
            del m[key(number)]
        m.shrink()

    def read() -> None:
        for _ in range(ROUNDS):
            assert_sound(WAYS[way](m))

    run_threads([read], background=[lambda: churn(0), lambda: churn(1)])
    assert_sound(assert_settled(m).items())


@on_every_map
def test_iteration_that_stops_and_goes_on(variant: str) -> None:
    """An iterator rests in the middle of a shard while the table becomes many times as large, and small again."""
    m = filled(MAPS[variant]())
    for rest in range(0, PERMANENT, scaled(20)):
        entries = iter(m.items())
        first = list(itertools.islice(entries, rest))
        passing = [key(PASSING + number) for number in range(2000)]
        m.set_many((one, value(number_of(one), 0, 0)) for one in passing)
        second = list(itertools.islice(entries, 30))
        m.delete_many(passing)
        m.shrink()
        assert_sound(first + second + list(entries))
    assert_sound(assert_settled(m).items())


def test_keys_are_cleared_by_other_maps_operations() -> None:
    """Threads remove by every bulk way what is not permanent, while others read."""
    m = filled(stressed(2, shards=2))
    fresh = itertools.count(PASSING)

    def churn() -> None:
        for number in itertools.islice(fresh, 100):
            m[key(number)] = value(number, 0, 30)

    def retain() -> None:
        m.retain(lambda one, _: number_of(one) < PASSING)

    def read() -> None:
        for _ in range(ROUNDS):
            assert_sound(m.items())

    run_threads([read, read], background=[churn, retain])
    retain()
    assert_sound(assert_settled(m).items())


@on_every_map
def test_threads_share_an_iterator(variant: str) -> None:
    """Each entry goes to one thread, also while all shards are held now and then."""
    m = filled(MAPS[variant]())
    for _ in range(scaled(10)):
        shared = iter(m.items())
        shares = run_copies(lambda _, shared=shared: list(shared), background=[m.snapshot])  # type: ignore[misc]
        assert_sound(itertools.chain.from_iterable(shares))
        assert next(shared, None) is None
    assert_settled(m)


def test_partitions_are_for_threads() -> None:
    m = filled(ByteMap(shards=16))
    for _ in range(scaled(10)):
        parts = m.partitions(THREADS)
        assert_sound(itertools.chain.from_iterable(run_copies(lambda thread, parts=parts: list(parts[thread]))))  # type: ignore[misc]
    assert_settled(m)


def test_iterators_end_with_their_map() -> None:
    """An iterator is all that is left of a map; it has what the map had, and other threads' iterators end meanwhile."""
    for _ in range(scaled(20)):
        m = filled(ByteMap(shards=4))
        iterators: list[Iterator[Any]] = [iter(m.items()) for _ in range(THREADS)]
        begun = [[next(one)] for one in iterators]
        del m

        def finish(
            thread: int, iterators: list[Iterator[Any]] = iterators, begun: list[list[Any]] = begun
        ) -> list[tuple[bytes, bytes]]:
            return begun[thread] + list(iterators.pop())

        assert all(len(entries) == PERMANENT for entries in run_copies(finish))


IN_A_CYCLE = """
import gc
from shardmap import ByteMap

class Map(ByteMap):
    pass

for order in range(20):
    m = Map({b"%d" % number: b"value" * 10 for number in range(300)}, shards=4)
    iterator = iter(m.items())
    next(iterator)
    if order % 2:
        m.iterator = iterator
        del m
        # The collector finds the iterator before its map then.
        gc.collect()
        del iterator
    else:
        m.iterators = [iterator]
        del m, iterator
    gc.collect()
"""


def test_an_iterator_in_a_garbage_cycle_with_its_map() -> None:
    """Whichever of the two the collector takes apart first, the iterator gives back what it keeps to a store that is."""
    run_python_ok(IN_A_CYCLE)


FINALIZER = """
import gc, signal
from shardmap import ByteMap

signal.alarm(20)
m = ByteMap({b"%d" % number: b"value" for number in range(20_000)}, shards=1)
shared = iter(m.items())
found = []

class Cycle:
    def __init__(self):
        self.me = self
    def __del__(self):
        entry = next(shared, None)
        if entry is not None:
            found.append(entry)

gc.set_threshold(50)
for entry in shared:
    Cycle()
    found.append(entry)
gc.collect()
assert sorted(found) == sorted(m.items())
"""


def test_a_finalizer_uses_the_iterator_that_is_being_advanced() -> None:
    """The collector may run wherever a tuple is made, and then any finalizer."""
    run_python_ok(FINALIZER)
