"""State: what a command, INFO, /metrics or the page may look at, and the few things that they may do."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from shardmap._core import CoreServer
from shardmap.bytemap import ByteMap
from shardmap.service.configuration import Configuration
from shardmap.service.latency import LatencyMonitor
from shardmap.service.sampler import Sample, Sampler
from shardmap.service.settings import Settings
from shardmap.service.snapshots import Snapshots

__all__ = ["CommandStatistics", "Shard", "State", "bucket_end", "groups", "resident_memory"]


class CommandStatistics(NamedTuple):
    """One command's, as the core counts it."""

    name: str
    calls: int
    microseconds: int
    rejected: int
    failed: int
    #: Calls by their time: below 250 ns, below 500 ns, and so on; the last has the rest.
    histogram: tuple[int, ...]

    def percentile(self, share: float) -> float:
        """Microseconds below which so large a share of the calls stayed: the upper end of the histogram's place."""
        total = sum(self.histogram)
        passed = 0
        for place, number in enumerate(self.histogram):
            passed += number
            if number and passed >= share * total:
                return bucket_end(place)
        return 0.0


def bucket_end(place: int) -> float:
    """Where a place of the histogram ends, in microseconds."""
    return 0.25 * float(1 << place)


class Shard(NamedTuple):
    """One shard's numbers; the counts are since the server's start."""

    entries: int
    reserved: int
    hits: int
    misses: int
    expired: int
    evicted: int
    #: Times that a thread found its lock taken.
    contended: int


NOTHING = Shard(0, 0, 0, 0, 0, 0, 0)


@dataclass
class State:
    """Of one running server."""

    core: CoreServer
    byte_map: ByteMap
    configuration: Configuration
    snapshots: Snapshots
    latency: LatencyMonitor
    sampler: Sampler
    #: Called with whether to save; returns at once.
    shut_down: Callable[[bool], None]
    #: Where it listens.
    addresses: Sequence[str] = ()
    port: int | None = None
    threads: int = 1
    loading: bool = False
    started: float = field(default_factory=time.time)
    started_steady: float = field(default_factory=time.monotonic)
    run_id: str = field(default_factory=lambda: os.urandom(20).hex())
    #: The counts of what cannot be set back, when CONFIG RESETSTAT came last.
    baseline: Shard = NOTHING

    @property
    def settings(self) -> Settings:
        """Those in force."""
        return self.configuration.current

    @property
    def uptime(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started_steady

    def shards(self) -> list[Shard]:
        """Every shard's numbers."""
        return [Shard(*numbers[:7]) for numbers in self.core.shard_statistics()]

    def totals(self, shards: Sequence[Shard] | None = None) -> Shard:
        """The sums over the shards, counts since the last RESETSTAT."""
        sums = self._sums(self.shards() if shards is None else shards)
        base = self.baseline
        return sums._replace(
            hits=sums.hits - base.hits,
            misses=sums.misses - base.misses,
            expired=sums.expired - base.expired,
            evicted=sums.evicted - base.evicted,
            contended=sums.contended - base.contended,
        )

    def commands(self) -> list[CommandStatistics]:
        """Every command that has been called, by name."""
        return sorted(CommandStatistics(*each) for each in self.core.command_statistics())

    def reset_statistics(self) -> None:
        """CONFIG RESETSTAT."""
        self.baseline = self._sums(self.shards())
        self.core.reset_statistics()

    def sample(self) -> None:
        """Take note of the counters; once a second."""
        statistics = self.core.statistics()
        totals = self.totals()
        self.sampler.add(
            Sample(
                time.monotonic(),
                statistics["commands"],
                statistics["net_input_bytes"],
                statistics["net_output_bytes"],
                totals.hits,
                totals.misses,
                totals.reserved,
                statistics["clients"],
                tuple(map(sum, zip(*(each.histogram for each in self.commands()), strict=True))),
            )
        )

    @staticmethod
    def _sums(shards: Sequence[Shard]) -> Shard:
        return Shard(*map(sum, zip(*shards, strict=True))) if shards else NOTHING


def groups(shards: Sequence[Shard], most: int) -> Iterable[tuple[str, Sequence[Shard]]]:
    """Shards by their numbers, or, if there are too many, as many in one group as it takes: ``0-63``."""
    size = max(1, len(shards) // most)
    for first in range(0, len(shards), size):
        group = shards[first : first + size]
        yield (str(first) if size == 1 else f"{first}-{first + len(group) - 1}"), group


def resident_memory() -> int:
    """Bytes of physical memory of this process, 0 where the system does not say."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
