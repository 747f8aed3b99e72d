"""`os.fork` while other threads, with the GIL and without it, are inside of byte maps: the child has usable maps.

The threads do not exist in the child; locks that they held are open, and what they were about to do has not happened, or
has as a whole. A child that hangs is killed by its own alarm, which fails the test.
"""

from __future__ import annotations

import multiprocessing
import random
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from byte_threads import LARGE, MAPS, OPERATIONS, Worker, assert_settled, check_entries, key, value
from bytemaps import LONG, SHORT, AnyMap, outlive, stressed
from concurrency import join_all, new_random, run_copies, run_threads, scaled
from forking import CHILD_SECONDS, FORK_MARKS, in_child

from shardmap import ByteMap, _core

pytestmark = FORK_MARKS

FORKS = scaled(4)
PERMANENT = 40


def use_every_way(m: AnyMap) -> None:
    """All operations, in one thread; the map has the permanent keys, and is empty afterwards."""
    m._check()
    outlive()
    m.sweep()
    seen = m.snapshot()
    assert len(m) == len(seen) == len(list(m)) == len(m.copy())
    assert m == seen
    for number in range(PERMANENT):
        assert m[key(number)] == value(number, 0, number)
        assert m.swap(key(number), b"swapped") == value(number, 0, number)
    worker = Worker(m, PERMANENT, 0)
    m.clear()
    for name in OPERATIONS:
        for _ in range(3):
            worker.do("[]=")
            worker.do(name)
    worker.let_go()
    m.clear()
    for number in range(300):
        m.set(key(number), value(number, 0, number), ttl=LONG if number % 2 else SHORT)
    outlive()
    assert m.sweep() + m.stats()["entries"] >= 150
    check_entries(m.items())
    m.clear()
    m._check()
    assert m.snapshot() == {}
    m[b"last"] = b"last"
    assert m.snapshot() == {b"last": b"last"}


def hammers(m: AnyMap) -> list[Callable[[], object]]:
    """What other threads do to the map again and again while the process forks; permanent keys keep their values."""
    a, b = b"first", b"second"
    m[a] = m[b] = b"0"

    def pair() -> None:
        for _ in range(20):
            m.add(a, 1)
            m.add(b, 1)

    def come_and_go() -> None:
        for size in (10, 1000, LARGE):
            m.set_many((key(number), value(number, size, size)) for number in range(200, 230))
            m.delete_many(key(number) for number in range(200, 230))

    def expire() -> None:
        m.set_many(((key(number), value(number, 0, 10)) for number in range(300, 360)), ttl=SHORT)

    def whole_map() -> None:
        m.snapshot()
        m.copy()
        list(m.items())
        m.reserve(500)
        m.shrink()
        m.stats()

    def maps() -> None:
        for _ in range(5):
            mine: AnyMap = ByteMap({b"1": b"1"}, shards=4)
            view = mine.get_view(b"1")
            mine.clear()
            del mine
            assert view == b"1"

    return [pair, come_and_go, expire, whole_map, maps, m.sweep, _core._sweep_all]


def filled(m: AnyMap) -> AnyMap:
    m.update((key(number), value(number, 0, number)) for number in range(PERMANENT))
    return m


@pytest.mark.parametrize("variant", [*MAPS, "many-shards"])
def test_fork_while_threads_hammer_the_map(variant: str) -> None:
    # Many shards make the operations that hold all of them long.
    m = filled(ByteMap(shards=256) if variant == "many-shards" else MAPS[variant]())

    def check() -> None:
        seen = m.snapshot()
        assert int(seen[b"first"]) - int(seen[b"second"]) in (0, 1)
        use_every_way(m)

    def fork_often() -> None:
        for _ in range(FORKS):
            in_child(check)

    run_threads([fork_often], background=hammers(m))
    m.delete_many(list(m))
    assert_settled(m)


def test_views_and_iterators_in_the_child() -> None:
    """What this thread holds when it forks, it holds in both processes."""
    m = filled(stressed(2, shards=4))
    seed = new_random().randrange(1 << 32)

    def fork_often() -> None:
        for _attempt in range(FORKS):
            views = [(number, m.get_view(key(number))) for number in range(PERMANENT)]
            begun = iter(m.items())
            first = next(begun)

            def check() -> None:
                numbers = {one for one, _ in [first, *begun]}
                assert {key(number) for number in range(PERMANENT)} <= numbers
                m.clear()
                assert all(view == value(number, 0, number) for number, view in views)
                views.clear()
                m[key(0)] = b"new"
                m._check()

            in_child(check)
            assert all(view == value(number, 0, number) for number, view in views)

    others = [Worker(m, 100, seed + thread) for thread in range(2)]

    def others_keys(worker: Worker) -> None:
        for _ in range(20):
            number = 100 + worker.number()
            m[key(number)] = worker.value(number)
            m.get_view(key(number))

    run_threads([fork_often], background=[lambda w=worker: others_keys(w) for worker in others])  # type: ignore[misc]
    assert_settled(m)


def test_an_iterator_that_threads_share() -> None:
    """Some thread is inside of it, and waits there for a shard, when the process forks; in the child nobody is."""
    m = filled(ByteMap(shards=2))
    m.set_many((key(number), b"0") for number in range(1000, 20_000))
    shared = [iter(m.items())]

    def advance() -> None:
        for _ in range(500):
            if next(shared[0], None) is None:
                shared[0] = iter(m.items())

    def fork_often() -> None:
        for _ in range(3 * FORKS):
            entries = shared[0]
            in_child(lambda: next(entries, None))

    run_threads([fork_often], background=[advance, advance, advance, m.snapshot])


def test_memory_of_threads_that_are_not_in_the_child() -> None:
    """A thread was giving back the memory of a map that it had cleared: in the child nobody does, nor does it count
    against the bound for ever."""
    empty = ByteMap(shards=4, max_memory="64mb").memory().reserved
    choose = random.Random(1)
    for _ in range(scaled(4)):
        m: AnyMap = ByteMap(shards=4, max_memory="64mb")
        m.set_many((b"%d" % number, bytes(10_000)) for number in range(4000))
        thread = threading.Thread(target=m.clear)
        thread.start()
        time.sleep(choose.random() / 1000)

        def check() -> None:
            m.clear()
            assert m.memory().reserved == empty

        in_child(check)
        join_all([thread])
        assert m.memory().reserved == empty


def test_the_child_can_fork_and_start_threads() -> None:
    m = filled(stressed(2, shards=2))
    seed = new_random().randrange(1 << 32)

    def grandchild() -> None:
        m._check()
        m.clear()
        assert assert_settled(m) == {}

    def check() -> None:
        def body(thread: int) -> None:
            worker = Worker(m, PERMANENT, seed + thread, (0, 20, 1000, LARGE))
            worker.run(list(OPERATIONS), 100)
            worker.let_go()

        run_copies(body, 4)
        in_child(grandchild)
        m.set(key(2), value(2, 0, 2), ttl=LONG)
        names = [thread.name for thread in threading.enumerate()]
        assert names.count("shardmap-sweeper") == 1
        m._check()

    m.set(key(1), value(1, 0, 1), ttl=LONG)  # a sweeper runs
    for _ in range(scaled(4)):
        in_child(check)
    m.clear()
    assert_settled(m)


def test_multiprocessing_by_fork() -> None:
    m = filled(MAPS["stressed"]())
    context = multiprocessing.get_context("fork")

    def work(results: Any) -> None:
        signal.alarm(CHILD_SECONDS)
        use_every_way(m)
        results.put(m.snapshot())

    def fork() -> None:
        for _ in range(scaled(4)):
            results = context.SimpleQueue()
            process = context.Process(target=work, args=(results,))
            process.start()
            process.join()
            assert process.exitcode == 0
            assert results.get() == {b"last": b"last"}
            process.close()

    run_threads([fork], background=hammers(m))
    m.delete_many(list(m))
    assert_settled(m)


def test_a_bounded_map_in_the_child() -> None:
    """The bound is of each process by itself, and holds in both."""
    m = stressed(3, shards=2, limit=256 * 1024, eviction="allkeys-lru")
    seed = new_random().randrange(1 << 32)
    sizes = (0, 100, 1000, 5000)
    worker = Worker(m, 500, seed, sizes)
    writers = [Worker(m, 500, seed + 1 + thread, sizes) for thread in range(2)]

    def check() -> None:
        worker.run(["[]=", "get", "swap"], 1000)
        assert m.memory().reserved <= m._limit
        m._check()

    def fork_often() -> None:
        for _ in range(FORKS):
            in_child(check)

    run_threads([fork_often], background=[lambda w=writer: w.run(["[]="], 50) for writer in writers])  # type: ignore[misc]
    assert m.memory().reserved <= m._limit
    assert_settled(m)
