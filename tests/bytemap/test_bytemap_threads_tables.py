"""Tables that are made, reserved, shrunk and taken over while others use the map; maps that several threads make."""

from __future__ import annotations

from pathlib import Path

import pytest
from byte_threads import MAPS, assert_settled, check_entries, key, on_every_map, value
from bytemaps import AnyMap
from concurrency import THREADS, run_copies, run_threads, scaled

from shardmap import ByteMap

KEYS = 500
ROUNDS = scaled(15)


@on_every_map
def test_reserve_and_shrink_lose_nothing(variant: str) -> None:
    m = MAPS[variant]()
    expected = {key(number): value(number, 0, number % 60) for number in range(KEYS)}
    m.update(expected)

    def resize() -> None:
        m.reserve(3000)
        m.shrink()

    def body(thread: int) -> None:
        for round_ in range(ROUNDS):
            assert m.get_many(list(expected)) == list(expected.values())
            for number in range(thread, KEYS, THREADS):
                m[key(number)] = expected[key(number)]
            mine = [key(10_000 * (thread + 1) + round_ * 20 + number) for number in range(20)]
            m.update((one, b"") for one in mine)
            assert m.delete_many(mine) == 20

    run_copies(body, background=[resize])
    assert assert_settled(m) == expected


def test_reserve_in_the_middle_of_a_move() -> None:
    """Whatever the tables were doing, reaching the number that was reserved grows none."""
    m: AnyMap = ByteMap(shards=1)
    number = 0
    while m.stats()["growths"] < 4:
        m[key(number)] = b""
        number += 1
    m.reserve(10_000)
    growths = m.stats()["growths"]
    while number < 10_000:
        m[key(number)] = b""
        number += 1
    assert m.stats()["growths"] <= growths + 1
    assert_settled(m)


def test_a_map_whose_constructor_was_not_called() -> None:
    """Threads use it at once: one of them makes it, all of them use the same."""

    class Bare(ByteMap):
        def __init__(self) -> None:
            pass

    for _ in range(scaled(150)):
        m: AnyMap = Bare()

        def body(thread: int, m: AnyMap = m) -> None:
            m[key(thread)] = value(thread, 0, 10)

        run_copies(body)
        assert check_entries(m.items()) == sorted(range(THREADS)) or len(m) == THREADS
        assert set(check_entries(m.items())) == set(range(THREADS))


@pytest.mark.parametrize("shards", [1, 16])
def test_load_while_others_use_the_map(tmp_path: Path, shards: int) -> None:
    """An empty map takes what was loaded at one instant; nobody else is in a shard meanwhile."""
    if not hasattr(ByteMap, "load"):
        pytest.skip("no snapshots yet")
    path = tmp_path / "snapshot"
    source: AnyMap = ByteMap(shards=shards)
    source.update((key(number), value(number, 0, 30)) for number in range(20))
    source.dump(path)
    m: AnyMap = ByteMap(shards=shards)

    def load() -> None:
        for _ in range(scaled(1500)):
            m.clear()
            m.load(path)
        m._check()

    def look() -> None:
        for number in range(50):
            m.get(key(number))

    def hold() -> None:
        m.snapshot()
        m.sweep()
        check_entries(m.items())

    run_threads([load], background=[look, look, hold, hold])
    assert assert_settled(m) == source.snapshot()
