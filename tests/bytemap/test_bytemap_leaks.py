"""Nothing is kept that should go: native memory, by the map's own count and by the C library's, and Python's blocks.

Each scenario is run many times on a map that is emptied in between; what it holds must be the same afterwards. Churn at
a constant size keeps the memory that it takes flat, whatever sizes come and go.
"""

# Scenarios are tuples of calls whose results nobody looks at.
# mypy: disable-error-code="func-returns-value"

from __future__ import annotations

import contextlib
import copy
import gc
import itertools
import sys
import weakref
from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from bytemaps import LONG, VARIANTS, AnyMap, pairs, pass_away
from concurrency import new_random, scaled
from support import linux_only, resident, run_python_ok
from test_leaks import native_bytes

from shardmap import ByteMap

RUNS = 60
Scenario = Callable[[AnyMap], Any]


def interrupted(*items: Any) -> Any:
    yield from items
    raise ZeroDivisionError


def fail(*arguments: object) -> NoReturn:
    raise ZeroDivisionError


SCENARIOS: dict[str, Scenario] = {
    "set and delete": lambda m: (m.__setitem__(b"k", b"v"), m.__delitem__(b"k")),
    "bytes-like": lambda m: (m.__setitem__(bytearray(b"k"), memoryview(b"v")), m.get(bytearray(b"k"))),
    "overwrite": lambda m: [m.__setitem__(b"k", bytes(size)) for size in (1, 2, 1, 100, 3, 50_000, 60_000, 1)],
    "reads": lambda m: (m.update(pairs(20)), m[b"key 1"], m.get(b"none"), m.get(b"key 2", 5), b"key 3" in m),
    "conditional": lambda m: (
        m.insert(b"k", b"v"), m.insert(b"k", b"v"), m.replace(b"k", b"w"), m.swap(b"k", b"x"), m.swap(b"l", b"x"),
        m.setdefault(b"k", b"y"), m.compare_and_set(b"k", b"x", b"z"), m.compare_and_set(b"k", b"x", b"z"),
        m.compare_and_delete(b"k", b"x"), m.compare_and_delete(b"k", b"z")),
    "conditional, large": lambda m: (
        m.insert(b"k", bytes(40_000)), m.insert(b"k", bytes(40_000)), m.replace(b"n", bytes(40_000)),
        m.swap(b"k", bytes(50_000)), m.setdefault(b"k", bytes(40_000)), m.compare_and_set(b"k", b"", bytes(40_000))),
    "pop": lambda m: (m.update(pairs(5)), m.pop(b"key 1"), m.pop(b"key 1", None), m.popitem(), m.delete_many(list(m))),
    "pop, large": lambda m: (m.update({b"a": bytes(40_000), b"b": bytes(20_000)}), m.pop(b"a"), m.popitem()),
    "counting": lambda m: (m.add(b"k"), m.add(b"k", 10**15), m.count([b"k", b"l", b"k"]), m.count(iter([b"k"]))),
    "bulk": lambda m: (
        m.set_many(pairs(50)), m.get_many([b"key 1", b"none"] * 20), m.delete_many([b"key 1", b"none"]),
        m.retain(lambda key, value: key < b"key 3"), [list(part) for part in m.partitions(3)]),
    "times to live": lambda m: (
        m.set(b"k", b"v", ttl=LONG), m.ttl(b"k"), m.persist(b"k"), m.expire(b"k", LONG), m.set(b"k", b"w"),
        m.expire(b"k", LONG), m.insert(b"l", b"v", LONG), m.sweep()),
    "what is over": lambda m: (
        m.set_many(pairs(9), ttl=LONG), pass_away(m, [key for key, _ in pairs(9)]), m.get(b"key 1"), m.pop(b"key 2", None),
        m.set(b"key 3", b""), list(m), m.sweep()),
    "views": lambda m: (
        m.update(pairs(5)), m.get_view(b"key 1"), m.get_view(b"none"), m.get_view(b"key 2")[1:].cast("c"),
        memoryview(m.get_view(b"key 3"))),
    "views of what goes": lambda m: [
        (view := m.get_view(key), m.pop(key, None), bytes(view)) for key in (m.update(pairs(9)), list(m))[1]],
    "views over clear": lambda m: (m.update(pairs(9)), view := m.get_view(b"key 1"), m.clear(), m.update(pairs(5)), view[0]),
    "views of large values": lambda m: (
        m.update({b"k": bytes(70_000)}), view := m.get_view(b"k"), m.__setitem__(b"k", b""), m.clear(), view[0]),
    "iteration": lambda m: (m.update(pairs(200)), list(m), list(m.values()), list(m.items()), dict(m)),
    "iteration in part": lambda m: (
        m.update(pairs(200)), next(iter(m)), next(iter(m.items())), iter(m), next(m.partitions(2)[0], None)),
    "whole map": lambda m: (
        m.update(pairs(30)), m.snapshot(), m.copy(), copy.deepcopy(m), m == m.copy(), m.diff({b"key 1": b""}), repr(m),
        m | {b"k": b"v"}, {b"k": b"v"} | m, list(m.keys() & {b"key 1"}), m.view()[b"key 1"]),
    "sizes": lambda m: (m.update(pairs(30)), m.stats(), m.memory(), sys.getsizeof(m), m.shard_of(b"k"), m.reserve(2000),
                        m.shrink()),
    "growth": lambda m: (m.update(pairs(500)), m.delete_many(list(m)), m.update(pairs(500)), m.clear()),
    "other maps": lambda m: (ByteMap(pairs(9)), ByteMap.fromkeys([b"k"]), ByteMap(m, shards=2), weakref.ref(m)()),
    "a full map": lambda m: [
        full.update((b"%d" % number, bytes(3000)) for number in range(40))
        for full in [ByteMap(max_memory="64kb", shards=1, eviction="allkeys-lru")]],
    # exceptions
    "absent": lambda m: m[b"k"],
    "absent, del": lambda m: m.__delitem__(b"k"),
    "absent, pop": lambda m: m.pop(b"k"),
    "absent, popitem": lambda m: m.popitem(),
    "absent, ttl": lambda m: m.ttl(b"k"),
    "text": lambda m: m.get("k"),
    "text as value": lambda m: m.__setitem__(b"k", "v"),
    "text among keys": lambda m: m.get_many([b"k", bytearray(b"l"), "m"]),
    "text among counted": lambda m: m.count([b"k", bytearray(b"l"), None]),
    "no pairs": lambda m: m.update([(b"k", b"v"), (b"l",)]),
    "no number": lambda m: (m.__setitem__(b"k", b"v"), m.add(b"k")),
    "overflow": lambda m: (m.add(b"k", 2**63 - 1), m.add(b"k")),
    "no delta": lambda m: m.add(b"k", 2**64),
    "no duration": lambda m: m.set(b"k", b"v", ttl="soon"),
    "bad duration": lambda m: m.set(b"k", b"v", ttl=float("nan")),
    "iterable that raises": lambda m: m.update(interrupted((b"k", b"v"))),
    "keys that raise": lambda m: m.get_many(interrupted(b"k", bytearray(b"l"))),
    "counted that raise": lambda m: m.count(interrupted(b"k", b"l")),
    "predicate that raises": lambda m: (m.update(pairs(9)), m.retain(fail)),
    "bad options": lambda m: ByteMap({b"k": b"v"}, shards=3),
    "bad partitions": lambda m: m.partitions(0),
    "bad reserve": lambda m: m.reserve(-1),
    "refused": lambda m: [
        full.update((b"%d" % number, bytes(3000)) for number in range(40))
        for full in [ByteMap(max_memory="64kb", shards=1)]],
    "refused, large": lambda m: [
        (full.swap(b"k", bytes(20_000)), full.swap(b"k", bytes(19_000)), full.swap(b"k", bytes(18_000)),
         full.set(b"l", bytes(20_000)), full.set(b"m", bytes(20_000)))
        for full in [ByteMap(max_memory="64kb", shards=1)]],
    "too large": lambda m: ByteMap(max_memory="64kb", shards=1).set(b"k", bytes(1 << 17)),
}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def full_recall() -> None:
    """The thread recalls as many key objects as it ever does, so that each new one takes the place of another one."""
    m = ByteMap()
    keys = [b"recalled %d" % number for number in range(40_000)]
    m.update((key, key) for key in keys)
    for key in keys:
        # The second time it is remembered.
        assert m[key] == m[key] == key


def measure(scenario: Scenario, m: AnyMap) -> tuple[int, int, int]:
    """Run it RUNS times: by how much the meters have moved. Exceptions are let pass."""
    gc.collect()
    reserved, blocks, native = m.memory().reserved, sys.getallocatedblocks(), native_bytes()
    for _ in range(RUNS):
        with contextlib.suppress(Exception):
            scenario(m)
        m.clear()
    gc.collect()
    native, blocks = native_bytes() - native, sys.getallocatedblocks() - blocks
    return m.memory().reserved - reserved, blocks, native


@pytest.mark.parametrize("variant", ["default", "stressed-one-shard"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_operations(name: str, variant: str) -> None:
    m = VARIANTS[variant]()
    for _ in range(2):
        measure(SCENARIOS[name], m)  # whatever is made once is made now
    found = []
    for _ in range(12):
        reserved, blocks, native = measure(SCENARIOS[name], m)
        found.append((reserved, blocks, native))
        assert (reserved, m.stats()["kept"], m.memory().used, m.memory().content) == (0, 0, 0, 0)
        # Others allocate too (the collector, caches): a leak shows every time, and once a run at least.
        if blocks < RUNS // 2 and native < 8 * RUNS:
            break
    else:
        raise AssertionError(f"bytes reserved, blocks, native bytes, in {RUNS} runs: {found}")
    m._check()


def test_the_bytes_of_a_map_that_dies() -> None:
    """By the C library's count: what its own count says, no more and no less."""
    sources = {
        "small": dict(pairs(5000)),
        "large": {b"%d" % number: bytes(33_000) for number in range(50)},
        "mixed": {b"%d" % number: bytes(number * 17) for number in range(400)},
    }
    for name, entries in sources.items():
        for views in (False, True):
            before = native_bytes()
            if not before:
                pytest.skip("this C library does not tell")
            m = ByteMap(entries, shards=4, hash_seed=1)
            assert native_bytes() - before > m.memory().content // 2 or name == "large"
            held = [m.get_view(key) for key in list(entries)[::7]] if views else []
            del m
            held.clear()
            assert native_bytes() - before < 16_384, name


def test_deleting_gives_memory_back(m: AnyMap) -> None:
    for size in (10, 300, 5000, 40_000):
        entries = {b"%d" % number: bytes(size) for number in range(4_000_000 // (size + 400))}
        for take_away in (lambda: m.clear(), lambda: m.delete_many(entries), lambda: [m.popitem() for _ in entries]):
            m.update(entries)
            full = m.memory()
            take_away()
            empty = m.memory()
            assert empty.used == empty.content == 0
            # Of the tables nothing comes back by itself, and of the regions each shard may keep some.
            assert empty.reserved - empty.tables <= (full.reserved - full.tables) // 2 + m._shards * 32 * 1024
            m.shrink()
            assert m.memory().tables <= m._shards * 128
            assert m.memory().free == 0


CHURNS: dict[str, Callable[[Any], int]] = {
    "equal": lambda rng: 100,
    "mixed": lambda rng: int(rng.expovariate(1 / 200)),
    "all": lambda rng: int(2 ** rng.uniform(0, 16)),
}


@pytest.mark.parametrize("kind", CHURNS)
@pytest.mark.parametrize("shards", [1, 8])
def test_churn_keeps_memory_flat(kind: str, shards: int) -> None:
    """Ever new keys at a constant number: old ones go, none is moved, and the holes are used again."""
    rng = new_random()
    m: Any = ByteMap(shards=shards)
    size = 500 if kind == "all" else 2000
    numbers = itertools.count(size)
    for number in range(size):
        m[b"%d" % number] = bytes(CHURNS[kind](rng))

    def churn(steps: int) -> float:
        """The most that was reserved for an octet of what there was."""
        peak = 0.0
        for step, number in enumerate(itertools.islice(numbers, steps)):
            m[b"%d" % number] = bytes(CHURNS[kind](rng))
            del m[b"%d" % (number - size)]
            if step % 50 == 0:
                peak = max(peak, m.memory().reserved / m.memory().content)
        return peak

    warm = churn(5 * size)
    assert churn(scaled(10 * size)) < warm * 1.4
    m._check()


def test_overwrites_keep_memory_flat() -> None:
    rng = new_random()
    m: Any = ByteMap(shards=4)

    def overwrite(steps: int) -> float:
        peak = 0.0
        for step in range(steps):
            m[b"%d" % rng.randrange(100)] = bytes(int(rng.expovariate(1 / 300)))
            if step % 50 == 0:
                peak = max(peak, m.memory().reserved / m.memory().content)
        return peak

    warm = overwrite(20_000)
    assert overwrite(scaled(20_000)) < warm * 1.4


RESIDENT = """
import pickle
from support import resident
from shardmap import ByteMap

def use():
    m = ByteMap(shards=4)
    m.update((b"%d" % number, bytes(number % 300)) for number in range(5000))
    m.update((b"large %d" % number, bytes(40_000)) for number in range(40))
    views = [m.get_view(key) for key in list(m)[::10]]
    m.copy().clear()
    pickle.loads(pickle.dumps(m))
    m.delete_many(list(m)[::2])
    m.snapshot()

for _ in range(30):
    use()
before = resident()
for _ in range(100):
    use()
print(resident() - before)
"""


@linux_only
def test_maps_that_come_and_go() -> None:
    assert resident() > 0
    assert int(run_python_ok(RESIDENT)) < 3 << 20
