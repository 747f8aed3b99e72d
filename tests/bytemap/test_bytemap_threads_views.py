"""`get_view` while others write: what a view shows never changes, whatever becomes of the entry, the shard and the map."""

from __future__ import annotations

import gc
import random

import pytest
from byte_threads import LARGE, MAPS, Worker, assert_settled, check_value, key, on_every_map, value
from bytemaps import AnyMap, stressed
from concurrency import THREADS, new_random, run_copies, run_threads, scaled

ROUNDS = scaled(300)
KEYS = 12


@on_every_map
@pytest.mark.parametrize("size", [100, LARGE])
def test_views_never_change(variant: str, size: int) -> None:
    """Threads overwrite with values that fit into the same place, delete, give times to live, and clear."""
    m = MAPS[variant]()
    seed = new_random().randrange(1 << 32)
    writing = ["[]="] * 6 + ["set with ttl", "persist", "expire", "pop with default", "swap", "replace"] + ["clear"]

    def look(thread: int) -> None:
        choose = random.Random(seed + thread)
        views: list[tuple[int, memoryview, bytes]] = []
        for _ in range(ROUNDS):
            number = choose.randrange(KEYS)
            view = m.get_view(key(number))
            if view is not None:
                check_value(number, view)
                views.append((number, view, bytes(view)))
            if len(views) > 30:
                del views[choose.randrange(30)]
            for _, former, copy in choose.sample(views, min(3, len(views))):
                assert former == copy

    writers = [Worker(m, KEYS, seed + thread, (size,)) for thread in range(10, 12)]
    run_threads(
        [lambda thread=thread: look(thread) for thread in range(3)],  # type: ignore[misc]
        background=[lambda writer=writer: writer.run(writing, 30) for writer in writers],  # type: ignore[misc]
    )
    assert_settled(m)


def test_a_view_is_dropped_by_another_thread() -> None:
    """Each thread takes views for the next one to look at and to drop."""
    m = stressed(2, shards=2)
    hands: list[list[tuple[int, memoryview, bytes]]] = [[] for _ in range(THREADS)]
    seed = new_random().randrange(1 << 32)

    def body(thread: int) -> None:
        worker = Worker(m, KEYS, seed + thread, (0, 20, 1000, LARGE))
        for _ in range(ROUNDS):
            number = worker.number()
            worker.do("[]=")
            view = m.get_view(key(number))
            if view is not None:
                hands[(thread + 1) % THREADS].append((number, view, bytes(view)))
            if len(hands[thread]) > 5:
                other, view, copy = hands[thread].pop(0)
                check_value(other, view)
                assert view == copy
                del view

    run_copies(body)
    for hand in hands:
        assert all(view == copy for _, view, copy in hand)
        hand.clear()
    assert_settled(m)


@pytest.mark.parametrize("size", [100, LARGE])
def test_views_outlive_the_map(size: int) -> None:
    """The last views of a map that is gone are dropped by several threads at once, the last one of which ends it."""
    for _ in range(scaled(40)):
        m: AnyMap = stressed(2, shards=2)
        m.set_many((key(number), value(number, number, size)) for number in range(KEYS))
        views = [[(number, m.get_view(key(number))) for number in range(KEYS)] for _ in range(THREADS)]
        m[key(0)] = b"changed"
        del m
        gc.collect(0)

        def drop(thread: int, views: list[list[tuple[int, memoryview]]] = views) -> None:
            while views[thread]:
                number, view = views[thread].pop()
                check_value(number, view)
                del view

        run_copies(drop)


def test_a_long_value_is_read_whole_while_it_is_replaced() -> None:
    """Long values are copied without the lock, by get, swap, pop and iteration."""
    m = MAPS["one-shard"]()
    sizes = (16 * 1024, 20_000, 32 * 1024, 100_000)
    m[b"long"] = b"0" * sizes[0]
    seed = new_random().randrange(1 << 32)

    def body(thread: int) -> None:
        choose = random.Random(seed + thread)
        for round_ in range(scaled(100)):
            mine = bytes([65 + round_ % 26]) * choose.choice(sizes)
            match round_ % 5:
                case 0:
                    found = m.swap(b"long", mine)
                case 1:
                    m[b"long"] = mine
                    found = m.get(b"long")
                case 2:
                    found = m.pop(b"long", None)
                case 3:
                    found = next(iter(m.values()), None)
                case _:
                    found = m.get_many([b"long"])[0]
            if found is not None:
                assert len(found) in sizes
                assert found.count(found[:1]) == len(found)

    run_copies(body)
    assert_settled(m)
