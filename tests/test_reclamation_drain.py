"""What threads have retired is released by drain(), at once, and after their end by whoever goes on; nothing is kept.

Objects tell by counting how many of their kind are alive. Where another thread has dropped the last reference, the
interpreter passes the object on to the thread that made it, so its end is waited for.
"""

from __future__ import annotations

import ctypes
import gc
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from concurrency import (
    GIL_ENABLED,
    AnyMap,
    assert_settled,
    join_all,
    run_copies,
    run_threads,
    scaled,
    wait_until,
)
from hostile import Dying
from reclamation import (
    BAG_ROOM,
    MOST_THINGS,
    UNHINDERED,
    Box,
    Stalled,
    Worker,
    assert_released,
    clean_slate,
    free_threaded_only,
    shared,
    tick,
)
from support import linux_only

from shardmap import ShardMap

pytestmark = linux_only


@pytest.fixture(autouse=True)
def slate() -> None:
    clean_slate()


def assert_drained(m: AnyMap) -> None:
    stats = m.stats()
    assert (stats["retired"], stats["deleted"]) == (0, 0)


def displace_boxes(m: AnyMap, count: int) -> list[weakref.ref[Box]]:
    """Give a key one value after the other, the last of which stays."""
    boxes = [Box() for _ in range(count)]
    for box in boxes:
        m["key"] = box
    m["key"] = None
    return [weakref.ref(box) for box in boxes]


# -- drain ------------------------------------------------------------------------------------------------------------


def test_an_empty_map() -> None:
    for m in (ShardMap[Any, Any](), shared(ShardMap()), ShardMap[Any, Any](shards=1024)):
        assert m.drain() == 0
        assert_drained(m)
        m[1] = 1
        assert m.drain() == 0
        m.clear()
        m.drain()
        assert assert_settled(m) == {}


@pytest.mark.parametrize("threads", [1, 3])
def test_the_backlog_of_threads_that_are_idle(threads: int) -> None:
    """They are asleep and take no part; what they displace afterwards is for the next time."""
    m = shared(ShardMap({"key": 0}))
    workers = [Worker() for _ in range(threads)]
    for worker in workers:
        worker.__enter__()
    for count in (1, UNHINDERED, 2000):
        gone = [reference for worker in workers for reference in worker(partial(displace_boxes, m, count))]
        released = m.drain()
        assert_drained(m)
        if count <= UNHINDERED and not GIL_ENABLED:
            # Some may have been released by their own threads before, if the clock has ticked.
            assert released <= threads * (count + 1)

        def all_gone(gone: list[weakref.ref[Box]] = gone) -> bool:
            # Each thread deallocates what it has made.
            for worker in workers:
                worker(lambda: None)
            return all(reference() is None for reference in gone)

        wait_until(all_gone)
        assert m.drain() == 0
    for worker in workers:
        worker.__exit__()
    assert_settled(m)


@free_threaded_only
def test_it_returns_how_much_it_has_released() -> None:
    # With room for all: growth would displace tables too.
    m = shared(ShardMap({number: number for number in range(100)}, shards=4, capacity=1000))
    other = shared(ShardMap({1: 1}, capacity=100))
    m.drain()
    with Worker() as worker, Stalled() as reader:

        def displace() -> None:
            for number in range(20):
                m[number] = [number]
            m.delete_many(range(10))

        worker(displace)
        displace()
        other[1] = 2
        other.clear()
        # Twenty values, then ten values and keys; ten of the keys were new the second time.
        retired = 2 * (20 + 2 * 10) - 10 + 2
        assert m.stats()["retired"] == retired
        reader.leave()
        # Of all threads and all maps.
        assert m.drain() == retired
        assert m.drain() == other.drain() == 0
    assert_drained(m)
    assert_drained(other)


def test_finalizers_that_use_the_map() -> None:
    """And displace more of their kind, while they are being released: all of them are gone when drain() returns."""
    m = shared(ShardMap({"key": None, "counts": 0}))
    family = Dying.family()

    def next_one(depth: int) -> Callable[[], object]:
        def action() -> None:
            m.add("counts")
            m[("new", depth)] = depth
            m[("new", depth)] = -depth
            assert m[("new", depth)] == -depth
            m.snapshot()
            if depth:
                m["key"] = family(next_one(depth - 1))
                m["key"] = None

        return action

    for depth in range(20):
        m["key"] = family(next_one(depth))
    m["key"] = None
    m.drain()
    assert m.stats()["retired"] == 0
    assert (family.alive, family.failures) == (0, [])
    assert m["counts"] == family.deaths == sum(depth + 1 for depth in range(20))
    assert_settled(m)


@free_threaded_only
def test_finalizers_that_delete() -> None:
    """What they delete can be used again too when drain() returns."""
    m = shared(ShardMap({"key": None, "other": None}))
    family = Dying.family()
    m["key"] = family(lambda: m.pop("other"))
    m["key"] = None
    m.drain()
    assert (family.alive, family.failures) == (0, [])
    assert_drained(m)


def test_finalizers_that_drain() -> None:
    m = shared(ShardMap({"key": None}))
    family = Dying.family()

    def next_one(depth: int) -> Callable[[], object]:
        def action() -> None:
            if depth:
                m["key"] = family(next_one(depth - 1))
                m["key"] = None
            m.drain()

        return action

    for depth in range(10):
        m["key"] = family(next_one(depth))
    m["key"] = None
    m.drain()
    assert m.stats()["retired"] == 0
    assert (family.alive, family.failures) == (0, [])
    assert family.deaths == sum(depth + 1 for depth in range(10))
    assert_settled(m)


def test_finalizers_that_change_and_drop_maps() -> None:
    m = shared(ShardMap({"key": None}))
    family = Dying.family()

    def action() -> None:
        mine = shared(ShardMap({number: family() for number in range(5)}))
        mine[0] = 0
        mine.clear()
        m.shrink()
        m.pop("other", None)
        m["other"] = family()
        del mine
        gc.collect()

    for _ in range(5):
        m["key"] = family(action)
    m.clear()
    for _ in range(3):
        m.drain()
        gc.collect()
    assert family.failures == []
    # What the last action has put in is still there.
    assert family.alive == len(m) <= 1
    m.clear()
    m.drain()
    assert family.alive == 0
    assert_settled(m)


def test_finalizers_that_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is reported and the others run all the same."""
    m = shared(ShardMap({"key": None}))
    family = Dying.family()
    reported: list[object] = []
    monkeypatch.setattr("sys.unraisablehook", lambda unraisable: reported.append(unraisable.exc_type))

    class Raising(family):  # type: ignore[misc, valid-type]
        def __del__(self) -> None:
            super().__del__()
            raise ZeroDivisionError

    for _ in range(10):
        m["key"] = Raising()
        m["key"] = family()
    m["key"] = None
    m.drain()
    assert reported == [ZeroDivisionError] * 10
    assert (Raising.alive, family.alive) == (0, 0)


@pytest.mark.parametrize("drainers", [1, 3])
def test_several_threads_at_once(drainers: int) -> None:
    """While others write: every object is released once, and what is in the map is not."""
    m = shared(ShardMap(dict.fromkeys(range(20))))
    # A lock here would be taken twice by one thread: the interpreter may run a finalizer inside of another.
    deaths: list[None] = []

    class Counted(Box):
        __slots__ = ()

        def __del__(self) -> None:
            deaths.append(None)

    made = scaled(1500)

    def write(thread: int) -> None:
        for number in range(made):
            key = (number + thread) % 20
            if number % 10 == 0:
                m.pop(key, None)
            m[key] = Counted(key)
            found = m.get(key)
            assert found is None or found.content == key

    run_copies(write, threads=2, background=[m.drain] * drainers)
    m.drain()
    wait_until(lambda: len(deaths) == 2 * made - len(m))
    assert_drained(m)
    m.clear()
    m.drain()
    wait_until(lambda: len(deaths) == 2 * made)
    assert_settled(m)


def test_several_threads_drain_the_same_backlog() -> None:
    """Each thing is counted by one of them."""
    m = shared(ShardMap({"key": 0}))
    for _ in range(scaled(20)):
        with Worker() as worker:
            worker(lambda: m.update(("key", number) for number in range(10)))
            backlog = m.stats()["retired"]
            assert sum(run_threads([m.drain] * 3)) == backlog
        assert_drained(m)


@free_threaded_only
def test_it_waits_for_a_reader_and_then_goes_on() -> None:
    m = shared(ShardMap({"key": Box()}))
    gone = weakref.ref(m["key"])
    with Worker() as worker, Worker() as other:
        with Stalled():
            m["key"] = 0
            for each in (worker, other):
                each.begin(m.drain)
            for each in (worker, other):
                wait_until(each.waits)
            assert gone() is not None
            # Who wants to read and write meanwhile is not kept waiting.
            m["key"] = 1
            assert m.snapshot() == {"key": 1}
            assert gone() is not None
        assert worker.end() + other.end() in (1, 2)
        m.drain()
        assert_released([gone])
    assert_drained(m)


@free_threaded_only
def test_a_drain_takes_of_what_another_one_waits_for_only_what_is_safe() -> None:
    """The first waits for one reader; the second, which came later, for another one too."""
    m = shared(ShardMap({"key": Box(), "other": Box()}))
    early, late = weakref.ref(m["key"]), weakref.ref(m["other"])

    def drain() -> int:
        return ShardMap[Any, Any]().drain()

    with Worker() as writer, Worker() as one, Worker() as two:
        writer(lambda: m["key"])
        with Stalled() as first:
            m["key"] = 0
            one.begin(drain)
            wait_until(one.waits)
            with Stalled():
                writer(lambda: m.update(other=0))
                two.begin(drain)
                wait_until(two.waits)
                first.leave()
                assert_released([early])
                wait_until(one.waits)
                assert late() is not None
        assert one.end() + two.end() == 2
    assert_released([late])
    assert_drained(m)


@free_threaded_only
def test_a_thread_that_comes_while_a_drain_waits() -> None:
    m = shared(ShardMap({"key": 0}))
    with Worker() as drainer, Worker() as newcomer:
        with Stalled():
            m["key"] = 1
            drainer.begin(lambda: ShardMap[Any, Any]().drain())
            wait_until(drainer.waits)
            newcomer.begin(lambda: ShardMap(m))
            wait_until(lambda: not newcomer.busy or newcomer.waits())
            went_on = not newcomer.busy
        assert newcomer.end() == {"key": 1}
        drainer.end()
    assert went_on


def test_other_maps_and_maps_that_died() -> None:
    """It releases what every map of the process has displaced, also those that are gone."""
    family = Dying.family()
    dead = shared(ShardMap({1: family(), 2: family()}))
    with Worker() as worker:
        worker(partial(dead.__setitem__, 1, None))
        worker(dead.clear)
        del dead
        gc.collect()
        ShardMap[Any, Any]().drain()
        wait_until(lambda: family.alive == 0)


# -- threads that end -------------------------------------------------------------------------------------------------


def in_a_thread(call: Callable[[], object]) -> None:
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    join_all([thread])


@pytest.mark.parametrize("count", [1, 100, 1000])
def test_what_an_ended_thread_has_retired_is_released_by_the_next_who_looks(count: int) -> None:
    """Nobody drains; the other thread uses another map."""
    m, other = shared(ShardMap({"key": 0})), shared(ShardMap({"key": 0}))
    gone: list[weakref.ref[Box]] = []
    in_a_thread(lambda: gone.extend(displace_boxes(m, count)))
    wait_until(lambda: (other.update(("key", n) for n in range(20)), all(each() is None for each in gone))[1])
    # What this thread has retired meanwhile: a bag that waits for the clock to tick, and one that is open.
    assert m.stats()["retired"] <= 2 * BAG_ROOM


def test_a_thread_takes_over_what_an_ended_one_has_left() -> None:
    m = shared(ShardMap({"key": 0}))
    gone: list[weakref.ref[Box]] = []
    for _ in range(10):
        in_a_thread(lambda: gone.extend(displace_boxes(m, 5)))
    with Worker() as worker:
        wait_until(
            lambda: worker(
                lambda: (tick(), m.update(("key", n) for n in range(20)), all(each() is None for each in gone))
            )[2]
        )
    assert m.stats()["retired"] <= 2 * UNHINDERED


@free_threaded_only
def test_what_ended_threads_have_left_while_a_reader_stalls() -> None:
    m = shared(ShardMap({"key": 0}))
    gone: list[weakref.ref[Box]] = []
    with Stalled():
        # Fewer things than make a thread look after them.
        in_a_thread(lambda: gone.extend(displace_boxes(m, 10)))
        assert all(each() is not None for each in gone)
        assert m.stats()["retired"] == 11
    assert m.drain() == 11
    assert_released(gone)


@free_threaded_only
def test_a_reader_that_stalls_keeps_what_ended_threads_have_left() -> None:
    """Also if somebody looks after it."""
    m = shared(ShardMap({"key": 0}))
    gone: list[weakref.ref[Box]] = []

    def look_after() -> None:
        for _ in range(4):
            tick()
            m.update(("key", number) for number in range(20))

    with Worker() as worker:
        worker(lambda: m["key"])
        with Stalled():
            in_a_thread(lambda: gone.extend(displace_boxes(m, 10)))
            worker.begin(look_after)
            wait_until(lambda: not worker.busy or worker.waits())
            assert all(each() is not None for each in gone)
        worker.end()
    m.drain()
    assert_released(gone)


@free_threaded_only
def test_a_writer_far_from_its_limit_does_not_wait_because_a_thread_has_ended() -> None:
    m = shared(ShardMap({"key": 0}))
    with Worker() as worker:
        worker(lambda: m["key"])
        with Stalled():
            in_a_thread(lambda: displace_boxes(m, 5))
            worker.begin(lambda: m.update(("key", number) for number in range(UNHINDERED // 2)))
            wait_until(lambda: not worker.busy or worker.waits())
            went_on = not worker.busy
        worker.end()
    m.drain()
    assert went_on


class MallocInfo(ctypes.Structure):
    """What glibc's mallinfo2 returns; of its ten numbers the bytes in use and those mapped."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in "abcdefghij")


def native_bytes() -> int:
    mallinfo2 = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo2 is None:
        pytest.skip("needs glibc's mallinfo2")
    mallinfo2.restype = MallocInfo
    info = mallinfo2()
    return int(info.h + info.e)


def test_thousands_of_threads_leave_nothing() -> None:
    """Records of threads are used again, and their bags emptied, without anybody draining."""
    m = shared(ShardMap(dict.fromkeys(range(8), 0)))
    threads = scaled(3000, 2000)

    def body(number: int) -> None:
        for step in range(6):
            m[number % 8] = (number, step)
        m[("mine", number)] = number
        del m[("mine", number)]

    def run(count: int) -> int:
        most = 0
        for first in range(0, count, 8):
            wave = [threading.Thread(target=body, args=(first + n,), daemon=True) for n in range(8)]
            for thread in wave:
                thread.start()
            join_all(wave)
            most = max(most, m.stats()["retired"])
        return most

    run(400)
    before = native_bytes()
    most = run(threads)
    # Not measured by sanitizers: they count in their own way.
    assert native_bytes() - before < 100 * threads
    assert most <= MOST_THINGS
    assert len(m) == 8
    assert_settled(m)
