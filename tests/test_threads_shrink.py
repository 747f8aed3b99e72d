"""shrink() moves a shard's entries while others look: no reader misses a key, no overwrite and no reservation is lost."""

from __future__ import annotations

import threading
from typing import Any

from concurrency import AnyMap, assert_settled, join_all, run_copies, scaled

from shardmap import MISSING, ShardMap


def growing() -> AnyMap:
    """One shard that is always moving to another table, so that most shrinks come in the middle of a move."""
    m: AnyMap = ShardMap(shards=1)
    m._stress(12, 8, True)
    return m


def copies(keys: list[str]) -> list[str]:
    """Equal to the map's keys and not the same objects."""
    return ["".join(list(key)) for key in keys]


def test_readers_miss_nothing() -> None:
    m = growing()
    keys = [f"key {number}" for number in range(64)]
    m.update((key, key) for key in keys)
    stop = threading.Event()
    missed: list[Any] = []

    def read(lookup: Any) -> None:
        mine = copies(keys)
        while not stop.is_set() and not missed:
            missed.extend(key for key in mine if not lookup(key))

    readers = [
        threading.Thread(target=read, args=(lookup,))
        for lookup in (m.get, lambda key: key in m, lambda key: m.get_many([key, 1])[0])
    ]
    for reader in readers:
        reader.start()
    for number in range(scaled(3000)):
        # Each insert and delete begins another move, or goes on with it.
        m[number % 5] = number
        m.pop((number + 2) % 5, None)
        m.shrink()
    stop.set()
    join_all(readers)
    assert missed == []


def test_no_overwrite_is_lost() -> None:
    """Each thread overwrites its own key and reads what it wrote, while all are moved."""
    m = growing()
    m.update((thread, -1) for thread in range(-8, 0))

    def body(thread: int) -> None:
        key = -1 - thread
        for number in range(scaled(2000)):
            m[key] = number
            assert m[key] == number
            assert m.swap(key, (number,)) == number
            assert m.compare_and_set(key, (number,), number)
            assert m.add(key, 1) == number + 1

    run_copies(body, background=[m.shrink, lambda: m.setdefault("more", 1), lambda: m.pop("more", None)])
    assert_settled(m)


def test_a_key_object_that_is_there_twice() -> None:
    """Its hash has changed in between, which is the user's fault; the reservation stays with the entry it was made for."""

    class Changing:
        hash = 1

        def __hash__(self) -> int:
            return self.hash

        def __eq__(self, other: object) -> bool:
            return self is other

    m: AnyMap = ShardMap(shards=1)
    key = Changing()
    m[key] = "first"
    key.hash = 2
    m[key] = "second"

    def shrinking(old: Any) -> Any:
        assert old == "second"
        m.shrink()
        return MISSING

    assert m.compute(key, shrinking) is MISSING
    m._check()
    assert list(m.values()) == ["first"]
