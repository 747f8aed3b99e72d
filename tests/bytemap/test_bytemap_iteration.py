"""Iteration through a map that changes between two steps, by the hand of who iterates: growth, shrinking, deletes.

Weakly consistent: no exception, every key that is there from start to end exactly once, no key twice, and only what was
there at some time.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from bytemaps import VARIANTS, AnyMap, pairs, stressed
from concurrency import new_random, scaled
from support import run_python_ok

KINDS: dict[str, Callable[[AnyMap], Iterator[Any]]] = {
    "keys": iter,
    "items": lambda m: iter(m.items()),
    "partition": lambda m: m.partitions(1)[0],
    "partitions": lambda m: (item for part in m.partitions(3) for item in part),
    "keys view": lambda m: iter(m.keys()),
}


class Watched:
    """A map beside which is kept what an iteration must and may yield; every change goes through here."""

    def __init__(self, m: AnyMap, count: int) -> None:
        self.m = m
        self.entries = {b"%d" % number: b"first" for number in range(count)}
        m.update(self.entries)
        self.fresh = count
        self.watch()

    def watch(self) -> None:
        self.throughout = set(self.entries)
        self.ever = {key: {value} for key, value in self.entries.items()}

    def set(self, key: bytes, value: bytes) -> None:
        self.m[key] = value
        self.entries[key] = value
        self.ever.setdefault(key, set()).add(value)

    def insert(self, count: int) -> None:
        for _ in range(count):
            self.set(b"%d" % self.fresh, b"v" * (self.fresh % 40))
            self.fresh += 1

    def delete(self, key: bytes) -> None:
        del self.m[key]
        del self.entries[key]
        self.throughout.discard(key)

    def check(self, yielded: list[Any], kind: str) -> None:
        keys = yielded if "keys" in kind else [key for key, _ in yielded]
        assert len(keys) == len(set(keys)), "a key came twice"
        assert self.throughout <= set(keys), "a key that was always there is missing"
        if "keys" not in kind:
            assert all(value in self.ever[key] for key, value in yielded)
        else:
            assert set(keys) <= self.ever.keys()


def grow(w: Watched, rng: random.Random) -> None:
    w.insert(rng.randrange(1, 60))


def overwrite(w: Watched, rng: random.Random) -> None:
    for key in rng.sample(sorted(w.entries), min(20, len(w.entries))):
        w.set(key, b"w" * rng.randrange(60))


def delete(w: Watched, rng: random.Random) -> None:
    for key in rng.sample(sorted(w.entries), len(w.entries) // 10):
        w.delete(key)


def delete_most_and_shrink(w: Watched, rng: random.Random) -> None:
    for key in rng.sample(sorted(w.entries), len(w.entries) * 3 // 4):
        w.delete(key)
    w.m.shrink()


def replace_a_deleted_one(w: Watched, rng: random.Random) -> None:
    """It may come or not, but not twice."""
    for key in rng.sample(sorted(w.entries), min(10, len(w.entries))):
        w.delete(key)
        w.set(key, b"again")


def resize(w: Watched, rng: random.Random) -> None:
    w.m.reserve(rng.randrange(4000))
    if rng.random() < 0.5:
        w.m.shrink()


CHANGES = [grow, overwrite, delete, delete_most_and_shrink, replace_a_deleted_one, resize]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", [*CHANGES, None], ids=lambda change: getattr(change, "__name__", "all"))
def test_iteration_while_the_map_changes(
    m: AnyMap, change: Callable[[Watched, random.Random], None] | None, kind: str
) -> None:
    rng = new_random()
    for _ in range(scaled(2)):
        m.clear()
        watched = Watched(m, rng.choice([1, 30, 400]))
        yielded = []
        for element in KINDS[kind](m):
            yielded.append(element)
            if rng.random() < 12 / len(watched.ever):
                (change or rng.choice(CHANGES))(watched, rng)
                m._check()
        watched.check(yielded, kind)
        assert m == watched.entries


@pytest.mark.parametrize("shards", [1, 4])
def test_a_step_at_each_place_of_a_shrink(shards: int) -> None:
    """The walk stops in each bucket of a large table, then these are joined: what it has had does not come again."""
    for taken in range(0, 300, 7):
        m = stressed(12, shards=shards)
        m.reserve(1024)
        watched = Watched(m, 300)
        iterator = iter(m)
        yielded = [next(iterator) for _ in range(taken)]
        m.shrink()
        m._check()
        watched.insert(30)
        for key in yielded[::3]:
            watched.delete(key)
        m.shrink()
        m._check()
        yielded += iterator
        assert len(yielded) == len(set(yielded))
        assert watched.throughout <= set(yielded)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_map_that_is_emptied_and_filled_again(variant: str) -> None:
    for again in (
        lambda m: m.clear(),
        lambda m: m.delete_many(list(m)),
        lambda m: [m.popitem() for _ in range(len(m))],
    ):
        m = VARIANTS[variant]()
        m.update(pairs(300))
        iterators = [KINDS[kind](m) for kind in KINDS]
        for iterator in iterators:
            next(iterator)
        again(m)
        assert len(m) == 0
        m.update(pairs(300))
        for iterator in iterators:
            rest = list(iterator)
            assert len(rest) == len(set(rest)) < 300
        m._check()


def test_deleting_what_it_yields(m: AnyMap) -> None:
    m.update(pairs(500))
    seen = []
    for key in m:
        seen.append(key)
        assert m.pop(key) == b"value " + key[4:]
    assert len(seen) == len(set(seen)) == 500
    assert len(m) == 0


def test_adding_what_it_yields_ends(m: AnyMap) -> None:
    """New keys come at places that the walk has passed as well as at those before it."""
    m.update(pairs(100))
    for count, key in enumerate(m):
        if count < 1000:
            m[b"new " + key] = b"v"
    assert len(m) >= 200


def test_an_iterator_that_has_ended_stays_so(m: AnyMap) -> None:
    for make in KINDS.values():
        m.update(pairs(10))
        iterator = make(m)
        assert len(list(iterator)) == 10
        m.update((b"later %d" % number, b"") for number in range(300))
        assert list(iterator) == []
        m.clear()


def test_an_iterator_keeps_its_map(m: AnyMap) -> None:
    for variant in VARIANTS.values():
        iterators = []
        for make in KINDS.values():
            one = variant()
            one.update(pairs(300))
            iterators.append(make(one))
            del one
        gc.collect()
        next(iterators[0])
        assert [len(list(iterator)) for iterator in iterators] == [299, 300, 300, 300, 300]


def test_iterators_that_are_dropped_on_the_way(m: AnyMap) -> None:
    m.update(pairs(300))
    iterators = [make(m) for make in KINDS.values() for _ in range(10)]
    for steps, iterator in enumerate(iterators):
        for _ in range(steps):
            next(iterator)
    assert m.stats()["kept"] > 0
    m.delete_many(list(m))
    del iterator
    iterators.clear()
    m._check()
    assert m.stats()["kept"] == m.memory().used == 0


def test_iterators_are_independent(m: AnyMap) -> None:
    m.update(pairs(30))
    assert sum(1 for _ in m for _ in m.items()) == 900


COLLECTOR_ON_THE_WAY = """
import faulthandler, gc
from shardmap import ByteMap

faulthandler.dump_traceback_later(30, exit=True)  # a thread that waits for itself waits for ever

m = ByteMap((b"%d" % number, b"") for number in range(2000))
iterators = [iter(m), iter(m.values()), iter(m.items()), m.partitions(1)[0]]
alone = [len(list(make)) for make in (iter(m), iter(m.items()))]
came = 0

class Cycle:
    def __init__(self):
        self.me = self

    def __del__(self):
        global came
        for iterator in iterators:
            came += next(iterator, None) is not None
        m[b"from del"] = b""

gc.set_threshold(1, 1, 1)
ended = 0
while ended < len(iterators):
    Cycle()
    ended = 0
    for iterator in iterators:
        if next(iterator, None) is None:
            ended += 1
        else:
            came += 1
gc.disable()
assert 8000 <= came <= 8004, came
m._check()
print("done")
"""


def test_a_collection_while_an_iterator_advances() -> None:
    """It may run a __del__ that goes on with the very same iterator: nothing is locked then."""
    assert run_python_ok(COLLECTOR_ON_THE_WAY) == "done\n"
