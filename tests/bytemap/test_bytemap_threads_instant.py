"""What sees or changes the whole map does so at one instant: snapshot, copy, ==, pickling, clear."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable, Mapping

import pytest
from byte_threads import MAPS, assert_settled, key, on_every_map
from bytemaps import LONG, AnyMap
from concurrency import THREADS, run_threads, scaled

from shardmap import ByteMap

ROUNDS = scaled(150)
#: Many shards make these operations long.
ALL_MAPS: dict[str, Callable[[], AnyMap]] = {**MAPS, "many-shards": lambda: ByteMap(shards=1024)}

WAYS: dict[str, Callable[[AnyMap], Mapping[bytes, bytes]]] = {
    "snapshot": lambda m: m.snapshot(),
    "copy": lambda m: m.copy().snapshot(),
    "pickle": lambda m: pickle.loads(pickle.dumps(m)).snapshot(),
    "diff": lambda m: m.diff({}).removed,
}


@pytest.mark.parametrize("variant", ALL_MAPS)
@pytest.mark.parametrize("way", WAYS)
def test_one_instant(variant: str, way: str) -> None:
    """A writer goes round its keys and gives each the next number: at every instant the later keys are as new as the
    earlier ones, or one round older."""
    m = ALL_MAPS[variant]()
    keys = [[key(100 * writer + number) for number in range(5)] for writer in range(2)]
    m.set_many((one, b"0") for mine in keys for one in mine)
    rounds = [itertools.count(1) for _ in keys]

    def write(writer: int) -> None:
        for number in itertools.islice(rounds[writer], 20):
            for one in keys[writer]:
                m.set(one, b"%d" % number + b" " * (number % 30), ttl=LONG if number % 3 == 0 else None)

    def look() -> None:
        for _ in range(ROUNDS // 3):
            found = WAYS[way](m)
            for mine in keys:
                numbers = [int(found[one]) for one in mine]
                assert numbers == sorted(numbers, reverse=True)
                assert numbers[0] - numbers[-1] <= 1

    run_threads([look], background=[lambda: write(0), lambda: write(1)])
    assert_settled(m)


@on_every_map
def test_equality_is_of_one_instant(variant: str) -> None:
    """An entry moves between two keys and is there once always: the map never equals one that has it twice, or not."""
    m = MAPS[variant]()
    first, second = key(1), key(2)
    m[first] = b"here"
    never = [{}, {first: b"here", second: b"gone"}, {first: b"gone", second: b"gone"}]

    def write() -> None:
        for _ in range(20):
            m[second] = b"here"
            m[first] = b"gone"
            m[first] = b"here"
            m.pop(second)

    def look() -> None:
        for _ in range(ROUNDS):
            assert m != never[0]
            assert m != never[2]
            snapshot = m.snapshot()
            assert snapshot.get(first) == b"here" or snapshot.get(second) == b"here"

    run_threads([look, look], background=[write])
    assert_settled(m)


@pytest.mark.parametrize("variant", ALL_MAPS)
def test_clear_is_of_one_instant(variant: str) -> None:
    """A writer puts its keys in order, and then looks for them in this order. Clearing while it puts them takes the first
    ones, while it looks the last ones: those that are found follow each other. Whether somebody keeps one of the records
    makes no difference."""
    m = ALL_MAPS[variant]()

    def write(writer: int) -> None:
        for number in range(4 * ROUNDS):
            keys = [key(100 * writer + i) for i in range(6)]
            for one in keys:
                m[one] = b"%d" % number
            view = m.get_view(keys[0]) if number % 2 else None
            there = "".join("x" if one in m else " " for one in keys)
            assert " " not in there.strip(), f"cleared in parts: {there!r}"
            assert view is None or view == b"%d" % number
            m.delete_many(keys)

    run_threads([lambda: write(0), lambda: write(1)], background=[m.clear])
    m.clear()
    assert assert_settled(m) == {}


@on_every_map
def test_snapshots_of_a_map_that_is_cleared(variant: str) -> None:
    """The writer fills the map in order and clears it: a snapshot has the first so many entries of one filling."""
    m = MAPS[variant]()
    fillings = itertools.count()

    def fill() -> None:
        for filling in itertools.islice(fillings, 3):
            for number in range(30):
                m[key(number)] = b"%d" % filling
            m.clear()

    def look() -> None:
        for _ in range(ROUNDS):
            found = m.snapshot()
            assert set(found) == {key(number) for number in range(len(found))}
            assert len(set(found.values())) <= 1

    run_threads([look] * (THREADS - 1), background=[fill])
    assert assert_settled(m) == {}


@on_every_map
def test_swept_and_cleared_by_many(variant: str) -> None:
    """What takes all locks, over and over by all threads at once: each gets its turn."""
    m = MAPS[variant]()

    def work() -> None:
        for number in range(ROUNDS // 3):
            m[key(number)] = b"value"
            m.snapshot()
            m.clear()
            m.sweep()
            m._check()

    run_threads([work] * THREADS)
    assert assert_settled(m) == {}
