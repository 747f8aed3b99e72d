"""Operations on the whole map see it at one instant: `snapshot`, `copy`, `==`, `diff`, `repr`, pickling and `clear`.

The method is always the same: a writer goes through states in a known order, such as a = i, then b = i; what a
concurrent reader sees must be one of these states and never a mixture of an earlier and a later one. The keys lie in
different shards, first in one order, then in the other, since an observer that walked the shards one by one would
notice nothing if the writer happened to walk the same way.
"""

from __future__ import annotations

import ast
import copy
import itertools
import pickle
import threading
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import pytest
from concurrency import (
    THREADS,
    AnyMap,
    Setup,
    assert_settled,
    on_every_setup,
    run_copies,
    run_threads,
    scaled,
)
from reservations import plus_one

from shardmap import MISSING, ShardMap

STEPS = scaled(2000)
FILLERS = 60


class Probe:
    """Equal to every int, and remembers with which it was compared."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self) -> None:
        self.met: list[Any] = []

    def __eq__(self, other: object) -> bool:
        self.met.append(other)
        return True


def through_equality(m: AnyMap) -> Mapping[Any, Any]:
    """The entries that ``m == other`` compares."""
    probes = {key: Probe() for key in m}
    assert m == probes
    return {key: probe.met[-1] for key, probe in probes.items()}


def through_repr(m: AnyMap) -> Mapping[Any, Any]:
    text = repr(m)
    if not text.startswith("ShardMap({'"):
        seen: dict[Any, Any] = m.snapshot()  # the reprs of the keys are no literals
        return seen
    read: dict[Any, Any] = ast.literal_eval(text.removeprefix("ShardMap(").removesuffix(")"))
    return read


#: Ways to read the whole map at one instant.
READERS: dict[str, Callable[[AnyMap], Mapping[Any, Any]]] = {
    "snapshot": lambda m: m.snapshot(),
    "copy": lambda m: m.copy().snapshot(),
    "copy.copy": lambda m: dict(copy.copy(m).items()),
    "equality": through_equality,
    "equality of two maps": lambda m: (m == m.copy(), m.snapshot())[1],
    "diff, left": lambda m: m.diff({}).removed,
    "diff, right": lambda m: ShardMap[Any, Any]().diff(m).added,
    "pickle": lambda m: pickle.loads(pickle.dumps(m)).snapshot(),
    "repr": through_repr,
    "update": lambda m: updated(ShardMap(shards=4), m).snapshot(),
    "constructor": lambda m: ShardMap(m, shards=4).snapshot(),
    "|": lambda m: (m | {}).snapshot(),
    "deepcopy": lambda m: copy.deepcopy(m).snapshot(),
}
every_reader = pytest.mark.parametrize("reader", READERS)


def updated(m: AnyMap, other: AnyMap) -> AnyMap:
    m.update(other)
    return m


def pairs_of_keys(m: AnyMap, setup: Setup) -> list[tuple[Hashable, Hashable]]:
    """Two keys of different shards in both orders; with one shard, any two."""
    keys = setup.keys(1000)
    first = keys[0]
    second = next((key for key in keys[1:] if m.shard_of(key) != m.shard_of(first)), keys[1])
    return [(first, second), (second, first)]


def writers(m: AnyMap, a: Any, b: Any) -> dict[str, Callable[[int], None]]:
    """Ways to go from a = b = i - 1 to a = b = i, a first."""

    def by_overwriting(i: int) -> None:
        m[a] = i
        m[b] = i

    def by_exchanging(i: int) -> None:
        assert m.swap(a, i) == i - 1
        assert m.compare_and_set(b, i - 1, i)

    def by_adding(_: int) -> None:
        m.add(a)
        m.count([b])

    def by_computing(i: int) -> None:
        m.compute(a, plus_one)
        m.merge(b, 1, lambda old, one: old + one)

    def by_many(i: int) -> None:
        m.set_many([(a, i)])
        assert m.replace(b, i)

    return {f.__name__: f for f in (by_overwriting, by_exchanging, by_adding, by_computing, by_many)}


@on_every_setup
@every_reader
def test_a_pair_is_never_torn(setup: Setup, reader: str) -> None:
    read = READERS[reader]
    for order in range(2):
        m = setup.new()
        a, b = pairs_of_keys(m, setup)[order]
        m.update((setup.key(2000 + number), -1) for number in range(FILLERS))
        m[a] = m[b] = 0
        ways = itertools.cycle(writers(m, a, b).values())
        steps = itertools.count(1)
        last = [0]

        def write() -> None:
            for _ in range(20):
                next(ways)(next(steps))

        def look() -> None:
            for _ in range(scaled(12)):
                seen = read(m)
                assert len(seen) == FILLERS + 2
                assert seen[a] - seen[b] in (0, 1), f"a = {seen[a]}, b = {seen[b]}"
                assert seen[b] >= last[0], "an older instant after a newer one"
                last[0] = seen[b]

        run_threads([look], background=[write])
        entries = assert_settled(m)
        assert entries[a] == entries[b]


@on_every_setup
def test_many_observers_of_many_pairs(setup: Setup) -> None:
    m = setup.new()
    m.update((setup.key(number), 0) for number in range(2 * THREADS))

    def write(thread: int) -> None:
        a, b = setup.key(thread), setup.key(2 * THREADS - 1 - thread)
        for i in range(1, scaled(200)):
            m[a] = i
            m[b] = i

    def look() -> None:
        seen = m.snapshot()
        for thread in range(THREADS):
            a, b = setup.key(thread), setup.key(2 * THREADS - 1 - thread)
            assert seen[a] - seen[b] in (0, 1)

    run_copies(write, background=[look, look])
    assert len(assert_settled(m)) == 2 * THREADS


@on_every_setup
def test_keys_that_come_and_go_in_order(setup: Setup) -> None:
    """The writer keeps a window of consecutive numbers; every instant shows a run without a gap."""
    m = setup.new()
    window = 20
    m.update((setup.key(number), number) for number in range(window))
    following = itertools.count(window)

    def slide() -> None:
        for _ in range(50):
            number = next(following)
            assert m.insert(setup.key(number), number)
            assert m.pop(setup.key(number - window)) == number - window

    def look() -> None:
        for _ in range(scaled(100)):
            numbers = sorted(m.snapshot().values())
            assert len(numbers) in (window, window + 1)
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))

    run_threads([look], background=[slide])
    assert len(assert_settled(m)) == window


@on_every_setup
def test_clear_takes_what_came_before_and_nothing_else(setup: Setup) -> None:
    """One writer inserts consecutive numbers: what clear leaves is the end of the sequence, without a gap."""
    gaps = 0
    for _ in range(scaled(12)):
        m = setup.new()
        count = 150
        begun = threading.Event()

        def write() -> None:
            for number in range(count):
                assert m.insert(setup.key(number), number)
                if number == count // 4:
                    begun.set()

        def clear() -> None:
            begun.wait()
            m.clear()

        def look() -> None:
            numbers = sorted(m.snapshot().values())
            assert numbers == list(range(numbers[0], numbers[-1] + 1)) if numbers else True

        run_threads([write, clear], background=[look])
        left = sorted(assert_settled(m).values())
        assert left == list(range(count - len(left), count))
        gaps += len(left) > 0
    print(f"{gaps} clears in the middle")


@on_every_setup
def test_clears_and_snapshots_in_turn(setup: Setup) -> None:
    """Many clears while one writer inserts: every instant shows consecutive numbers, newer than those before."""
    m = setup.new()
    following = itertools.count()
    newest = [0]

    def write() -> None:
        for _ in range(50):
            number = next(following)
            m[setup.key(number)] = number

    def look() -> None:
        for round_ in range(scaled(150)):
            numbers = sorted(m.snapshot().values())
            if numbers:
                assert numbers == list(range(numbers[0], numbers[-1] + 1))
                assert numbers[0] >= newest[0], "a key that was cleared is back"
            if round_ % 3 == 0:
                m.clear()
                # What the map held when it was last seen is gone for good.
                newest[0] = numbers[-1] + 1 if numbers else newest[0]

    run_threads([look], background=[write])
    m.clear()
    assert assert_settled(m) == {}


@on_every_setup
def test_transfers_show_the_money_once_or_twice(setup: Setup) -> None:
    """The target gains, then the source pays: at any instant at most one amount a thread exists twice."""
    m = setup.new()
    accounts = 6
    m.update((setup.key(number), 100) for number in range(accounts))

    def transfer(thread: int) -> None:
        for step in range(scaled(200)):
            source = (step + thread) % accounts
            target = (step * 5 + thread + 1) % accounts
            m.add(setup.key(target), 1)
            m.add(setup.key(source), -1)

    def look() -> None:
        assert 100 * accounts <= sum(m.snapshot().values()) <= 100 * accounts + THREADS

    run_copies(transfer, background=[look])
    assert sum(assert_settled(m).values()) == 100 * accounts


@on_every_setup
def test_a_running_computation_shows_its_old_value(setup: Setup) -> None:
    """The inner key is stored while the outer one is reserved: an instant shows inner ahead of outer by 0 or 1."""
    m = setup.new()
    outer, inner = pairs_of_keys(m, setup)[0]
    m[outer] = m[inner] = 0

    def write() -> None:
        def change(old: Any) -> Any:
            m.compute(inner, plus_one)
            return old + 1

        for _ in range(10):
            m.compute(outer, change)

    def look() -> None:
        for _ in range(scaled(100)):
            seen = m.snapshot()
            assert seen[inner] - seen[outer] in (0, 1)

    run_threads([look], background=[write])
    entries = assert_settled(m)
    assert entries[inner] == entries[outer]


@on_every_setup
def test_a_pickle_in_the_middle_of_growth(setup: Setup) -> None:
    m = setup.new()
    count = scaled(400)

    def write() -> None:
        for number in range(count):
            m[setup.key(number)] = number
        for number in range(count - 1):
            assert m.compute(setup.key(number), lambda _: MISSING) is MISSING

    def look() -> None:
        read = pickle.loads(pickle.dumps(m))
        numbers = sorted(assert_settled(read).values())
        assert numbers == list(range(numbers[0], numbers[-1] + 1)) if numbers else True

    run_threads([write], background=[look])
    assert assert_settled(m) == {setup.key(count - 1): count - 1}
