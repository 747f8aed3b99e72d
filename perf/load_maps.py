"""Load on maps inside the process: batches of operations for native threads, and what must hold at the end.

Each batch runs on a thread of its own beside the others, on a ShardMap and a ByteMap that all of them share, and counts
for itself: who waits for it may be gone when it has ended.
"""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import shardmap

__all__ = ["BATCH", "BATCHES", "Maps"]

#: Operations of a batch.
BATCH = 500

COUNTERS, ACCOUNTS, BALANCE, PERMANENT = 10, 50, 1_000, 2_000

BATCHES = ("count", "transfer", "own", "iterate", "expire")


class Maps:
    """Both maps, and the books of what was done to them."""

    def __init__(self) -> None:
        self.objects: shardmap.ShardMap[str, int] = shardmap.ShardMap()
        self.octets = shardmap.ByteMap()
        #: How often batches have counted each counter up; and batches that have begun, and ended.
        self.counted: list[int] = []
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.objects.update({f"account:{number}": BALANCE for number in range(ACCOUNTS)})
        self.octets.update({b"account:%d" % number: b"%d" % BALANCE for number in range(ACCOUNTS)})
        self.octets.update({b"permanent:%d" % number: b"%d" % number for number in range(PERMANENT)})

    def run(self, batch: str) -> float:
        """In any thread: do it; the seconds that it took."""
        self.begun.append(batch)
        try:
            began = time.perf_counter()
            getattr(self, f"_{batch}")()
            return time.perf_counter() - began
        finally:
            self.ended.append(batch)

    # -- batches; each checks what it can see --

    def _count(self) -> None:
        rounds = BATCH // (2 * COUNTERS)
        for _ in range(rounds):
            for number in range(COUNTERS):
                self.objects.add(f"counter:{number}")
                self.octets.add(b"counter:%d" % number)
        self.counted.append(rounds)

    def _transfer(self) -> None:
        """Compare and set, until it succeeds; a transfer is one reservation on each of two accounts."""
        rng = random.Random()
        for _ in range(BATCH // 4):
            source, target = rng.sample(range(ACCOUNTS), 2)
            amount = rng.randrange(50)
            self.objects.add(f"account:{source}", -amount)
            self.objects.add(f"account:{target}", amount)
            for number, change in ((source, -amount), (target, amount)):
                key = b"account:%d" % number
                while not self.octets.compare_and_set(key, before := self.octets[key], b"%d" % (int(before) + change)):
                    pass

    def _own(self) -> None:
        """What a thread wrote is what it reads."""
        key = b"own:%d:%d" % (threading.get_ident(), random.randrange(1 << 60))
        for number in range(BATCH // 3):
            value = b"%d" % number * (1 + number % 20)
            self.octets[key] = value
            if self.octets[key] != value or self.octets.swap(key, value[::-1]) != value:
                raise AssertionError(f"{key!r} has not what its only writer wrote")
        if self.octets.pop(key) != value[::-1] or key in self.octets:
            raise AssertionError(f"{key!r} is there after it was deleted")

    def _iterate(self) -> None:
        found = sum(key.startswith(b"permanent:") for key in self.octets)
        if found != PERMANENT:
            raise AssertionError(f"iteration has found {found} of {PERMANENT} permanent keys")

    def _expire(self) -> None:
        for number in range(BATCH // 4):
            key = b"short:%d:%d" % (threading.get_ident(), number)
            self.octets.set(key, b"v", ttl=60.0)
            left = self.octets.ttl(key)
            if left is None or not 59.0 < left <= 60.0:
                raise AssertionError(f"{key!r} has {left} of 60 seconds left")
            if not self.octets.expire(key, 30.0) or not 29.0 < (self.octets.ttl(key) or 0.0) <= 30.0:
                raise AssertionError(f"{key!r} does not have 30 seconds left")
            if not self.octets.persist(key) or self.octets.ttl(key) is not None or self.octets.pop(key) != b"v":
                raise AssertionError(f"{key!r} is not there for good")

    # -- at the end --

    def broken(self) -> Iterator[str]:
        """Once all batches have ended: what does not hold of the maps, and of what a snapshot gives back."""
        while len(self.ended) < len(self.begun):
            time.sleep(0.01)
        self.objects._check()
        self.octets._check()
        yield from self._wrong_sums("in the process", self.objects, str)
        yield from self._wrong_sums("in the process", self.octets, str.encode)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "octets"
            self.octets.dump(path)
            again = shardmap.ByteMap()
            again.load(path)
        if again != self.octets:
            yield "in the process: the ByteMap from the snapshot is not the one that was dumped"
        yield from self._wrong_sums("in the process, after the snapshot", again, str.encode)

    def _wrong_sums(self, when: str, m: Any, key: Any) -> Iterator[str]:
        name = type(m).__name__
        counters = Counter(int(m.get(key(f"counter:{number}"), 0)) for number in range(COUNTERS))
        expected = sum(self.counted)
        if counters != Counter({expected: COUNTERS}):
            yield f"{when}: {name}'s counters are {dict(counters)}, and should all be {expected}"
        total = sum(int(m[key(f"account:{number}")]) for number in range(ACCOUNTS))
        if total != ACCOUNTS * BALANCE:
            yield f"{when}: {name}'s accounts sum up to {total}, and should to {ACCOUNTS * BALANCE}"
