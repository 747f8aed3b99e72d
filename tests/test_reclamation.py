"""What writes displace while a reader without a lock may be looking at it: kept as long as that, and no longer.

A reader that stalls, as if the system had stopped its thread in the middle of a lookup, is the worst case: nothing that
was displaced after it began may be released, everybody else goes on, and what piles up is bounded.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from concurrency import (
    GIL_ENABLED,
    VARIANTS,
    AnyMap,
    assert_settled,
    run_threads,
    scaled,
    wait_until,
)
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
from reservations import plus_one
from support import linux_only, run_python_ok

from shardmap import MISSING, ShardMap

pytestmark = linux_only


@pytest.fixture(autouse=True)
def slate() -> None:
    clean_slate()


def fail(*_: object) -> Any:
    raise ZeroDivisionError


def fails(call: Callable[[], object]) -> bool:
    """Without pytest, which would keep the stack, and what it refers to, for a while."""
    try:
        call()
    except ZeroDivisionError:
        return True
    raise AssertionError("no exception")


#: Operations after which the map does not have the old value any more, on a map with no other entry, and how many things
#: they displace: values, keys, and for clear() what the whole map held.
DISPLACING: dict[str, tuple[Callable[[Any, Any, Any], object], int]] = {
    "[]=": (lambda m, key, new: m.__setitem__(key, new), 1),
    "replace": (lambda m, key, new: m.replace(key, new), 1),
    "swap": (lambda m, key, new: m.swap(key, new), 1),
    "compare_and_set": (lambda m, key, new: m.compare_and_set(key, m[key], new), 1),
    "compute": (lambda m, key, new: m.compute(key, lambda old: new), 1),
    "compute_if_present": (lambda m, key, new: m.compute_if_present(key, lambda old: new), 1),
    "merge": (lambda m, key, new: m.merge(key, new, lambda old, new: new), 1),
    "set_many": (lambda m, key, new: m.set_many([(key, new)]), 1),
    "update": (lambda m, key, new: m.update({key: new}), 1),
    "del": (lambda m, key, new: m.__delitem__(key), 2),
    "pop": (lambda m, key, new: m.pop(key), 2),
    "popitem": (lambda m, key, new: m.popitem(), 2),
    "compare_and_delete": (lambda m, key, new: m.compare_and_delete(key, m[key]), 2),
    "delete_many": (lambda m, key, new: m.delete_many([key]), 2),
    "retain": (lambda m, key, new: m.retain(lambda key, value: False), 2),
    "compute to delete": (lambda m, key, new: m.compute(key, lambda old: MISSING), 2),
    "merge to delete": (lambda m, key, new: m.merge(key, new, lambda old, new: MISSING), 2),
    "clear": (lambda m, key, new: m.clear(), 1),
    "an exception, then clear": (lambda m, key, new: (fails(lambda: m.compute(key, fail)), m.clear()), 1),
}
displacing = pytest.mark.parametrize(("displace", "things"), DISPLACING.values(), ids=DISPLACING)


def entry_that_goes(m: AnyMap, displace: Callable[[AnyMap, Any, Any], object]) -> list[weakref.ref[Box]]:
    """Put an entry into the map and displace its value, and perhaps its key; what the map gives up is referred to
    weakly."""
    key, value = Box(), Box()
    m[key] = value
    displace(m, key, Box())
    return [weakref.ref(each) for each in ([value] if key in m else [key, value])]


# -- a reader that stalls ---------------------------------------------------------------------------------------------


@free_threaded_only
@displacing
@pytest.mark.parametrize("way", ["drain", "going on"])
def test_nothing_displaced_is_released_while_a_reader_stalls(
    displace: Callable[[AnyMap, Any, Any], object], things: int, way: str
) -> None:
    m = shared(ShardMap(shards=4))
    busy = shared(ShardMap())
    with Stalled() as reader:
        gone = entry_that_goes(m, displace)
        stats = m.stats()
        assert stats["retired"] == things
        assert stats["deleted"] == (things == 2)
        for _ in range(4):
            tick()
            busy.update((number, number) for number in range(UNHINDERED // 8))
            gc.collect()
        assert all(reference() is not None for reference in gone)
        reader.leave()
        if way == "drain":
            m.drain()
        else:
            # By the thread that has displaced it, as it goes on displacing things, be it in another map.
            wait_until(lambda: (busy.update((number, object()) for number in range(32)), gone[0]() is None)[1])
        assert_released(gone)
    assert_settled(m)


@free_threaded_only
def test_what_was_displaced_before_a_reader_began_does_not_wait_for_it() -> None:
    m = shared(ShardMap())
    m["key"] = Box()
    before = [weakref.ref(m["key"])]
    # More than a bag holds: the first one is stamped with an epoch that ends before the reader begins.
    for _ in range(BAG_ROOM + 1):
        m["key"] = Box()
    with Stalled():
        m["key"] = after = Box()
        for _ in range(3):
            tick()
            for number in range(32):
                m["key"] = number
        assert_released(before)
        later = weakref.ref(after)
        del after
        assert later() is not None
    m.drain()
    assert_released([later])


@free_threaded_only
@pytest.mark.parametrize("variant", ["default", "one-shard", "stressed"])
def test_everybody_goes_on_while_a_reader_stalls(variant: str) -> None:
    """All kinds of writes, by two threads; the results are those without the reader."""
    m = shared(VARIANTS[variant]())

    def writes(name: str) -> None:
        for number in range(8):
            key = (name, number)
            assert m.insert(key, 0)
            assert m.add(key, 5) == 5
            m[key] = 1
            assert m[key] == m.get(key) == 1
            assert m.swap(key, 2) == 1
            assert m.compare_and_set(key, 2, 3)
            assert m.compute(key, plus_one) == 4
            assert fails(partial(m.compute, key, fail))
            assert m.pop(key) == 4
            assert key not in m
            m[key] = number
        assert m.get_many([(name, number) for number in range(8)]) == list(range(8))

    with Worker() as worker, Stalled():
        worker(lambda: writes("worker"))
        writes("main")
        m._check()
        assert len(m) == len(list(m)) == 16
    m.drain()
    assert assert_settled(m) == {(name, number): number for name in ("worker", "main") for number in range(8)}


@free_threaded_only
def test_the_backlog_is_reported_and_released() -> None:
    # With room for all: growth would displace tables too.
    m = shared(ShardMap(shards=4, capacity=1000))
    m.update((number, number) for number in range(100))
    m.drain()
    with Stalled():
        for number in range(50):
            m[number] = "other"
        assert m.stats()["retired"] == 50
        for number in range(10):
            # Giving a key the value that it has displaces nothing.
            m[number] = m[number]
            m.add(("count", number % 2))
        assert m.stats()["retired"] == 50 + 8
        assert m.delete_many(range(60)) == 60
        stats = m.stats()
        assert stats["retired"] == 50 + 8 + 2 * 60
        assert stats["deleted"] == 60
        assert len(m) == stats["entries"] == 42
        assert ShardMap({1: 1}).stats()["retired"] == stats["retired"], "it is the process's"
    assert m.drain() == 50 + 8 + 2 * 60
    stats = m.stats()
    assert (stats["retired"], stats["deleted"]) == (0, 0)
    assert m.drain() == 0
    assert_settled(m)


@free_threaded_only
def test_growth_while_a_reader_stalls() -> None:
    """The tables that the map has grown out of are kept, and the entries are all found."""
    m = shared(ShardMap(shards=4))
    with Stalled():
        for number in range(3000):
            m[number] = number
        assert m.get_many(range(3000)) == list(range(3000))
        stats = m.stats()
        assert stats["growths"] > 16
        assert stats["retired"] == stats["growths"] - stats["growing"]
        m._check()
    assert m.drain() == stats["retired"]
    assert len(assert_settled(m)) == 3000


@free_threaded_only
@pytest.mark.parametrize("displace", [lambda m: m.clear(), lambda m: m.shrink()], ids=["clear", "shrink"])
def test_clear_and_shrink_while_a_reader_stalls(displace: Callable[[AnyMap], object]) -> None:
    m = shared(ShardMap(shards=4))
    values = [Box(number) for number in range(500)]
    m.update(enumerate(values))
    gone = [weakref.ref(value) for value in values]
    m.drain()
    with Stalled():
        displace(m)
        cleared = len(m) == 0
        # Of clear() one thing, with all shards' tables and entries in it; of shrink() one for each shard.
        assert m.stats()["retired"] == (1 if cleared else 4)
        assert m.snapshot() == ({} if cleared else dict(enumerate(values)))
        m[0] = m[500] = 0
        assert m[0] == m[500] == 0
        assert len(m) == (2 if cleared else 501)
        m._check()
        del values
        gc.collect()
        assert all(reference() is not None for reference in gone)
    m.drain()
    assert_released(gone if cleared else gone[:1])
    assert len(assert_settled(m)) == (2 if cleared else 501)


#: What a map does that has nothing to do with readers, on one with entries 0 to 99.
UNCONCERNED: dict[str, Callable[[Any], object]] = {
    "reads": lambda m: (m[1], m.get(2), 3 in m, m.get_many(range(100)), m.get(1000)),
    "iteration": lambda m: (list(m), dict(m.items()), list(m.values()), [list(part) for part in m.partitions(3)]),
    "snapshot": lambda m: m.snapshot(),
    "copy": lambda m: m.copy(),
    "copy and use": lambda m: (copied := m.copy(), copied.update({1: 2}), copied.clear()),
    "==": lambda m: (m == m.copy(), m != {}),
    "stats": lambda m: (m.stats(), len(m), repr(m), m.shard_of(1), m._check()),
    "clear": lambda m: m.clear(),
    "shrink": lambda m: m.shrink(),
    "reserve": lambda m: m.reserve(10_000),
    "insert and overwrite": lambda m: (m.update({1: 2, "new": 3}), m.add(2), m.compute("n", lambda old: 1)),
    "delete": lambda m: m.delete_many(range(50)),
    "retain": lambda m: m.retain(lambda key, value: key % 2),
    "a map of its own": lambda m: ShardMap({1: 1}).clear(),
}


@free_threaded_only
@pytest.mark.parametrize("operation", UNCONCERNED.values(), ids=UNCONCERNED)
def test_who_does_not_wait_for_a_reader_that_stalls(operation: Callable[[AnyMap], object]) -> None:
    m: AnyMap = ShardMap({number: number for number in range(100)}, shards=8)
    with Worker() as worker, Worker() as other:
        for each in (worker, other):
            each(lambda: m.get(1))
        m.drain()
        with Stalled():
            for each in (worker, other):
                each(lambda: operation(m))
    assert_settled(m)


#: Each step displaces something; as it would do it for ever.
ENDLESS: dict[str, Callable[[Any, int], object]] = {
    "overwrites": lambda m, number: m.__setitem__("key", number),
    "overwrites of many keys": lambda m, number: m.__setitem__(number % 100, number),
    "additions": lambda m, number: m.add("count"),
    "inserts and deletes": lambda m, number: (m.insert(("new", number), number), m.pop(("new", number))),
    "computations": lambda m, number: m.compute("key", lambda old: number),
    "clear": lambda m, number: (m.insert(number, number), m.clear()),
    "shrink": lambda m, number: (m.insert("key", number), m.shrink()),
}


@free_threaded_only
@pytest.mark.parametrize("step", ENDLESS.values(), ids=ENDLESS)
def test_a_writer_at_its_limit_waits_for_the_reader(step: Callable[[AnyMap, int], object]) -> None:
    """And for nothing else: it goes on when the reader leaves. The others have limits of their own."""
    m = shared(ShardMap(shards=1))
    steps = 3 * MOST_THINGS
    done = 0

    def writer() -> None:
        nonlocal done
        for number in range(steps):
            step(m, number)
            done = number + 1

    with Worker() as worker:
        worker(lambda: m.get("key"))
        with Stalled():
            worker.begin(writer)
            wait_until(lambda: not worker.busy or worker.waits(lambda: done))
            assert worker.busy
            assert done < steps
            stats = m.stats()
            assert UNHINDERED // 16 <= stats["retired"] <= MOST_THINGS
            assert stats["deleted"] <= stats["retired"]
            m._check()
            for number in range(20):
                m["other"] = number
                m.pop("other", None)
                m.snapshot()
        worker.end()
        assert done == steps
        m.drain()
        assert m.stats()["retired"] == 0
    assert_settled(m)


@free_threaded_only
def test_every_writer_has_a_limit_of_its_own() -> None:
    m = shared(ShardMap())
    steps = 2 * MOST_THINGS

    def writer(key: int) -> None:
        for number in range(steps):
            m[key] = (key, number)

    with Worker() as one, Worker() as two:
        workers = [one, two]
        for worker in workers:
            worker(lambda: m.get(0))
        with Stalled():
            for number, worker in enumerate(workers):
                worker.begin(partial(writer, number))
            for worker in workers:
                wait_until(lambda worker=worker: not worker.busy or worker.waits(m.stats))  # type: ignore[misc]
                assert worker.busy
            assert m.stats()["retired"] <= len(workers) * MOST_THINGS
        for worker in workers:
            worker.end()
    assert assert_settled(m) == {0: (0, steps - 1), 1: (1, steps - 1)}


@free_threaded_only
def test_objects_survive_several_readers_one_after_the_other() -> None:
    """There is always one that stalls, so the epoch advances, but never past the one that was there first."""
    m = shared(ShardMap())
    with Stalled() as first:
        m["key"] = Box()
        kept = weakref.ref(m["key"])
        m["key"] = 0
        for _ in range(3):
            with Stalled():
                tick()
                for number in range(20):
                    m["key"] = number
            assert kept() is not None
        first.leave()
        with Stalled():
            # Who began after it was displaced is in nobody's way.
            tick()
            wait_until(lambda: (tick(), m.update((number, Box()) for number in range(4)), kept() is None)[2])
    m.drain()


# -- maps of one thread -----------------------------------------------------------------------------------------------


@displacing
@pytest.mark.parametrize("variant", ["default", "one-shard", "stressed"])
def test_a_map_of_one_thread_releases_at_once(
    displace: Callable[[AnyMap, Any, Any], object], things: int, variant: str
) -> None:
    """As dict does. On free-threaded builds no other thread's reader can be in the way, be it that one stalls."""
    m = VARIANTS[variant]()
    stalled = Stalled()
    gc.disable()
    try:
        if not GIL_ENABLED:
            stalled.__enter__()
        for _ in range(3):
            gone = entry_that_goes(m, displace)
            assert [reference() for reference in gone] == [None] * len(gone)
            m.clear()
        m.update((number, number) for number in range(200))
        m.delete_many(range(200))
        m.shrink()
        stats = m.stats()
        assert (stats["retired"], stats["deleted"]) == (0, 0)
    finally:
        gc.enable()
        if not GIL_ENABLED:
            stalled.leave()
    assert m.drain() == 0


def test_reading_by_the_maker_keeps_a_map_private() -> None:
    m: AnyMap = ShardMap({"key": Box()})
    for read in (m.snapshot, m.copy, lambda: list(m.items()), lambda: m["key"], m.stats, m._check, m.drain):
        read()
        gone = weakref.ref(m["key"])
        m["key"] = Box()
        assert gone() is None


@free_threaded_only
@displacing
def test_a_map_that_another_thread_has_used_retires(
    displace: Callable[[AnyMap, Any, Any], object], things: int
) -> None:
    """Whatever the other one did, and however often the maker has used it before."""
    m: AnyMap = ShardMap(shards=4)
    for _ in range(100):
        entry_that_goes(m, DISPLACING["[]="][0])
    m.clear()
    assert m.stats()["retired"] == 0
    with Worker() as worker:
        worker(lambda: m.get("key"))
        with Stalled():
            gone = entry_that_goes(m, displace)
            assert m.stats()["retired"] == things
            assert all(reference() is not None for reference in gone)
        m.drain()
        assert_released(gone)


@free_threaded_only
@pytest.mark.parametrize(
    "use",
    [lambda m: m["key"], lambda m: m.get("key"), lambda m: m.update(key=1), lambda m: list(m), lambda m: m.snapshot()],
    ids=["[]", "get", "update", "iteration", "snapshot"],
)
def test_a_second_thread_waits_until_the_maker_has_left_its_section(use: Callable[[AnyMap], object]) -> None:
    """The maker may have looked before whether it is alone, and be about to release what the newcomer would find."""
    maps: list[AnyMap] = []
    with Worker() as worker:
        with Stalled(first=lambda: maps.append(ShardMap({"key": Box()}))):
            worker.begin(lambda: use(maps[0]))
            wait_until(lambda: not worker.busy or worker.waits())
            assert worker.busy
        worker.end()


class Marked:
    """A value that knows its key, and whether it has been released."""

    __slots__ = ("dead", "key")

    def __init__(self, key: object) -> None:
        self.key = key
        self.dead = False

    def __del__(self) -> None:
        self.dead = True


#: What a thread does to a map of a few keys, over and over.
CHURN: list[Callable[[AnyMap, Any], object]] = [
    lambda m, key: m.__setitem__(key, Marked(key)),
    lambda m, key: m.pop(key, None),
    lambda m, key: m.insert(key, Marked(key)),
    lambda m, key: m.swap(key, Marked(key)),
    lambda m, key: m.compute(key, lambda old: Marked(key)),
    lambda m, key: m.__setitem__(key, Marked(key)),
    lambda m, key: m.clear() if key == "1" else None,
    lambda m, key: m.shrink() if key == "2" else None,
    lambda m, key: m.get(key),
    lambda m, key: m.update((f"{number}", Marked(f"{number}")) for number in range(30)),
    lambda m, key: m.replace(key, Marked(key)),
]


@pytest.mark.parametrize("family", ["one str", "str", "tuple"])
def test_a_second_thread_comes_while_the_maker_is_at_work(family: str) -> None:
    """The maker may be anywhere in an operation, about to release a value that the newcomer has found."""
    names = [f"{number}" for number in range(8)]
    current: list[AnyMap] = [ShardMap()]
    ended = False

    def key_of(name: str) -> Any:
        return {"one str": name, "str": f"{name} "[:-1], "tuple": (name,)}[family]

    def maker() -> None:
        nonlocal ended
        try:
            for turn in range(scaled(1500)):
                m: AnyMap = ShardMap(shards=1 << turn % 3)
                for number in range(4 + turn % 5):
                    CHURN[(turn + number) % len(CHURN)](m, key_of(names[number]))
                current[0] = m
                for number in range(20 + turn % 7):
                    CHURN[(turn * 7 + number * 3) % len(CHURN)](m, key_of(names[(turn + number) % 8]))
        finally:
            ended = True

    def newcomer() -> None:
        while not ended:
            m = current[0]
            for name in names:
                value = m.get(key_of(name))
                if value is not None:
                    assert not value.dead
                    assert value.key == key_of(name)
            m.replace(key_of("3"), Marked(key_of("3")))

    run_threads([maker, newcomer])
    current[0]._check()


# -- what is used again -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["one at a time", "in bulk", "popitem"])
def test_entries_of_deleted_keys_are_used_again(kind: str) -> None:
    """With a reader that comes and goes all the time; without reuse it would be 24 bytes for every key that ever was."""
    m = shared(ShardMap(shards=4))
    m.update((number, number) for number in range(100))
    turns = scaled(20_000, 4000)
    most = 0

    def churn() -> None:
        nonlocal most
        for first in range(0, turns, 100):
            keys = range(1000 + first, 1100 + first)
            if kind == "in bulk":
                m.set_many((key, key) for key in keys)
                assert m.delete_many(keys) == 100
            else:
                for key in keys:
                    m[key] = key
                    m.popitem() if kind == "popitem" else m.pop(key)
            most = max(most, m.stats()["bytes"])

    def read() -> None:
        assert m.get_many(range(100), 0) is not None
        for number in range(100):
            assert m.get(number, number) == number

    run_threads([churn], background=[read])
    # Limbo is bounded as the backlog is, by two things for each key; the tables may have grown a little with it.
    assert most < m.stats()["bytes"] / 2 + 24 * MOST_THINGS
    assert most < 24 * turns or turns < 20_000
    assert m.stats()["retired"] <= 3 * MOST_THINGS
    assert len(assert_settled(m)) == 100


@pytest.mark.parametrize(
    "values",
    [lambda number: [number], lambda number: None, lambda number: number % 3, lambda number: "text"],
    ids=["lists", "None", "small ints", "interned"],
)
def test_what_overwrites_displace_is_bounded(values: Callable[[int], object]) -> None:
    """Immortal values, on which nothing depends, are retired like all others."""
    m = shared(ShardMap.fromkeys(range(100), object()))
    most = 0

    def write() -> None:
        nonlocal most
        for number in range(scaled(30_000, 10_000)):
            m[number % 100] = values(number)
            if number % 97 == 0:
                most = max(most, m.stats()["retired"])

    run_threads([write, write], background=[lambda: m.get_many(range(100))])
    assert most <= 3 * MOST_THINGS
    before = m.stats()["bytes"]
    m.drain()
    assert m.stats()["retired"] == 0
    assert m.stats()["bytes"] == before
    assert len(assert_settled(m)) == 100


OVERWRITES = """
import sys, threading
from concurrency import run_threads
from support import resident
from shardmap import ShardMap

times, immortal = int(sys.argv[1]), sys.argv[2] == "immortal"
m = ShardMap()
keys = [f"key {number}" for number in range(100)]
for key in keys:
    m[key] = None
most = warm = 0

def write():
    global most, warm
    for turn in range(times):
        value = turn % 2 if immortal else (turn,)
        for key in keys:
            m[key] = value
        if turn == times // 4:
            warm = resident()
        if turn % 64 == 0:
            most = max(most, m.stats()["retired"])

def read():
    for key in keys:
        assert m[key] is not ...

read()
run_threads([write, write], background=[read])
m._check()
print(resident() - warm, most)
"""


@pytest.mark.parametrize("kind", ["immortal", "mortal"])
def test_a_million_overwrites_of_a_hundred_keys_with_readers(kind: str) -> None:
    grown, most = map(int, run_python_ok(OVERWRITES, str(scaled(5000, 500)), kind).split())
    assert grown < 3 << 20
    assert most <= 3 * MOST_THINGS
