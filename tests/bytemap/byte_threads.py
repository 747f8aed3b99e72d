"""What the byte map's thread tests share: maps, values that tell whose they are and whether they are whole, operations.

A value says of which key it is and how long, and its rest is one byte over and over, another one for each write: a value
that is torn, cut off or of another key is recognised by itself. Sizes are of every kind: some fit into what was there,
some are copied without the lock (from 16 KiB on), some have memory of their own (from 32 KiB on, less with a bound).
"""

from __future__ import annotations

import itertools
import pickle
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from bytemaps import LONG, SHORT, AnyMap, outlive, stressed

from shardmap import ByteMap

__all__ = [
    "BOUNDED",
    "LARGE",
    "MAPS",
    "OPERATIONS",
    "SIZES",
    "Worker",
    "assert_settled",
    "check_entries",
    "check_value",
    "key",
    "number_of",
    "on_every_map",
    "value",
]

#: The maps that thread tests run on, by name; the last two move their tables all the time and overflow at once.
MAPS: dict[str, Callable[[], AnyMap]] = {
    "default": ByteMap,
    "one-shard": lambda: ByteMap(shards=1),
    "stressed": lambda: stressed(2, shards=4),
    "stressed-one-shard": lambda: stressed(1),
}
#: The same with a bound that is soon reached.
BOUNDED: dict[str, Callable[[], AnyMap]] = {
    policy: lambda policy=policy: stressed(3, shards=2, limit=256 * 1024, eviction=policy)  # type: ignore[misc]
    for policy in ("noeviction", "allkeys-lru", "volatile-ttl")
}
on_every_map = pytest.mark.parametrize("variant", MAPS)

#: Memory of its own even without a bound.
LARGE = 40_000
SIZES = (0, 1, 8, 20, 20, 100, 100, 100, 1000, 20_000, LARGE)


def key(number: int) -> bytes:
    """A new bytes object each time; keys are of different lengths."""
    return b"key %d " % number + b"k" * (number % 40)


def number_of(one: bytes) -> int:
    """The number that this key was made of."""
    number = int(one.split(b" ")[1])
    assert one == key(number)
    return number


def value(number: int, stamp: int, size: int) -> bytes:
    """One of the values that the key with this number may have."""
    return b"%d %d " % (number, size) + bytes([1 + stamp % 255]) * size


def check_value(number: int, found: bytes | memoryview) -> None:
    """Is it a whole value of this key, or the number that `add` makes of an absent one?"""
    found = bytes(found)
    if found.isdigit():
        return
    owner, size, rest = found.split(b" ", 2)
    assert int(owner) == number, f"key {number} has a value of key {int(owner)}"
    assert len(rest) == int(size), f"{len(rest)} bytes of {int(size)}"
    assert rest.count(rest[:1]) == len(rest) or not rest, "two values are mixed"


def check_entries(entries: Iterable[tuple[bytes, bytes]]) -> list[int]:
    """Are they all whole, and each key there once? Their numbers."""
    numbers = []
    for one, found in entries:
        number = number_of(one)
        check_value(number, found)
        numbers.append(number)
    assert len(set(numbers)) == len(numbers), "a key came twice"
    return numbers


def assert_settled(m: AnyMap) -> dict[bytes, bytes]:
    """The entries of a map that no thread uses any more: sound, nothing is kept by readers, and all ways to read it agree.
    Those that live for a moment only are gone."""
    if m.stats()["deadlines"]:
        outlive()
        m.sweep()
    m._check()
    stats = m.stats()
    assert stats["kept"] == 0
    entries: dict[bytes, bytes] = m.snapshot()
    assert len(m) == stats["entries"] == len(entries)
    assert Counter(iter(m)) == Counter(entries.keys())
    assert dict(m.items()) == entries
    assert sum(map(len, itertools.chain.from_iterable(entries.items()))) == m.memory().content
    keys = list(entries)
    assert m.get_many(keys) == [m[one] for one in keys] == list(entries.values())
    return entries


# -- operations -------------------------------------------------------------------------------------------------------


class Worker:
    """One thread's way to use a map: random keys, values of its own, and some of the views and iterators it has had."""

    def __init__(self, m: AnyMap, keys: int, seed: int, sizes: tuple[int, ...] = SIZES) -> None:
        self.m = m
        self.keys = keys
        self.sizes = sizes
        self.choose = random.Random(seed)
        self.views: deque[tuple[int, memoryview, bytes]] = deque(maxlen=8)
        self.iterators: deque[Any] = deque(maxlen=2)

    def number(self) -> int:
        return self.choose.randrange(self.keys)

    def value(self, number: int) -> bytes:
        return value(number, self.choose.randrange(255), self.choose.choice(self.sizes))

    def run(self, names: list[str], count: int) -> None:
        """So many operations, any of these."""
        for _ in range(count):
            self.do(self.choose.choice(names))

    def do(self, name: str) -> None:
        """One operation; what it returns is checked. A map with a bound may be full."""
        number = self.number()
        try:
            found = OPERATIONS[name](self, key(number), number)
        except KeyError as error:
            assert error.args in {(key(number),), ("popitem(): the byte map is empty",)}
            return
        except MemoryError:
            assert self.m._limit
            return
        if isinstance(found, (bytes, memoryview)):
            check_value(number, found)
        else:
            assert found in (None, True, False)

    def let_go(self) -> None:
        """The views that are left still have what they had at first; none is kept."""
        while self.views:
            number, view, copy = self.views.popleft()
            assert view == copy
            check_value(number, view)
        self.iterators.clear()


def _view(w: Worker, k: bytes, n: int) -> Any:
    """Take a view, and look into one that was taken some operations ago."""
    view = w.m.get_view(k)
    if view is not None:
        w.views.append((n, view, bytes(view)))
    if w.views:
        number, former, copy = w.choose.choice(w.views)
        assert former == copy
        check_value(number, former)
    return view


def _look_on(w: Worker, k: bytes, n: int) -> None:
    """Go on with an iteration that began some operations ago."""
    if not w.iterators or w.choose.random() < 0.3:
        w.iterators.append(iter(w.m.items()))
    for entry in itertools.islice(w.choose.choice(w.iterators), 5):
        check_entries([entry])


def _add(w: Worker, k: bytes, n: int) -> bool | None:
    try:
        return bool(w.m.add(k, 1) > 0)
    except ValueError:
        return None


def _two(w: Worker) -> list[tuple[bytes, bytes]]:
    return [(key(number), w.value(number)) for number in (w.number(), w.number())]


def _many(w: Worker, k: bytes, n: int) -> None:
    numbers = [w.number() for _ in range(20)]
    for number, found in zip(numbers, w.m.get_many(map(key, numbers)), strict=True):
        if found is not None:
            check_value(number, found)


def _whole(entries: Iterable[tuple[bytes, bytes]]) -> None:
    check_entries(entries)


Operation = Callable[[Worker, bytes, int], Any]
#: Every operation, on a key and its number; what it returns is a value of this key, None, or a truth value.
OPERATIONS: dict[str, Operation] = {
    "[]": lambda w, k, n: w.m[k],
    "get": lambda w, k, n: w.m.get(k),
    "get_many": _many,
    "in": lambda w, k, n: k in w.m,
    "[]=": lambda w, k, n: w.m.__setitem__(k, w.value(n)),
    "set": lambda w, k, n: w.m.set(k, w.value(n)),
    "set with ttl": lambda w, k, n: w.m.set(k, w.value(n), ttl=LONG),
    "set for a moment": lambda w, k, n: w.m.set(k, w.value(n), ttl=SHORT),
    "set_many": lambda w, k, n: w.m.set_many(_two(w)),
    "update": lambda w, k, n: w.m.update(dict(_two(w))),
    "setdefault": lambda w, k, n: w.m.setdefault(k, w.value(n)),
    "insert": lambda w, k, n: w.m.insert(k, w.value(n)),
    "replace": lambda w, k, n: w.m.replace(k, w.value(n), ttl=w.choose.choice([None, LONG])),
    "swap": lambda w, k, n: w.m.swap(k, w.value(n)),
    "compare_and_set": lambda w, k, n: w.m.compare_and_set(k, w.m.get(k, b""), w.value(n)),
    "compare_and_delete": lambda w, k, n: w.m.compare_and_delete(k, w.m.get(k, b"")),
    "del": lambda w, k, n: w.m.__delitem__(k),
    "pop": lambda w, k, n: w.m.pop(k),
    "pop with default": lambda w, k, n: w.m.pop(k, None),
    "delete_many": lambda w, k, n: w.m.delete_many([k, key(w.number())]) in range(3),
    "popitem": lambda w, k, n: _whole([w.m.popitem()]),
    "add": _add,
    "expire": lambda w, k, n: w.m.expire(k, LONG),
    "expire now": lambda w, k, n: w.m.expire(k, SHORT),
    "persist": lambda w, k, n: w.m.persist(k),
    "ttl": lambda w, k, n: w.m.ttl(k) is None,
    "get_view": _view,
    "iter": lambda w, k, n: len({number_of(one) for one in w.m}) >= 0,
    "items": lambda w, k, n: _whole(w.m.items()),
    "values": lambda w, k, n: len(list(w.m.values())) >= 0,
    "go on iterating": _look_on,
    "partitions": lambda w, k, n: _whole(itertools.chain.from_iterable(w.m.partitions(3))),
    "snapshot": lambda w, k, n: _whole(w.m.snapshot().items()),
    "copy": lambda w, k, n: _whole(w.m.copy().items()),
    "pickle": lambda w, k, n: _whole(pickle.loads(pickle.dumps(w.m)).items()),
    "==": lambda w, k, n: w.m == {k: b"nobody's"},
    "len": lambda w, k, n: len(w.m) >= 0,
    "stats": lambda w, k, n: w.m.stats()["entries"] >= 0,
    "memory": lambda w, k, n: w.m.memory().reserved >= 0,
    "retain": lambda w, k, n: w.m.retain(lambda one, found: len(found) % 7) >= 0,
    "sweep": lambda w, k, n: w.m.sweep() >= 0,
    "reserve": lambda w, k, n: w.m.reserve(w.choose.randrange(300)),
    "shrink": lambda w, k, n: w.m.shrink(),
    "clear": lambda w, k, n: w.m.clear(),
    "_check": lambda w, k, n: w.m._check(),
}
