"""Time to live under threads: sweeping while others write, what is due is never seen, what is not due never goes."""

from __future__ import annotations

import pytest
from byte_threads import MAPS, assert_settled, check_value, key, on_every_map, value
from bytemaps import LONG, SHORT, AnyMap, outlive
from concurrency import THREADS, new_random, run_copies, run_threads, scaled

from shardmap import ByteMap, _core

ROUNDS = scaled(400)
KEYS = 60


@on_every_map
@pytest.mark.parametrize("sweepers", [1, 3])
def test_sweeping_while_threads_write(variant: str, sweepers: int) -> None:
    """Every entry that was put for a moment goes exactly once: by a sweep, by who met it, or by a write of its key."""
    m = MAPS[variant]()
    permanent = {key(number): value(number, 0, 30) for number in range(KEYS)}
    for number, (one, found) in enumerate(permanent.items()):
        m.set(one, found, ttl=None if number % 2 else LONG)

    def write(thread: int) -> None:
        for round_ in range(ROUNDS):
            number = 1000 * (thread + 1) + round_
            m.set(key(number), value(number, 0, round_ % 90), ttl=SHORT)

    run_threads(
        [lambda thread=thread: write(thread) for thread in range(THREADS)],  # type: ignore[misc]
        background=[m.sweep] * (sweepers - 1) + [_core._sweep_all],
    )
    outlive()
    m.sweep()
    assert assert_settled(m) == permanent
    assert m.stats()["expired"] == THREADS * ROUNDS
    assert m.stats()["deadlines"] == KEYS // 2


@on_every_map
def test_sweeps_of_several_threads_share_the_entries(variant: str) -> None:
    m = MAPS[variant]()
    for _ in range(scaled(10)):
        m.set_many(((key(number), b"due") for number in range(500)), ttl=SHORT)
        m.set_many(((key(number), b"here") for number in range(500, 600)), ttl=LONG)
        outlive()
        assert sum(run_copies(lambda _: m.sweep())) == 500
        assert len(assert_settled(m)) == 100


@on_every_map
def test_what_is_due_is_never_seen(variant: str) -> None:
    """By none of the ways to look, while other threads write, sweep and read; afterwards the keys are absent."""
    m = MAPS[variant]()

    def body(thread: int) -> None:
        mine = [key(1000 * thread + number) for number in range(10)]
        for round_ in range(scaled(10)):
            m.set_many(((one, b"due") for one in mine), ttl=SHORT)
            outlive()
            assert not any(one in m for one in mine[:2])
            assert m.get_many(mine[2:4]) == [None, None]
            assert m.get_view(mine[4]) is None
            assert not m.expire(mine[5], LONG)
            assert not m.replace(mine[6], b"")
            assert m.insert(mine[7], b"new")
            assert m.setdefault(mine[8], b"new") == b"new"
            assert m.swap(mine[9], b"new") is None
            seen = dict(m.items()) if round_ % 2 else m.snapshot()
            assert not set(mine[:7]) & set(seen)
            m.delete_many(mine)

    run_copies(body, background=[m.sweep, lambda: m.set_many({b"other": b"value"}, ttl=LONG)])
    assert set(assert_settled(m)) == {b"other"}


@on_every_map
def test_every_way_to_change_a_deadline(variant: str) -> None:
    """Threads give and take times to live of entries that are never due: none goes, and their number comes out."""
    m = MAPS[variant]()
    m.update((key(number), value(number, 0, number)) for number in range(KEYS))
    seed = new_random().randrange(1 << 32)

    def body(thread: int) -> None:
        for round_ in range(ROUNDS):
            number = (seed + round_ * 7 + thread) % KEYS
            one = key(number)
            match (round_ + thread) % 6:
                case 0:
                    assert m.expire(one, LONG)
                case 1:
                    m.persist(one)
                case 2:
                    m.set(one, value(number, round_, round_ % 50), ttl=LONG)
                case 3:
                    assert m.replace(one, value(number, round_, 10))
                case 4:
                    left = m.ttl(one)
                    assert left is None or LONG - 1000 < left <= LONG
                case _:
                    check_value(number, m[one])

    run_copies(body, background=[m.sweep])
    entries = assert_settled(m)
    assert len(entries) == KEYS
    assert m.stats()["deadlines"] == sum(m.ttl(one) is not None for one in entries)
    for one in entries:
        m.persist(one)
    assert m.stats()["deadlines"] == 0


def test_a_sweep_leaves_nothing_that_was_due_while_the_table_shrinks() -> None:
    """Removing moves the table's buckets, and may end the move in the middle of the sweep."""
    choose = new_random()
    for _ in range(scaled(250)):
        m: AnyMap = ByteMap.__new__(ByteMap)
        m._configure(1, choose.getrandbits(64), 0, 0, 0, 12, 0, True)
        m.update((b"%d" % number, b"") for number in range(300))
        m.delete_many(b"%d" % number for number in range(300))
        due = choose.randrange(10, 60)
        m.set_many(((b"due %d" % number, b"") for number in range(due)), ttl=SHORT)
        m.update((b"new %d" % number, b"") for number in range(choose.randrange(20)))
        outlive()
        m.sweep()
        assert m.stats()["deadlines"] == 0
