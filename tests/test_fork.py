"""`os.fork` while other threads use the map: the child has a usable map, whatever they were doing.

The threads do not exist in the child. Locks that they held there are open, keys that their callbacks had reserved have
their old values and make nobody wait. A child that hangs is killed by its own alarm, which fails the test.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest
from concurrency import (
    VARIANTS,
    AnyMap,
    Setup,
    assert_same_elements,
    assert_settled,
    join_all,
    on_every_setup,
    run_copies,
    run_threads,
    scaled,
    wait_until,
)
from forking import CHILD_SECONDS, FORK_MARKS, in_child, run_and_exit
from plain_map import PlainMap
from reservations import (
    PASSING_WHEN_ABSENT,
    PASSING_WHEN_PRESENT,
    WAITING_WHEN_ABSENT,
    WAITING_WHEN_PRESENT,
    Held,
    plus_one,
)
from support import run_python_ok

from shardmap import DeadlockError, ShardMap

pytestmark = FORK_MARKS

FORKS = scaled(15)
#: Its callback must not run where it waits for another's result; in the child there is none, and it would have to.
COMPUTES_ANEW = "compute_if_absent"
PERMANENT = 40


def use_every_way(m: AnyMap, setup: Setup) -> None:
    """All operations, in one thread; the map has *PERMANENT* keys and is empty afterwards."""
    m._check()
    assert m.stats()["waiting"] == 0
    seen = m.snapshot()
    assert len(m) == len(seen) == len(list(m)) == len(m.copy())
    assert m == seen
    for number in range(PERMANENT):
        assert m[setup.key(number)] == number
        m[setup.key(number)] = -number
        assert m.swap(setup.key(number), number) == -number
    for number in range(5000, 5200):
        key = setup.key(number)
        assert m.insert(key, 0)
        assert m.add(key, number) == number
        assert m.compute(key, plus_one) == number + 1
        assert m.compare_and_set(key, number + 1, number)
    assert m.get_many(setup.keys(range(5000, 5200))) == list(range(5000, 5200))
    assert m.delete_many(setup.keys(range(5000, 5200))) == 200
    m.count(setup.keys(range(6000, 6010)))
    assert m.retain(lambda key, value: True) == 0
    assert sum(1 for partition in m.partitions(3) for _ in partition) == len(m)
    m.reserve(1000)
    m.shrink()
    m._check()
    for _ in range(10):
        m.popitem()
    m.clear()
    assert assert_settled(m) == {}
    assert m.merge(setup.key(0), 1, int.__add__) == 1
    assert assert_settled(m) == {setup.key(0): 1}


def hammers(m: AnyMap, setup: Setup) -> list[Callable[[], object]]:
    """What other threads do to the map again and again while the process forks; permanent keys keep their values."""
    a, b = setup.key(100), setup.key(101)
    m[a] = m[b] = 0
    steps = itertools.count(1)

    def pair() -> None:
        for _ in range(20):
            m[a] = step = next(steps)
            m[b] = step

    def come_and_go() -> None:
        m.set_many((setup.key(number), number) for number in range(200, 260))
        m.delete_many(setup.key(number) for number in range(200, 260))

    def compute() -> None:
        for number in range(300, 310):
            m.compute(setup.key(number), plus_one)
            m.merge(setup.key(number), 1, lambda old, one: old + one)
            m.compute_if_absent(setup.key(number + 100), lambda key: 0)
            m.pop(setup.key(number + 100), None)

    def whole_map() -> None:
        m.snapshot()
        m.copy()
        assert m != {}
        len(m)
        list(m)
        m.stats()
        m.reserve(500)
        m.shrink()

    def maps() -> None:
        for _ in range(5):
            mine: AnyMap = ShardMap({1: 1}, shards=4)
            mine.clear()

    return [pair, come_and_go, compute, whole_map, maps]


@pytest.mark.parametrize(
    "setup", [Setup("default", "str"), Setup("stressed", "colliding"), Setup("stressed-one-shard", "str")], ids=str
)
def test_fork_while_threads_hammer_the_map(setup: Setup) -> None:
    for many_shards in (False, True):
        # Many shards make the operations that hold all of them long.
        m: AnyMap = ShardMap(shards=1024) if many_shards else setup.new()
        m.update((setup.key(number), number) for number in range(PERMANENT))
        background = hammers(m, setup)

        def check() -> None:
            seen = m.snapshot()
            assert seen[setup.key(100)] - seen[setup.key(101)] in (0, 1)
            use_every_way(m, setup)

        def fork_often() -> None:
            for _ in range(FORKS):
                in_child(check)

        run_threads([fork_often], background=background)
        assert_settled(m)


@pytest.mark.parametrize("present", [True, False], ids=["present", "absent"])
@on_every_setup
def test_a_reserved_key_is_free_in_the_child(setup: Setup, present: bool) -> None:
    """Every operation meets the key as it was before the callback began, and does not wait."""
    tables: list[dict[str, Any]] = (
        [WAITING_WHEN_PRESENT, PASSING_WHEN_PRESENT] if present else [WAITING_WHEN_ABSENT, PASSING_WHEN_ABSENT]
    )
    operations = [operation for table in tables for name, (operation, *_) in table.items() if name != COMPUTES_ANEW]
    m = setup.new()
    key = setup.key(0)
    if present:
        m[key] = 1
    for operation in operations:
        plain = PlainMap({key: 1} if present else {})
        expected = operation(plain, key)

        def check() -> None:
            assert m.stats()["waiting"] == 0
            assert m.get(key) == (1 if present else None)
            assert operation(m, key) == expected
            assert m == plain
            m._check()
            assert m.compute(key, plus_one) == plain.compute(key, plus_one)
            assert m == plain
            assert m.stats()["reserved"] == 0
            m.clear()
            assert assert_settled(m) == {}

        waiting = threading.Thread(target=m.add, args=(key, 0), daemon=True)
        with Held(m, key, 1):
            waiting.start()
            wait_until(lambda: m.stats()["waiting"] == 1)
            in_child(check)
            assert m.stats()["reserved"] == 1
        join_all([waiting])
        assert m[key] == 1
        if not present:
            del m[key]
        m._check()


def popped_clean(m: AnyMap) -> None:
    while m:
        m.popitem()


def removed_clean(m: AnyMap) -> None:
    assert m.retain(lambda key, value: False) > 0


def replaced_clean(m: AnyMap) -> None:
    m.clear()


@on_every_setup
@pytest.mark.parametrize("clean", [popped_clean, removed_clean, replaced_clean], ids=lambda clean: clean.__name__)
def test_many_reserved_keys_in_the_child(setup: Setup, clean: Callable[[AnyMap], None]) -> None:
    m = setup.new()
    m.update((setup.key(number), number) for number in range(PERMANENT))
    numbers = [*range(5), *range(PERMANENT, PERMANENT + 5)]
    holders = [Held(m, setup.key(number), -number) for number in numbers]

    def check() -> None:
        assert m == {setup.key(number): number for number in range(PERMANENT)}
        m.shrink()
        copied = m.copy()
        assert assert_settled(copied) == m.snapshot()
        clean(m)
        assert len(m) == 0
        for number in numbers:
            assert m.insert(setup.key(number), "new")
        assert assert_settled(m) == {setup.key(number): "new" for number in numbers}

    for holder in holders:
        holder.__enter__()
    try:
        for _ in range(scaled(5)):
            in_child(check)
    finally:
        for holder in holders:
            holder.__exit__()
    entries = assert_settled(m)
    assert entries == {setup.key(number): number for number in range(PERMANENT)} | {
        setup.key(number): -number for number in numbers
    }


@on_every_setup
def test_fork_inside_of_a_callback(setup: Setup) -> None:
    """The thread that forks exists in the child, so its own reservation counts there, and is concluded there."""
    m = setup.new()
    key, other = setup.key(0), setup.key(1)
    for old in (None, "old"):
        if old is not None:
            m[key] = old
        waiting = threading.Thread(target=m.__setitem__, args=(key, "from the waiter"), daemon=True)
        child = -1

        def fork(_: Any) -> str:
            nonlocal child
            waiting.start()
            wait_until(lambda: m.stats()["waiting"] == 1)
            child = os.fork()
            return "parent" if child else "child"

        with Held(m, other, "other"):
            assert m.compute(key, fork) == ("parent" if child else "child")
            if child == 0:

                def check() -> None:
                    assert m.snapshot() == {key: "child"}
                    assert m.stats()["reserved"] == 1
                    assert m.swap(key, "again") == "child"
                    m[other] = "own"
                    assert assert_settled(m) == {key: "again", other: "own"}

                run_and_exit(check)
            assert os.waitpid(child, 0) == (child, 0)
        join_all([waiting])
        assert assert_settled(m) == {key: "from the waiter", other: "other"}
        m.clear()


@on_every_setup
def test_the_child_can_fork_and_start_threads(setup: Setup) -> None:
    """Nobody waits for, or deadlocks with, threads of the parent: those that did wait are forgotten too."""
    m = setup.new()
    keys = setup.keys(4)
    both_inside = threading.Barrier(2)

    def waits_for(mine: int, next_one: int) -> str:
        def outer(_: Any) -> int:
            both_inside.wait()
            m.compute(keys[next_one], plus_one)
            return 100

        try:
            m.compute(keys[mine], outer)
        except DeadlockError:
            return "deadlock"
        return "done"

    def grandchild() -> None:
        m._check()
        m.clear()
        assert assert_settled(m) == {}

    def check() -> None:
        # The keys' threads in the parent wait for each other; here the keys are free and these threads are new.
        run_copies(lambda thread: m.compute(keys[thread % 2], plus_one), 4)
        m.clear()
        in_child(grandchild)
        results = run_threads([lambda: waits_for(0, 1), lambda: waits_for(1, 0)])
        assert_same_elements(results, ["deadlock", "done"])
        in_child(grandchild)
        m._check()

    for _ in range(scaled(5)):
        m.clear()
        waiting = [threading.Thread(target=m.add, args=(key,), daemon=True) for key in keys[:2] * 3]
        with Held(m, keys[0], 0), Held(m, keys[1], 0):
            for thread in waiting:
                thread.start()
            wait_until(lambda: m.stats()["waiting"] == len(waiting))
            in_child(check)
        join_all(waiting)
        assert assert_settled(m) == {keys[0]: 3, keys[1]: 3}


@pytest.mark.parametrize("variant", VARIANTS)
def test_multiprocessing_by_fork(variant: str) -> None:
    m = VARIANTS[variant]()
    setup = Setup(variant, "str")
    m.update((setup.key(number), number) for number in range(PERMANENT))
    context = multiprocessing.get_context("fork")

    def work(results: Any) -> None:
        signal.alarm(CHILD_SECONDS)
        use_every_way(m, setup)
        results.put(m.snapshot())

    def fork() -> None:
        for _ in range(scaled(4)):
            results = context.SimpleQueue()
            process = context.Process(target=work, args=(results,))
            process.start()
            process.join()
            assert process.exitcode == 0
            assert results.get() == {setup.key(0): 1}
            process.close()

    run_threads([fork], background=hammers(m, setup))
    assert_settled(m)


FORK_IN_A_HANDLER = """
import os, signal, sys, threading
from concurrency import wait_until
from reservations import Held
from shardmap import ShardMap

raises = sys.argv[1] == "raise"
m = ShardMap({"key": 0})
children = []

class Left(Exception):
    pass

def handler(*_):
    if children:
        return
    children.append(os.fork())
    if children[0] == 0:
        signal.alarm(30)
    if raises:
        raise Left

signal.signal(signal.SIGUSR1, handler)

def interrupt():
    wait_until(lambda: m.stats()["waiting"] == 1)
    while not children:
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
    held.release.set()

held = Held(m, "key", 1)
held.__enter__()
threading.Thread(target=interrupt, daemon=True).start()
try:
    m["key"] = 2
except Left:
    pass
if children[0] == 0:
    assert m["key"] == (0 if raises else 2), m
    m["key"] = 3
    stats = m.stats()
    assert m == {"key": 3} and (stats["reserved"], stats["waiting"]) == (0, 0)
    m._check()
    os._exit(0)
_, status = os.waitpid(children[0], 0)
assert status == 0, status
held.__exit__()
assert m["key"] == (1 if raises else 2), m
m._check()
"""


@pytest.mark.parametrize("handler", ["raise", "return"])
def test_fork_in_a_signal_handler_while_waiting_for_a_key(handler: str) -> None:
    """In the child nobody is left who could wake the waiter: it goes on, and finds the key free."""
    run_python_ok(FORK_IN_A_HANDLER, handler, options=("-W", "ignore::DeprecationWarning"))
