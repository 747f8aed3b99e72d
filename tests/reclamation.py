"""What the tests of reclamation share: readers that stall, threads that are alive and idle, objects that can be missed.

On free-threaded builds readers take no lock, so what a write displaces is *retired*: it goes into a bag of the thread
that wrote, and is released when no reader can be looking at it (``cysrc/retire.pyx``).
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self, TypeVar

import pytest
from concurrency import GIL_ENABLED, WATCHDOG_SECONDS, AnyMap, join_all, wait_until

from shardmap import ShardMap, _core

__all__ = [
    "BAG_ROOM",
    "MOST_THINGS",
    "UNHINDERED",
    "Box",
    "Stalled",
    "Worker",
    "assert_released",
    "can_stall_writers",
    "clean_slate",
    "free_threaded_only",
    "shared",
    "tick",
    "used_by_turns",
]

_T = TypeVar("_T")

free_threaded_only = pytest.mark.skipif(GIL_ENABLED, reason="with the GIL what is displaced is released at once")

#: Things in a bag, and in all that a thread keeps at most: 16 that are sealed and one that is open.
BAG_ROOM = 253
MOST_THINGS = 17 * BAG_ROOM
#: So many things a thread retires without ever waiting for a reader: it looks after its bags at every sixteenth thing,
#: seals one of them then at most, and waits when sixteen are sealed.
UNHINDERED = 15 * 16


class Box:
    """An object that can be referred to weakly, and is equal only to itself."""

    __slots__ = ("__weakref__", "content")

    def __init__(self, content: object = None) -> None:
        self.content = content


def is_asleep(thread: threading.Thread) -> bool:
    """Does the system say that the thread waits for something, be it for the end of a nap?"""
    status = Path(f"/proc/self/task/{thread.native_id}/stat").read_text()
    return status.rpartition(")")[2].split()[0] == "S"


stall: Any = _core._stall


def can_stall_writers() -> bool:
    """Does the core's stall know how to be an overwriter?"""
    try:
        stall(bytearray([1]), True)
    except TypeError:
        return False
    return True


class Stalled:
    """A reader that the system has stopped in the middle of a lookup, until the ``with`` block ends or it may `leave`."""

    def __init__(self, first: Callable[[], object] | None = None, *, writing: bool = False) -> None:
        """With something for its thread to do before it stalls; *writing*: in the middle of an overwrite."""
        self.until = bytearray(1)
        self.first = first
        self.writing = [True] if writing else []
        self.thread = threading.Thread(target=self.run, name="stalled", daemon=True)

    def run(self) -> None:
        if self.first is not None:
            self.first()
        stall(self.until, *self.writing)

    def __enter__(self) -> Self:
        self.thread.start()
        wait_until(self.is_inside)
        return self

    def is_inside(self) -> bool:
        """It has taken hold of the bytes, which therefore cannot be resized, and naps: it only does that when pinned."""
        try:
            self.until.append(0)
            self.until.pop()
        except BufferError:
            return is_asleep(self.thread)
        return False

    def leave(self) -> None:
        self.until[0] = 1
        join_all([self.thread])

    def __exit__(self, *_: object) -> None:
        self.leave()


class Worker:
    """A thread that is alive, and idle but for the calls it is given; a call that hangs is a failure."""

    def __init__(self) -> None:
        self.calls: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        self.results: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
        self.busy = False
        self.thread = threading.Thread(target=self.run, name="worker", daemon=True)

    def run(self) -> None:
        while (call := self.calls.get()) is not None:
            result, error = None, None
            try:
                result = call()
            except BaseException as raised:
                error = raised
            del call
            self.busy = False
            self.results.put((result, error))
            del result, error

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def begin(self, call: Callable[[], Any]) -> None:
        self.busy = True
        self.calls.put(call)

    def end(self) -> Any:
        """The result of the call that was begun."""
        try:
            result, error = self.results.get(timeout=WATCHDOG_SECONDS)
        except queue.Empty:
            raise AssertionError("the call hangs") from None
        if error is not None:
            raise error
        return result

    def __call__(self, call: Callable[[], _T]) -> _T:
        self.begin(call)
        result: _T = self.end()
        return result

    def waits(self, progress: Callable[[], object] = lambda: None) -> bool:
        """Is the thread in the middle of a call, asleep, and stays so? It may be for another reason than the one that
        the caller has in mind, so this is to wait for and proves nothing."""
        before = progress()
        return all(self.busy and is_asleep(self.thread) for _ in range(50)) and progress() == before

    def __exit__(self, *_: object) -> None:
        self.calls.put(None)
        join_all([self.thread])


def shared(m: AnyMap) -> AnyMap:
    """The map, after a second thread has used it: from now on what it displaces is retired."""
    thread = threading.Thread(target=lambda: m.get(None), daemon=True)
    thread.start()
    join_all([thread])
    return m


def used_by_turns(m: AnyMap) -> AnyMap:
    """The map, after two threads have used it by turns: from now on nobody takes note, with a lock, of who uses it."""
    with Worker() as worker:
        for _ in range(2):
            worker(lambda: m.get(None))
            m.get(None)
    return m


def clean_slate() -> None:
    """Release what tests before this one have retired, and let this thread look after what ended threads have left:
    whatever `stats` reports from now on, and whomever a thread waits for, is the caller's doing."""
    m = shared(ShardMap())
    for number in range(2 * UNHINDERED):
        m[0] = number
    m.drain()
    assert m.stats()["retired"] == 0


#: Linux's CLOCK_MONOTONIC_COARSE, which `time` has no name for. It ticks every few milliseconds.
COARSE_CLOCK = 6


def tick() -> bool:
    """Until the clock has ticked by which threads decide whether to let the epoch advance: the next look will do so."""

    def milliseconds() -> int:
        return time.clock_gettime_ns(COARSE_CLOCK) // 1_000_000

    before = milliseconds()
    wait_until(lambda: milliseconds() != before)
    return True


def assert_released(references: Iterable[Callable[[], object]]) -> None:
    """All these objects go, now or as soon as the threads that made them get round to it: the interpreter passes an
    object whose last reference another thread has dropped on to its owner."""
    wait_until(lambda: all(reference() is None for reference in references))
