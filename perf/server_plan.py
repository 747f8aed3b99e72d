"""What all parts of ``perf.server_bench`` measure with: the servers, how many of what, on which processors."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from perf import report
from perf.service import OURS, Service

__all__ = ["CLIENTS", "OPERATIONS", "PIPELINES", "Bench", "Part", "names"]

_Turn = TypeVar("_Turn")

OPERATIONS = ("get", "set")
PIPELINES = (1, 16, 64)
CLIENTS = 50

#: What a part gives back: its table, its figures for the JSON file, its plot.
Part = tuple[report.Table, list[dict[str, Any]], bytes | None]


@dataclass(frozen=True)
class Bench:
    """One run's."""

    #: Servers, as ``service.running`` takes them; shardmap first.
    kinds: Sequence[str]
    keys: int
    #: Requests of one measurement of processor time, by pipeline.
    requests: Mapping[int, int]
    #: Keys to grow to, and requests of a measurement of latencies.
    grown: int
    timed: int
    rounds: int
    order: random.Random
    server_cpus: frozenset[int]
    client_cpus: frozenset[int]

    def turns(self, items: Sequence[_Turn]) -> Iterator[_Turn]:
        """All of them, in a new random order each round."""
        for number in range(self.rounds):
            shuffled = list(items)
            self.order.shuffle(shuffled)
            print(f"  round {number + 1} of {self.rounds}", file=sys.stderr, flush=True)
            yield from shuffled


def names(running: Mapping[str, Service]) -> dict[str, str]:
    """What tables call them: shardmap, and others with their versions."""
    return {kind: OURS if kind == OURS else one.name for kind, one in running.items()}
