"""All operations of the byte map against each other on few keys: no value is torn, mixed up, cut off or lost from sight,
views keep theirs, the structure is sound throughout and nothing stays kept. `byte_threads` has the operations.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from byte_threads import BOUNDED, MAPS, OPERATIONS, SIZES, Worker, assert_settled, check_entries
from bytemaps import AnyMap, stressed
from concurrency import new_random, run_copies, run_threads, scaled

from shardmap import ByteMap

ROUNDS = scaled(250)
KEYS = 24
#: As weights: operations on the whole map are few, since each keeps the others out for long.
WHOLE_MAP = {"copy", "pickle", "snapshot", "retain", "clear", "partitions", "iter", "items", "values", "==", "_check"}
MIX = [name for name in OPERATIONS for _ in range(1 if name in WHOLE_MAP else 6)]
ALL_MAPS: dict[str, Callable[[], AnyMap]] = {**MAPS, **BOUNDED}


@pytest.mark.parametrize("variant", ALL_MAPS)
@pytest.mark.parametrize("threads", [4, 8])
def test_everything_against_everything(variant: str, threads: int) -> None:
    m = ALL_MAPS[variant]()
    seed = new_random().randrange(1 << 32)
    sizes = SIZES if variant in MAPS else (0, 8, 100, 600, 1000, 3000, 20_000)

    def body(thread: int) -> None:
        worker = Worker(m, KEYS, seed + thread, sizes)
        worker.run(MIX, 2 * ROUNDS // threads)
        worker.let_go()

    run_copies(body, threads)
    gc.collect()
    check_entries(assert_settled(m).items())
    assert not m._limit or m.memory().reserved <= m._limit
    m.clear()
    assert assert_settled(m) == {}


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_against_each(name: str) -> None:
    """Two threads do the one, two the other, on a map that is always on the move."""
    seed = new_random().randrange(1 << 32)
    for other in list(OPERATIONS)[list(OPERATIONS).index(name) :]:
        m = stressed(2)
        filler = Worker(m, KEYS, seed, (0, 20, 100, 1000, 20_000))
        filler.run(["[]="], KEYS)
        workers = [Worker(m, KEYS, seed + thread, filler.sizes) for thread in range(4)]
        # Something to read, remove and replace.
        names = [[name, name, "[]="], [name], [other, "insert"], [other]]
        run_threads([partial(worker.run, mine, scaled(8)) for worker, mine in zip(workers, names, strict=True)])
        try:
            m._check()
            for worker in workers:
                worker.let_go()
            assert_settled(m)
        except AssertionError as error:
            error.add_note(f"({name} against {other})")
            raise


def test_maps_are_born_and_die_while_others_are_swept() -> None:
    """Maps of other threads' come and go while every map of the process is swept."""
    seed = new_random().randrange(1 << 32)
    kept: list[Any] = []

    def body(thread: int) -> None:
        for number in range(scaled(30)):
            m: AnyMap = ByteMap(shards=1 << number % 5)
            worker = Worker(m, KEYS, seed + 1000 * thread + number, (0, 20, 3000))
            worker.run(["[]=", "set for a moment", "set with ttl", "get_view", "pop with default"], 40)
            kept.append(m.get_view(m.setdefault(b"last", b"last")))
            del m, worker.m
            # The map is gone, its views are not.
            worker.let_go()

    one: AnyMap = ByteMap()
    from shardmap import _core

    run_copies(body, background=[_core._sweep_all, lambda: Worker(one, KEYS, seed).run(["set for a moment"], 20)])
    assert all(view == b"last" for view in kept)
    kept.clear()
    assert_settled(one)
