"""Measures one loop in several threads at once, on each map in turn: what the benchmarks of threads share.

Every measurement starts new threads. Each worker makes its own keys, meets the others at a barrier, takes its own start
time after it, runs one generated loop with the map in a local variable, and takes its own end time; the time of a
measurement goes from the first start to the last end, on the wall. Within a round every map and every number of threads
has its turn, in random order. The cost of the loop is *not* subtracted.
"""

from __future__ import annotations

import gc
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from perf import keys as make_keys
from perf import peers
from perf.loops import Loop, compile_loop
from perf.probe import LostError, in_child
from perf.thread_rows import HANDLE, PRIVATE, ThreadRow

__all__ = ["COLUMNS", "RIVALS", "Found", "Settings", "candidates", "measure", "numbers"]

COLUMNS = (peers.DICT, peers.LOCKED, peers.SHARDMAP, peers.CEREGGII, HANDLE, peers.FT_UTILS, PRIVATE)

#: The peers that ShardMap is compared with; a bare dict has no atomic operation but the single ones measured here.
RIVALS = (peers.DICT, peers.LOCKED, peers.CEREGGII, HANDLE, peers.FT_UTILS)

#: Seconds: longer than any measurement that ends, even on a busy machine.
_HANGS_AFTER = 30.0

#: Million operations a second by number of threads, one list a round.
Rates = dict[int, list[float]]


@dataclass(frozen=True)
class Settings:
    """With how many threads, how often, in which order."""

    threads: Sequence[int]
    rounds: int
    seed: int = 1


@dataclass
class Found:
    """What was measured of one row; for a map that has no figures, the reason may be in ``absent``."""

    rates: dict[str, Rates]
    #: The map that the benchmark is about, and the control that its scaling is held against.
    subject: str = peers.SHARDMAP
    control: str = PRIVATE
    absent: dict[str, str] = field(default_factory=dict)

    def rate(self, name: str, threads: int) -> float | None:
        """Million operations a second of all threads together, the median over the rounds."""
        rates = self.rates.get(name)
        return statistics.median(rates[threads]) if rates else None

    def scaling(self, name: str, threads: int, base: int) -> float | None:
        """The throughput with so many threads over that with ``base`` threads."""
        many, few = self.rate(name, threads), self.rate(name, base)
        return many / few if many and few else None

    def scaling_over_control(self, threads: int, base: int) -> float | None:
        """The subject's scaling over that of maps which nothing is shared between."""
        mine, control = (self.scaling(name, threads, base) for name in (self.subject, self.control))
        return mine / control if mine and control else None

    def advantage(self, threads: int) -> float | None:
        """ShardMap's throughput over the fastest peer's."""
        mine = self.rate(peers.SHARDMAP, threads)
        best = max((self.rate(name, threads) or 0.0 for name in RIVALS), default=0.0)
        return mine / best if mine and best else None

    def as_json(self) -> dict[str, Any]:
        """Every round, the medians, the scaling from the least number of threads."""
        return {
            "absent": self.absent,
            "peers": {
                name: {
                    str(n): {
                        "mops": self.rate(name, n),
                        "scaling": self.scaling(name, n, min(rates)),
                        "rounds": rates[n],
                    }
                    for n in rates
                }
                for name, rates in self.rates.items()
            },
            "scaling_over_control": {
                str(n): self.scaling_over_control(n, min(rates))
                for rates in [self.rates.get(self.subject, {})]
                for n in rates
            },
        }


def numbers(text: str) -> list[int]:
    """``1,2,4``, of an option."""
    return [int(number) for number in text.split(",")]


def candidates() -> dict[str, peers.Peer]:
    """All that is measured, by name: the peers, cereggii's handles and the control."""
    found = peers.find()
    found[HANDLE] = peers.Peer(HANDLE, found[peers.CEREGGII].make, found[peers.CEREGGII].absence)
    found[PRIVATE] = peers.Peer(PRIVATE, dict)
    return {name: found[name] for name in COLUMNS}


def measure(
    row: ThreadRow, present: Mapping[str, peers.Peer], settings: Settings, maps: dict[str, Any] | None = None
) -> Found:
    """Measure one row for all that have the operation; ``maps`` keeps filled maps for other rows with these entries."""
    names = list(row.arguments(0, 1))
    makes = _makes(row, present)
    found = Found({name: {n: [] for n in settings.threads} for name in makes}, row.subject, row.private)
    turns = [(name, n) for name in makes for n in settings.threads]
    order = random.Random(settings.seed)
    kept = {} if maps is None else maps
    with _no_collector():
        for _ in range(settings.rounds):
            order.shuffle(turns)
            for name, n in turns:
                if name not in found.rates:
                    continue
                shared = _shared(row, name, makes[name], kept)
                once = partial(_run, row, name, names, shared, n)
                try:
                    spent = in_child(once, _HANGS_AFTER) if row.may_hang else once()
                except LostError as error:
                    # A peer's fault is a word in the table; a fault of what is measured ends the benchmark.
                    if name == row.subject:
                        raise
                    found.absent[name] = str(error)
                    del found.rates[name]
                else:
                    found.rates[name][n].append(row.per_thread(n) * n / spent * 1e3)
    return found


def _makes(row: ThreadRow, present: Mapping[str, peers.Peer]) -> dict[str, Callable[[], Any]]:
    return {
        name: peer.make
        for name, peer in present.items()
        # A handle is a thread's own, so it cannot be a global that threads share.
        if peer.make is not None and name in row.statements and not (row.global_map and name == HANDLE)
    }


@contextmanager
def _no_collector() -> Iterator[None]:
    """None of the loops makes what a collector would have to find, and its runs would hit maps at random."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _shared(row: ThreadRow, name: str, make: Callable[[], Any], kept: dict[str, Any]) -> Any:
    """The map that the threads share, with the row's entries; None where each has its own."""
    if name == row.private:
        return None
    if row.consumes:
        return peers.fill(make(), row.entries)
    if name not in kept:
        kept[name] = peers.fill(make(), row.entries)
    return kept[name]


def _run(row: ThreadRow, name: str, names: Sequence[str], shared: Any, threads: int) -> int:
    """One measurement: nanoseconds from the first worker's start to the last one's end."""
    barrier = threading.Barrier(threads)
    lock = threading.Lock()
    spans: list[tuple[int, int]] = []
    # A dict that is a thread's own and a global is that of a namespace of the thread's own.
    own_namespace = row.global_map and name == row.private
    loop = None if own_namespace else _compile(row, name, names, shared)

    def work(index: int) -> None:
        try:
            m, arguments = _seen_by_worker(row, name, shared, index, threads)
            mine = loop or _compile(row, name, names, m)
            barrier.wait()
        except BaseException:
            barrier.abort()
            raise
        spans.append(mine(m, lock, time.perf_counter_ns, **arguments))

    workers = [threading.Thread(target=work, args=(index,)) for index in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if len(spans) != threads:
        raise RuntimeError(f"{row.name}, {name}: a worker failed")
    return max(end for _, end in spans) - min(begin for begin, _ in spans)


def _compile(row: ThreadRow, name: str, names: Sequence[str], m: Any) -> Loop:
    statement = row.statements[name]
    if row.global_map:
        return compile_loop(row.loop, statement.replace("m[", "MAP["), names, {"MAP": m})
    return compile_loop(row.loop, statement, names)


def _seen_by_worker(row: ThreadRow, name: str, shared: Any, index: int, threads: int) -> tuple[Any, Mapping[str, Any]]:
    """In the worker: its map and its loop's arguments."""
    if name == row.private:
        if row.control:
            return row.control(index, threads)
        return dict(_copies(row)), row.arguments(index, threads)
    return shared.get_handle() if name == HANDLE else shared, row.arguments(index, threads)


def _copies(row: ThreadRow) -> Iterator[tuple[str, int]]:
    """Entries of a thread's own: even a reference count that two threads share would be something shared."""
    for key, value in row.entries:
        yield make_keys.copies([key])[0], value + 1
