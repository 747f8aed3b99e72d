"""Memory stays flat under churn at a constant size and under overwrites, and comes back when the map shrinks.

The long runs happen in a process of their own, whose resident memory tells the truth.
"""

from __future__ import annotations

import sys
from typing import Any

import pytest
from concurrency import scaled
from support import linux_only, run_python_ok

from shardmap import ShardMap

pytestmark = linux_only

#: Resident memory that may come and go without anything being wrong: arenas of the allocators, the stack.
SLACK = 3 << 20

CHURN = """
import gc, sys
from support import resident
from shardmap import ShardMap

kind, size, total = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
m = ShardMap(shards=8, hash_seed=1)
step = size // 4

def bulk(first):
    m.set_many(zip(range(first, first + step), range(first, first + step)))
    m.delete_many(range(first - size, first - size + step))

def strings(first):
    m.set_many([(f"key {number}", number) for number in range(first, first + step)])
    m.delete_many([f"key {number}" for number in range(first - size, first - size + step)])

def single(first):
    for number in range(first, first + step):
        m[number] = number
        m.pop(number - size, None)

def popitem(first):
    for number in range(first, first + step):
        m[number] = number
        if len(m) > size:
            m.popitem()

def count(first):
    m.count(range(first, first + step))
    m.delete_many(range(first - size, first - size + step))

def compute(first):
    for number in range(first, first + step):
        m.compute(number, lambda old: number)
        m.compute_if_present(number - size, lambda old: MISSING)

def objects(first):
    m.set_many((number, [number]) for number in range(first, first + step))
    m.delete_many(range(first - size, first - size + step))

from shardmap import MISSING
run = globals()[kind]
for first in range(0, total, step):
    run(first)
    if first == 20 * size:
        gc.collect()
        warm, warm_bytes = resident(), m.stats()["bytes"]
        buckets = m.stats()["buckets"]
gc.collect()
m._check()
stats = m.stats()
print(resident() - warm, stats["bytes"] - warm_bytes, stats["buckets"] - buckets, len(m))
"""


@pytest.mark.parametrize(
    ("kind", "operations"),
    [("bulk", 10_000_000), ("strings", 1_000_000), ("single", 2_000_000), ("popitem", 1_000_000), ("count", 2_000_000),
     ("compute", 600_000), ("objects", 1_000_000)],
)  # fmt: skip
def test_churn_at_a_constant_size(kind: str, operations: int) -> None:
    """Ever-new keys come as old ones go; half of the operations insert."""
    size = 4000
    total = max(scaled(operations) // 2, 30 * size)
    grown, native, buckets, entries = map(int, run_python_ok(CHURN, kind, str(size), str(total)).split())
    assert entries == size
    assert grown < SLACK
    # Which shard has how many entries changes, so a table may double here and there.
    assert buckets <= size / 4
    assert native < 200 * 1024


OVERWRITES = """
import gc, sys
from support import resident
from shardmap import ShardMap

times = int(sys.argv[1])
m = ShardMap()
keys = [f"key {number}" for number in range(100)]
warm = None
for turn in range(times):
    if turn % 2:
        m.set_many(zip(keys, range(turn * 1000, turn * 1000 + 100)))
    else:
        for key in keys:
            m[key] = [turn]
    if turn == 50:
        gc.collect()
        warm, stats = resident(), m.stats()
m._check()
gc.collect()
after = m.stats()
assert {**after, "growing": 0} == {**stats, "growing": 0}, (stats, after)
print(resident() - warm, len(m))
"""


def test_a_million_overwrites_of_a_hundred_keys() -> None:
    """The case that swells sync.Map: the structure does not change at all."""
    grown, entries = map(int, run_python_ok(OVERWRITES, str(scaled(10_000, 200))).split())
    assert entries == 100
    assert grown < SLACK


def test_maps_that_come_and_go() -> None:
    code = """
import gc
from support import resident
from shardmap import ShardMap
def lives(count):
    for number in range(count):
        m = ShardMap()
        m.update((n, n) for n in range(50))
        m["me"] = m
        ShardMap({1: 1}, shards=1).copy()
        if number % 500 == 0:
            gc.collect()  # when it comes by itself differs widely between the builds of Python
grown = []
for _ in range(4):
    before = resident()
    lives(2500)
    gc.collect()
    grown.append(resident() - before)
print(min(grown))  # the allocator may settle late, a leak shows every time
"""
    assert int(run_python_ok(code)) < SLACK // 8


def test_iterators_give_back_what_they_captured() -> None:
    code = """
import gc
from support import resident
from shardmap import ShardMap
m = ShardMap({n: n for n in range(100_000)})
def turn():
    for _ in m.items(): pass
    it = iter(m); next(it); del it
    [sum(1 for _ in part) for part in m.partitions(3)]
    m.snapshot(); m.copy(); m == m.copy(); m.get_many(range(1000))
grown = []
for _ in range(4):
    before = resident()
    for _ in range(4): turn()
    gc.collect()
    grown.append(resident() - before)
print(min(grown))  # the allocator may settle late, a leak shows every time
"""
    assert int(run_python_ok(code)) < SLACK


def test_a_big_map_that_is_emptied_gives_its_memory_back() -> None:
    code = """
import ctypes, gc, sys
from support import resident
from shardmap import ShardMap
values = [None] * 1_000_000
keys = list(range(1_000_000))
gc.collect()
before = resident()
m = ShardMap(shards=16)
m.set_many(zip(keys, values))
full = resident() - before
if sys.argv[1] == "clear":
    m.clear()
elif sys.argv[1] == "shrink":
    m.delete_many(keys)
    m.shrink()
elif sys.argv[1] == "shrink half":
    m.delete_many(keys[100_000:])
    m.shrink()
    assert len(m) == 100_000 and m[99_999] is None
    m._check()
else:
    del m
if hasattr(ctypes.CDLL(None), "malloc_trim"):
    ctypes.CDLL(None).malloc_trim(0)  # what malloc has got back and keeps for later is not the map's any more
print(full, resident() - before)
"""
    for way, share in [("clear", 0.2), ("shrink", 0.2), ("shrink half", 0.5), ("del", 0.2)]:
        full, left = map(int, run_python_ok(code, way).split())
        assert full > 25_000_000
        assert left < share * full, way


# -- how much an entry takes ------------------------------------------------------------------------------------------


def test_an_empty_map_is_small() -> None:
    for m in (ShardMap[Any, Any](), ShardMap[Any, Any](shards=1024), ShardMap[Any, Any]({})):
        assert sys.getsizeof(m) <= 4096
        assert m.stats()["bytes"] <= 4096
        assert m.get(1) is None
        assert len(m) == 0
        assert 1 not in m
        assert list(m) == []
        m.clear()
        m.pop(1, None)
        m.snapshot()
        m.get_many([1, 2])
        assert sys.getsizeof(m) <= 4096, "reading allocates nothing"
        assert m.stats()["shards_used"] == 0


def test_getsizeof_is_what_stats_says() -> None:
    m: ShardMap[int, int] = ShardMap()
    for count in (0, 1, 100, 10_000):
        m.update((number, number) for number in range(count))
        assert 0 <= sys.getsizeof(m) - m.stats()["bytes"] <= 200


@pytest.mark.parametrize("count", [1_000_000, 1_300_000])
def test_bytes_an_entry(count: int) -> None:
    """Not more than dict's by a tenth, at a million str keys; that is where dict is at its leanest."""
    keys = [f"key {number}" for number in range(count)]
    control = dict.fromkeys(keys, 1)
    m: ShardMap[str, int] = ShardMap(shards=32, hash_seed=1)
    m.update((key, 1) for key in keys)
    assert sys.getsizeof(m) / count <= 1.1 * sys.getsizeof(control) / 1_000_000 * (1 if count == 1_000_000 else 1.5)


def test_bytes_an_entry_at_all_sizes() -> None:
    """While a table doubles there are two of them: the worst moments are bounded too."""
    m: ShardMap[int, None] = ShardMap(shards=16, hash_seed=1)
    empty = sys.getsizeof(ShardMap({-1: None}, shards=16))
    worst = 0.0
    for number in range(300_000):
        m[number] = None
        if number >= 20_000 and number % 1000 == 0:
            worst = max(worst, (sys.getsizeof(m) - empty) / (number + 1))
    assert worst < 70
