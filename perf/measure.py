"""One-thread measurement: peers interleaved round by round, medians, the loop's own cost subtracted.

A round runs each peer's loop once and the empty loop once, in a new random order. What is reported for a peer is the
median over the rounds of (its time - the empty loop's time of the same round) / operations. The collector is off
meanwhile: none of the loops makes what it would have to collect, and its runs would hit peers at random.
"""

from __future__ import annotations

import gc
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from perf import peers
from perf.loops import compile_loop
from perf.probe import LostError, in_child

__all__ = ["Figure", "Measured", "Row", "Settings", "measure"]

Clock = Callable[[], int]

#: Enough to trust a median, whatever --seconds asks for.
MAX_ROUNDS = 101


@dataclass(frozen=True)
class Row:
    """One line of the table: what is measured, on which entries, for whom."""

    group: str
    name: str
    #: ``for k in keys``; empty for a statement that does all its operations itself, from which nothing is subtracted.
    loop: str
    #: The operation by peer, see ``peers.spelled``.
    statements: Mapping[str, str]
    #: How many operations one run of the loop is.
    operations: int
    #: The loop's names and their values, made anew before each measurement.
    arguments: Callable[[], Mapping[str, Any]]
    #: What the map holds before.
    entries: Sequence[tuple[Any, Any]] = ()
    #: Whether the loop uses the map up, so that each measurement needs a new one.
    consumes: bool = False
    #: Other things to measure in place of the peers' maps.
    makes: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    #: Peers that have been seen to go on for ever: each run is tried first where that does no harm.
    may_hang: Sequence[str] = ()
    #: Whether the cost of the loop is not part of the operation.
    subtract: bool = True
    #: Ratios are to this peer's time.
    baseline: str = peers.DICT
    #: ShardMap's time is to be at most so many times that of these peers.
    targets: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """How long and by which clock."""

    rounds: int = 11
    #: Rounds go on for so long, if that is more of them.
    seconds: float = 1.0
    seed: int = 1
    clock: str = "cpu"

    def now(self) -> Clock:
        """The clock: time of this thread on a processor, or of the wall."""
        return time.thread_time_ns if self.clock == "cpu" else time.perf_counter_ns


@dataclass(frozen=True)
class Figure:
    """Nanoseconds an operation of one peer: every round's, the loop's cost subtracted."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    @property
    def quartiles(self) -> tuple[float, float]:
        low, _, high = statistics.quantiles(self.rounds, n=4, method="inclusive")
        return low, high


@dataclass(frozen=True)
class Measured:
    """A row with its figures; a peer that could not be measured has the reason in ``absent``."""

    row: Row
    loop_ns: float
    figures: Mapping[str, Figure]
    absent: Mapping[str, str]

    def ratio(self, name: str, baseline: str = "") -> float | None:
        """The peer's time over the baseline's, None if either was not measured."""
        base = self.figures.get(baseline or self.row.baseline)
        figure = self.figures.get(name)
        return figure.median / base.median if base and figure and base.median > 0 else None


def measure(row: Row, candidates: Mapping[str, peers.Peer], settings: Settings) -> Measured:
    """Measure one row for all the peers that have the operation."""
    makes, absent = _present(row, candidates)
    clock = settings.now()
    lock = threading.Lock()
    names = list(row.arguments())
    loops = {name: compile_loop(row.loop, row.statements[name], names) for name in makes}
    empty = compile_loop(row.loop, "pass", names) if row.loop and row.subtract else None
    maps: dict[str, Any] = {}

    def once(name: str) -> int:
        arguments = row.arguments()
        if name == _EMPTY:
            assert empty is not None
            begin, end = empty(None, lock, clock, **arguments)
            return end - begin
        m = maps.pop(name, None)
        if m is None:
            m = peers.fill(makes[name](), row.entries)
        if name in row.may_hang:
            _try_first(partial(loops[name], m, lock, clock, **arguments), arguments.values())
        begin, end = loops[name](m, lock, clock, **arguments)
        if not row.consumes:
            maps[name] = m
        return end - begin

    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        times, lost = _rounds([*makes, _EMPTY] if empty else list(makes), once, settings)
    finally:
        if collecting:
            gc.enable()
    loop_times = times.pop(_EMPTY, [0] * len(next(iter(times.values()), ())))
    figures = {
        name: Figure(tuple((spent - loop) / row.operations for spent, loop in zip(measured, loop_times, strict=True)))
        for name, measured in times.items()
    }
    absent |= lost
    return Measured(row, statistics.median(loop_times or [0]) / row.operations, figures, absent)


_EMPTY = "the empty loop"


def _try_first(call: Callable[[], object], arguments: Iterable[Any]) -> None:
    """Run it in a fork, each time: with other key objects it may hang where it did not before."""

    def and_answer() -> int:
        call()
        return 0

    in_child(and_answer)
    # The fork has made this process's memory copy-on-write; writing to the objects now keeps that out of the figure.
    for argument in arguments:
        if isinstance(argument, list):
            list(argument)


def _present(row: Row, candidates: Mapping[str, peers.Peer]) -> tuple[dict[str, Callable[[], Any]], dict[str, str]]:
    makes: dict[str, Callable[[], Any]] = {}
    absent: dict[str, str] = {}
    for name, peer in candidates.items():
        if name not in row.statements:
            absent[name] = "no such operation"
        elif name in row.makes:
            makes[name] = row.makes[name]
        elif peer.make is None:
            absent[name] = peer.absence
        else:
            makes[name] = peer.make
    return makes, absent


def _rounds(
    names: Iterable[str], once: Callable[[str], int], settings: Settings
) -> tuple[dict[str, list[int]], dict[str, str]]:
    """The times of each, and what became of those that did not come back."""
    order = list(names)
    random_order = random.Random(settings.seed)
    times: dict[str, list[int]] = {name: [] for name in order}
    lost: dict[str, str] = {}
    # The first round warms up (the interpreter specialises, keys get their hashes) and does not count.
    started = time.perf_counter()
    for number in range(-1, MAX_ROUNDS):
        if number >= settings.rounds and time.perf_counter() - started >= settings.seconds:
            break
        random_order.shuffle(order)
        for name in list(order):
            try:
                spent = once(name)
            except LostError as error:
                order.remove(name)
                del times[name]
                lost[name] = str(error)
                continue
            if number >= 0:
                times[name].append(spent)
    return times, lost
