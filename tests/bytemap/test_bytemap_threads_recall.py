"""The same key objects again and again, by several threads: what a thread remembers of them is never another key's, nor
what was before.

There are more key objects than the memory of them has places, so that they displace each other; and they are in one
shard, which other threads hold now and then, with and without the GIL.
"""

from __future__ import annotations

import random

import pytest
from byte_threads import MAPS, assert_settled, on_every_map
from bytemaps import LONG, AnyMap
from concurrency import THREADS, new_random, run_copies, run_threads, scaled

from shardmap import ByteMap

MANY = 5000
ROUNDS = scaled(3000)


def keys_and_values(count: int) -> tuple[list[bytes], AnyMap]:
    keys = [b"key%06d" % number for number in range(count)]
    m: AnyMap = ByteMap(shards=1)
    m.update((one, one + b"-00000000") for one in keys)
    return keys, m


@pytest.mark.parametrize("held_by", ["snapshot", "sweep"])
@pytest.mark.parametrize("count", [50, MANY])
def test_no_key_gets_what_is_another_ones(count: int, held_by: str) -> None:
    keys, m = keys_and_values(count)
    m.set(b"here", b"to sweep", ttl=LONG)
    seed = new_random().randrange(1 << 32)

    def body(thread: int) -> None:
        choose = random.Random(seed + thread)
        for _ in range(ROUNDS):
            one = choose.choice(keys)
            m[one] = one + b"-%08d" % choose.randrange(10**8)
            other = choose.choice(keys)
            assert m[other].startswith(other + b"-")
            assert other in m

    run_copies(body, background=[getattr(m, held_by)])
    entries = assert_settled(m)
    assert all(entries[one].startswith(one + b"-") for one in keys)


@on_every_map
def test_what_another_thread_has_written_is_seen(variant: str) -> None:
    """Values of a key only grow; so does what each thread reads, by every way, after what it has read before."""
    m = MAPS[variant]()
    keys = [b"key%d" % number for number in range(4)]
    m.update((one, b"%012d" % 0) for one in keys)

    def write(mine: bytes) -> None:
        for number in range(ROUNDS):
            m[mine] = b"%012d" % number
            assert m[mine] == b"%012d" % number

    def read() -> None:
        last = dict.fromkeys(keys, b"")
        for number in range(2 * ROUNDS):
            one = keys[number % len(keys)]
            found = m[one] if number % 3 else m.get(one)
            assert found >= last[one]
            last[one] = found

    run_threads([lambda one=one: write(one) for one in keys[:2]] + [read, read])
    assert_settled(m)


@on_every_map
def test_a_key_that_is_gone_is_not_remembered(variant: str) -> None:
    """Each thread deletes, clears, evicts or lets expire its own key objects, and looks for them at once."""
    m = MAPS[variant]()

    def body(thread: int) -> None:
        mine = [b"%d of %d" % (number, thread) for number in range(8)]
        for round_ in range(ROUNDS // 20):
            for one in mine:
                m[one] = b"%d" % round_
                assert m[one] == b"%d" % round_
                assert one in m
            match round_ % 4:
                case 0:
                    assert m.delete_many(mine) == len(mine)
                case 1:
                    assert all(m.pop(one) == b"%d" % round_ for one in mine)
                case 2:
                    assert all(m.compare_and_delete(one, b"%d" % round_) for one in mine)
                case _:
                    assert m.retain(lambda one, _: one not in mine) == len(mine)
            for one in mine:
                assert one not in m
                assert m.get(one) is None

    run_copies(body)
    assert assert_settled(m) == {}


def test_maps_that_follow_each_other_in_memory() -> None:
    """A new map may lie where another one was that had the same key objects."""
    keys = [b"key%d" % number for number in range(20)]

    def body(thread: int) -> None:
        for round_ in range(ROUNDS // 40):
            m: AnyMap = ByteMap(shards=1)
            assert not any(one in m or m.get(one) for one in keys)
            m.update((one, b"%d of %d" % (round_, thread)) for one in keys)
            assert all(m[one] == b"%d of %d" % (round_, thread) for one in keys)
            m.clear()
            assert not any(one in m or m.get(one) for one in keys)

    run_copies(body, THREADS)
