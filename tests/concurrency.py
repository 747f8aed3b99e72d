"""What the concurrency and property tests share: maps and keys that provoke trouble, and threads that start together.

Conventions of these tests:

1. Nothing sleeps to synchronise and nothing asserts a time. Threads meet at barriers and events; the one time limit
   here is a watchdog that turns a hang into a failure.
2. Whatever is random comes from `new_random`, which prints its seed; ``SHARDMAP_TEST_SEED`` repeats it (the schedule
   of the threads is the operating system's, so a repetition is likely, not certain, to fail again).
3. Iteration counts pass through `scaled`; ``SHARDMAP_TEST_SCALE=20`` makes a long run of any of these tests.
4. A thread test runs on every one of `SETUPS`: ordinary maps, and maps whose buckets are tiny and always growing, with
   keys that collide, so that the rare paths are the usual ones.
"""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import itertools
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, TypeVar

import pytest

from shardmap import ShardMap

_T = TypeVar("_T")
AnyMap: TypeAlias = ShardMap[Any, Any]

#: Threads of a stress: more than the processors of a small machine, so that some are always switched out somewhere.
THREADS = 4
#: After this long a thread that has not ended is taken to hang; no test comes near it.
WATCHDOG_SECONDS = 120
#: Asks the GIL for a switch far more often than the default of 5 ms; lower values spend all the time switching.
SWITCH_INTERVAL = 1e-5

SCALE = float(os.environ.get("SHARDMAP_TEST_SCALE", "1"))
GIL_ENABLED: bool = getattr(sys, "_is_gil_enabled", lambda: True)()


def scaled(count: int, least: int = 1) -> int:
    """*count* iterations, multiplied by ``SHARDMAP_TEST_SCALE``, and *least* at the least."""
    return max(least, int(count * SCALE))


def new_random() -> random.Random:
    """A random generator whose seed is printed (pytest shows it with a failure) and repeats by the environment."""
    seed = int(os.environ.get("SHARDMAP_TEST_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"SHARDMAP_TEST_SEED={seed}")
    return random.Random(seed)


# -- maps and keys ----------------------------------------------------------------------------------------------------


def stressed(slots: int, *, shards: int | None = None) -> AnyMap:
    """A map whose buckets have only *slots* slots and overflow at once, and which is always being resized."""
    made: AnyMap = ShardMap(shards=shards)
    made._stress(slots, 1, True)
    return made


#: The maps that tests run on, by name.
VARIANTS: dict[str, Callable[[], AnyMap]] = {
    "default": ShardMap,
    "one-shard": lambda: ShardMap(shards=1),
    "stressed": lambda: stressed(2),
    "stressed-one-shard": lambda: stressed(1, shards=1),
}


class Colliding:
    """A key that is equal by its label and shares its hash with others; comparing two lets other threads run.

    Equal hashes mean the same shard, the same chain of buckets and the same tophash, so that ``__eq__`` runs often.
    On a build with a GIL it is the only place where another thread can come between the steps of a plain operation,
    hence the explicit yield.
    """

    __slots__ = ("chosen_hash", "label")
    _turn = itertools.count()

    def __init__(self, label: int, chosen_hash: int) -> None:
        self.label = label
        self.chosen_hash = chosen_hash

    def __hash__(self) -> int:
        return self.chosen_hash

    def __eq__(self, other: object) -> bool:
        if GIL_ENABLED and next(self._turn) % 8 == 0:
            give_way()
        return isinstance(other, Colliding) and self.label == other.label

    def __repr__(self) -> str:
        return f"Colliding({self.label}, {self.chosen_hash})"


def give_way() -> None:
    """Let another thread run now; it orders nothing, it only makes more schedules likely."""
    time.sleep(0)


@functools.cache
def one_str(number: int) -> str:
    """The same object for the same number: of such keys a thread remembers where it found them."""
    return f"one {number}"


#: Every call makes a new, equal key object, as keys that come from input are; except for "one str".
KEY_FAMILIES: dict[str, Callable[[int], Hashable]] = {
    "str": lambda number: f"key {number}",
    "one str": one_str,
    "colliding": lambda number: Colliding(number, number // 8),
}


@dataclass(frozen=True)
class Setup:
    """One kind of map with one kind of keys."""

    variant: str
    family: str

    def new(self) -> AnyMap:
        """An empty map."""
        return VARIANTS[self.variant]()

    def key(self, number: int) -> Hashable:
        """A key object, a new one in most families; equal numbers make equal keys."""
        return KEY_FAMILIES[self.family](number)

    def keys(self, numbers: int | Iterable[int]) -> list[Hashable]:
        """Key objects for ``range(numbers)``, or for the numbers given."""
        return [self.key(number) for number in (range(numbers) if isinstance(numbers, int) else numbers)]

    def __str__(self) -> str:
        return f"{self.variant}-{self.family}"


SETUPS = [
    Setup("default", "str"),
    Setup("default", "colliding"),
    Setup("stressed", "str"),
    Setup("stressed", "one str"),
    Setup("stressed", "colliding"),
    Setup("stressed-one-shard", "str"),
]
on_every_setup = pytest.mark.parametrize("setup", SETUPS, ids=str)


def assert_settled(m: AnyMap) -> dict[Any, Any]:
    """The entries of a map that no thread uses any more: sound, nothing reserved, what was displaced is released, and all
    ways to read it agree."""
    m.drain()
    m._check()
    stats = m.stats()
    assert (stats["reserved"], stats["waiting"], stats["deleted"]) == (0, 0, 0)
    entries: dict[Any, Any] = m.snapshot()
    assert len(m) == stats["entries"] == len(entries)
    assert Counter(iter(m)) == Counter(entries.keys())
    assert dict(m.items()) == entries
    keys = list(entries)
    for key, value in zip(keys, m.get_many(keys), strict=True):
        assert value is entries[key]
        assert m[key] is value
        assert key in m
    return entries


def assert_same_elements(found: Iterable[Any], expected: Iterable[Any]) -> None:
    """Every element as often in one as in the other; says which are lost and which came twice."""
    have, want = Counter(found), Counter(expected)
    assert have == want, f"lost: {dict(want - have)}; too many: {dict(have - want)}"


# -- threads ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def frequent_switches() -> Iterator[None]:
    """Make a GIL build switch threads often; nothing to do on a free-threaded one."""
    before = sys.getswitchinterval()
    if GIL_ENABLED:
        sys.setswitchinterval(SWITCH_INTERVAL)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def run_threads(bodies: Sequence[Callable[[], _T]], background: Sequence[Callable[[], object]] = ()) -> list[_T]:
    """Run every body in a thread of its own, all released by one barrier; their results, in order.

    A background function is called over and over in its own thread until the bodies have ended, at least once. The
    first exception of any thread is raised here, with the thread's name.
    """
    barrier = threading.Barrier(len(bodies) + len(background))
    ended = threading.Event()
    results: list[Any] = [None] * len(bodies)
    failures: list[BaseException] = []

    def run_body(index: int) -> None:
        try:
            barrier.wait()
            results[index] = bodies[index]()
        except BaseException as error:
            error.add_note(f"(in thread {threading.current_thread().name})")
            failures.append(error)

    def run_background(index: int) -> None:
        try:
            barrier.wait()
            while True:
                background[index]()
                if ended.is_set():
                    return
        except BaseException as error:
            error.add_note(f"(in thread {threading.current_thread().name})")
            failures.append(error)

    main = [threading.Thread(target=run_body, args=(i,), name=f"body {i}", daemon=True) for i in range(len(bodies))]
    more = [
        threading.Thread(target=run_background, args=(i,), name=f"background {i}", daemon=True)
        for i in range(len(background))
    ]
    with frequent_switches():
        for thread in main + more:
            thread.start()
        try:
            join_all(main)
        finally:
            ended.set()
        join_all(more)
    if failures:
        for error in failures[1:]:
            failures[0].add_note(f"also failed: {error!r}")
        raise failures[0]
    return results


def run_copies(
    body: Callable[[int], _T], threads: int = THREADS, background: Sequence[Callable[[], object]] = ()
) -> list[_T]:
    """`run_threads` with one body for all; it is given the number of its thread."""
    return run_threads([partial(body, i) for i in range(threads)], background)


def promptly(call: Callable[[], _T]) -> _T:
    """The result of a call that must not wait; in a thread of its own, so that waiting for ever is a failure."""
    return run_threads([call])[0]


def join_all(threads: Iterable[threading.Thread]) -> None:
    """Wait until all threads have ended; a failure that shows every thread's stack if one hangs."""
    deadline = time.monotonic() + WATCHDOG_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            with contextlib.suppress(Exception):
                faulthandler.dump_traceback(file=sys.__stderr__ or sys.stderr)
            raise AssertionError(f"{thread.name} hangs")


def wait_until(condition: Callable[[], bool]) -> None:
    """Let other threads run until *condition* holds; for states that no event announces, such as "it waits now"."""
    deadline = time.monotonic() + WATCHDOG_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        give_way()
