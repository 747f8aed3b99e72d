"""Churn: millions of overwrites, deletions and insertions of entries of mixed sizes, with as many bytes live all along.

What a heap makes of it is its fragmentation: every operation leaves a hole of one size and wants one of another.
"""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Callable, Iterator, Mapping
from typing import Any

__all__ = ["SIZES", "Churn"]

#: Bytes of a value.
LEAST, MOST = 16, 4096

_KEY = 16
#: Sizes drawn before, to be used again and again.
_DRAWN = 1 << 16


def _uniform(chosen: random.Random) -> int:
    return chosen.randint(LEAST, MOST)


def _log_uniform(chosen: random.Random) -> int:
    """As many from 16 to 32 as from 2048 to 4096."""
    return round(math.exp(chosen.uniform(math.log(LEAST), math.log(MOST))))


#: How values' sizes are drawn.
SIZES: Mapping[str, Callable[[random.Random], int]] = {"uniform": _uniform, "log-uniform": _log_uniform}


class Churn:
    """Entries of a map, and what becomes of them. Everything but the map is made before."""

    def __init__(self, sizes: str, live: int, seed: int) -> None:
        self.chosen = random.Random(seed)
        self.drawn = array("H", (SIZES[sizes](self.chosen) for _ in range(_DRAWN)))
        self.goal = live
        mean = _KEY + sum(self.drawn) / _DRAWN
        #: Keys of entries, and behind them those of none; a tenth more than there are at any time.
        self.keys = [b"key:%012d" % number for number in range(int(live / mean * 1.1) + 1_000)]
        self.sizes = array("H", bytes(2 * len(self.keys)))
        self.values = [bytes(size) for size in range(MOST + 1)]
        self.entries = 0
        #: Bytes of all keys and values of the map.
        self.live = 0

    def fill(self, m: Any) -> None:
        """Insert until there is enough."""
        for size in self._sizes():
            if self.live >= self.goal:
                return
            self._insert(m, size)

    def run(self, m: Any, operations: int) -> None:
        """Every other operation overwrites an entry; one between inserts or deletes, as the bytes live make it."""
        pick = self.chosen.random
        for number, size in zip(range(operations), self._sizes(), strict=False):
            if number & 1 and self.live < self.goal and self.entries < len(self.keys):
                self._insert(m, size)
                continue
            at = int(pick() * self.entries)
            self.live -= self.sizes[at]
            if number & 1:
                self._delete(m, at)
            else:
                m[self.keys[at]] = self.values[size]
                self.sizes[at] = size
                self.live += size

    def _sizes(self) -> Iterator[int]:
        while True:
            # From another place each time: no two rounds pair the same sizes with the same operations.
            first = self.chosen.randrange(_DRAWN)
            yield from self.drawn[first:]
            yield from self.drawn[:first]

    def _insert(self, m: Any, size: int) -> None:
        at = self.entries
        m[self.keys[at]] = self.values[size]
        self.sizes[at] = size
        self.entries += 1
        self.live += _KEY + size

    def _delete(self, m: Any, at: int) -> None:
        """The last entry takes its place."""
        keys, last = self.keys, self.entries - 1
        del m[keys[at]]
        keys[at], keys[last] = keys[last], keys[at]
        self.sizes[at] = self.sizes[last]
        self.entries = last
        self.live -= _KEY
