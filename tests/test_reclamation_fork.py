"""`os.fork` while readers stall, writers write, and things wait to be released: the child's maps work, nothing hangs.

The child has none of these threads. What they had announced is void there, what they had retired can be released, the
locks that they held are open.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import pytest
from concurrency import AnyMap, Setup, assert_settled, run_copies, run_threads, scaled, wait_until
from forking import FORK_MARKS, in_child
from reclamation import MOST_THINGS, Box, Stalled, Worker, assert_released, clean_slate, free_threaded_only, shared
from support import linux_only
from test_fork import PERMANENT, use_every_way

from shardmap import ShardMap

pytestmark = [linux_only, *FORK_MARKS]

SETUPS = [Setup("default", "str"), Setup("stressed", "colliding")]
on_setups = pytest.mark.parametrize("setup", SETUPS, ids=str)


@pytest.fixture(autouse=True)
def slate() -> None:
    clean_slate()


def filled(setup: Setup) -> AnyMap:
    m = shared(setup.new())
    m.update((setup.key(number), number) for number in range(PERMANENT))
    m.drain()
    return m


def goes_on(m: AnyMap, setup: Setup) -> None:
    """More than a thread may keep, so it would wait for a reader that is taken to be there still; then everything."""
    for number in range(2 * MOST_THINGS):
        m["many"] = number
    del m["many"]
    m.drain()
    assert m.stats()["retired"] == 0
    use_every_way(m, setup)
    run_copies(lambda thread: m.update(("many", number) for number in range(MOST_THINGS)), 2)
    m.drain()
    assert m.stats()["retired"] == 0


@free_threaded_only
@on_setups
def test_the_child_is_rid_of_a_reader_that_stalls(setup: Setup) -> None:
    m = filled(setup)
    gone: list[weakref.ref[Box]] = []

    def displace() -> None:
        m["key"] = Box()
        gone.append(weakref.ref(m["key"]))
        m["key"] = 0

    def check() -> None:
        assert all(each() is not None for each in gone)
        retired = m.stats()["retired"]
        assert m.drain() == retired >= 2
        # The other one's value belongs to a thread that does not exist.
        wait_until(lambda: gone[0]() is None)
        del m["key"]
        goes_on(m, setup)

    with Worker() as worker, Stalled():
        displace()
        worker(displace)
        in_child(check)
        # Here the reader is where it was.
        assert all(each() is not None for each in gone)
        assert m.stats()["retired"] >= 2
    m.drain()
    assert_released(gone)
    del m["key"]
    assert len(assert_settled(m)) == PERMANENT


@free_threaded_only
@on_setups
def test_a_writer_at_its_limit_and_a_drain_that_waits(setup: Setup) -> None:
    """In the parent both wait for the reader, the drain with the list of threads locked."""
    m = filled(setup)
    m["busy"] = 0

    def write() -> None:
        for number in range(2 * MOST_THINGS):
            m["busy"] = number

    def check() -> None:
        assert isinstance(m.pop("busy"), int)
        goes_on(m, setup)

    with Worker() as writer, Worker() as drainer:
        writer(lambda: m["busy"])
        drainer(lambda: m["busy"])
        with Stalled():
            writer.begin(write)
            wait_until(lambda: writer.waits(m.stats))
            in_child(check)
            # On a map of its own, so that there is nothing to wait for before.
            drainer.begin(lambda: ShardMap[Any, Any]().drain())
            wait_until(drainer.waits)
            in_child(check)
        writer.end()
        drainer.end()
        assert m.pop("busy") == 2 * MOST_THINGS - 1
    assert len(assert_settled(m)) == PERMANENT


@free_threaded_only
@on_setups
def test_a_map_that_a_second_thread_is_about_to_use(setup: Setup) -> None:
    """That thread waits for a reader before it touches the map. In the child the map is whoever's."""
    m = setup.new()
    m.update((setup.key(number), number) for number in range(PERMANENT))

    def check() -> None:
        goes_on(m, setup)

    with Worker() as worker:
        with Stalled():
            worker.begin(lambda: m.get(setup.key(0)))
            wait_until(lambda: not worker.busy or worker.waits())
            in_child(check)
        assert worker.end() == 0
        m.drain()
    assert len(assert_settled(m)) == PERMANENT


@on_setups
def test_a_private_map_in_the_child(setup: Setup) -> None:
    """It is still the forking thread's own; threads of the child make it shared."""
    m = setup.new()
    m.update((setup.key(number), number) for number in range(PERMANENT))

    def check() -> None:
        m["key"] = Box()
        gone = weakref.ref(m["key"])
        m["key"] = 0
        assert gone() is None
        run_copies(lambda thread: m.update(("key", number) for number in range(100)), 2)
        del m["key"]
        goes_on(m, setup)

    in_child(check)
    assert len(assert_settled(m)) == PERMANENT


@on_setups
def test_a_thread_of_the_parent_made_the_map(setup: Setup) -> None:
    """And is in the middle of using it alone; in the child it will never come back."""
    maps: list[AnyMap] = []

    def make(end: Callable[[], bool]) -> None:
        while not end():
            m = setup.new()
            m.update((setup.key(number), number) for number in range(PERMANENT))
            maps.append(m)
            while len(maps) > 5:
                maps.pop(0)
            for number in range(PERMANENT):
                m[setup.key(number)] = number
            m.shrink()

    ended = False

    def check() -> None:
        for m in maps:
            m.update((setup.key(number), number) for number in range(PERMANENT))
            use_every_way(m, setup)

    def fork() -> None:
        nonlocal ended
        try:
            wait_until(lambda: len(maps) >= 5)
            for _ in range(scaled(8)):
                in_child(check)
        finally:
            ended = True

    run_threads([fork, lambda: make(lambda: ended)])


@on_setups
def test_fork_while_others_displace_things(setup: Setup) -> None:
    """Wherever they are: in a bag, about to seal it, emptying it, looking for what ended threads have left."""
    m = filled(setup)
    passing = [setup.key(number) for number in range(100, 140)]

    def overwrite() -> None:
        for number in range(300):
            m["hot"] = [number]
            m.add("count")

    def come_and_go() -> None:
        for key in passing:
            m[key] = Box()
        for key in passing:
            m.pop(key, None)

    def whole_map() -> None:
        m.drain()
        m.snapshot()
        m.shrink()
        other: Any = shared(ShardMap({1: [1]}))
        other.clear()

    def check() -> None:
        m.delete_many(["hot", "count", *passing])
        assert len(m) == PERMANENT
        goes_on(m, setup)

    def fork_often() -> None:
        for _ in range(scaled(4)):
            in_child(check)

    run_threads([fork_often], background=[overwrite, come_and_go, whole_map])
    m.delete_many(["hot", "count", *passing])
    assert len(assert_settled(m)) == PERMANENT
