"""Many short threads: totals are right, memory is flat, and nothing of a thread is left in a map when it has ended."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from concurrency import AnyMap, Setup, assert_settled, frequent_switches, join_all, scaled
from reservations import plus_one
from support import settle

#: In each of four runs.
THREADS = scaled(2_500)
#: Alive at a time.
WAVE = 8
KEYS = 16
SETUPS = [Setup("default", "str"), Setup("stressed", "colliding")]


class CallbackError(Exception):
    pass


class Value:
    """A value that can be referred to weakly."""


def run_waves(threads: int, body: Callable[[int], None]) -> None:
    """*threads* threads, a few at a time, each with its number; the first failure is raised here."""
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            body(number)
        except BaseException as error:
            failures.append(error)

    with frequent_switches():
        for first in range(0, threads, WAVE):
            wave = [
                threading.Thread(target=run, args=(number,), daemon=True)
                for number in range(first, min(first + WAVE, threads))
            ]
            for thread in wave:
                thread.start()
            join_all(wave)
            if failures:
                raise failures[0]


def short_work(m: AnyMap, setup: Setup, number: int) -> None:
    """A little of everything, some of it with a callback; leaves one more in two counters and nothing else."""
    mine = setup.key(1000 + number % (2 * WAVE))
    m.add(setup.key(number % KEYS))
    assert m.insert(mine, Value())
    m.count([setup.key((number + 1) % KEYS)])
    m.get(setup.key(0))

    def change(old: Any) -> Any:
        assert isinstance(old, Value)
        m.add("callbacks")
        if number % 3 == 0:
            raise CallbackError
        return Value()

    if number % 3 == 0:
        with pytest.raises(CallbackError):
            m.compute(mine, change)
    else:
        m.compute(mine, change)
    if number % 100 == 0:
        m.snapshot()
        assert sum(1 for _ in m) >= 1
    assert isinstance(m.pop(mine), Value)


@pytest.mark.parametrize("setup", SETUPS, ids=str)
def test_the_work_of_many_short_threads_adds_up(setup: Setup) -> None:
    m = setup.new()
    before = threading.active_count()
    run_waves(THREADS, lambda number: short_work(m, setup, number))
    entries = assert_settled(m)
    assert threading.active_count() == before
    assert entries.pop("callbacks") == THREADS
    assert entries.keys() == {setup.key(number) for number in range(min(KEYS, THREADS + 1))}
    assert sum(entries.values()) == 2 * THREADS


class MallocInfo(ctypes.Structure):
    """What glibc's mallinfo2 returns."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    ]
    hblkhd: int
    uordblks: int


def native_bytes() -> int:
    """Bytes that malloc has given out: exact, unlike resident memory, and without a trace of the threads themselves."""
    mallinfo2 = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo2 is None:
        pytest.skip("needs glibc's mallinfo2")
    mallinfo2.restype = MallocInfo
    info: MallocInfo = mallinfo2()
    return info.uordblks + info.hblkhd


@pytest.mark.parametrize("setup", SETUPS, ids=str)
def test_memory_is_flat(setup: Setup) -> None:
    m = setup.new()

    def body(number: int) -> None:
        short_work(m, setup, number)

    run_waves(THREADS // 4, body)
    settle(m)
    native, blocks = native_bytes(), sys.getallocatedblocks()
    run_waves(THREADS, body)
    settle(m)
    # Measured without a leak: some hundred bytes, up or down, however many threads; 8 bytes a thread would be 20 KB.
    assert native_bytes() - native < 8 * THREADS
    assert sys.getallocatedblocks() - blocks < THREADS // 4
    assert_settled(m)


@pytest.mark.parametrize("setup", SETUPS, ids=str)
def test_nothing_keeps_a_map_that_threads_have_used(setup: Setup) -> None:
    alive: list[weakref.ref[Any]] = []
    for _ in range(20):
        m = setup.new()
        value = Value()
        m["value"] = value

        def body(number: int, m: AnyMap = m) -> None:
            m.add(setup.key(number))
            m.compute(setup.key(number), plus_one)
            assert m["value"] is not None
            list(m)

        run_waves(2 * WAVE, body)
        alive += [weakref.ref(m), weakref.ref(value)]
        settle(m)
        del m, value, body
    gc.collect()
    assert [reference() for reference in alive] == [None] * len(alive)


@pytest.mark.parametrize("setup", SETUPS, ids=str)
def test_a_map_that_dies_in_another_thread(setup: Setup) -> None:
    """The last reference to a map and its values goes away in a thread that did not make them."""
    alive: list[weakref.ref[Any]] = []

    def body(number: int) -> None:
        m, maps[number] = maps[number], None
        assert m is not None
        assert len(m) == 2 * KEYS

    maps: list[AnyMap | None] = []
    for _ in range(20 * WAVE):
        m = setup.new()
        m.update((setup.key(n), Value()) for n in range(KEYS))
        m.update((("me", n), m) for n in range(KEYS))
        alive += [weakref.ref(m), weakref.ref(m[setup.key(0)])]
        maps.append(m)
        del m
    run_waves(len(maps), body)
    gc.collect()
    assert not any(reference() for reference in alive)
