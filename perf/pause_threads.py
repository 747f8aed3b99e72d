"""The longest pause of two threads that fill one map: every operation is timed, from nothing to 5 million entries.

``python -m perf.pause_threads [--quick] [--entries 5000000] [--repeat N] [--plans writes,reads,third]``

Each thread inserts its own part of the keys. While one of them makes a map outgrow its table, the other's operations
may have to wait, so the longest pause of any of them counts. The plans:

writes: the threads do nothing but insert.
reads:  each thread reads after each of its writes, another thread's key; writes and reads are told apart.
third:  one more thread does nothing but read. It wants a processor of its own: where there are fewer processors than
        threads, each of them stands still for milliseconds while the others run, whatever the map.

Each map grows in a process of its own, in random order within a repetition. Two controls show the machine's part, that
no map can be better than. "nothing": the same loops in as many threads without the operation, so what the clock costs
that is inside every figure. "private dicts": the same operations, each thread on a dict of its own that has all its
keys already, so nothing grows, nothing is shared, and it lasts about as long as the maps; its longest pause is that of
a thread whose processor was taken away (or, on GIL builds, that waited for the GIL, for up to the switch interval).
"Preempted" counts how often the system took the processor from one of the threads: where that differs much between
maps, their longest pauses do not compare.
"""

from __future__ import annotations

import argparse
import gc
import random
import resource
import statistics
import sys
import threading
import time
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, cycle
from typing import Any

from perf import distribution, machine, peers, plot, process, report
from perf import keys as make_keys
from perf.loops import compile_loop
from perf.thread_rows import PRIVATE

__all__ = ["main"]

CONTROL = "nothing"
MEASURED = (peers.DICT, peers.SHARDMAP, PRIVATE, CONTROL)

WRITES, READS, THIRD = "writes", "reads", "third"
PLANS = (WRITES, READS, THIRD)

#: So many times ShardMap's longest pause of any read or write is dict's longest insert to be, at least.
TARGET = 50

_WRITE = "t = clock(); {write}; spent[i] = clock() - t; i += 1"
_WRITE_AND_READ = "t = clock(); {write}; u = clock(); {read}; w = clock(); spent[i] = u - t; reads[i] = w - u; i += 1"
_READ = "t = clock(); {read}; reads.append(clock() - t)"

#: An odd number whose multiples, modulo anything not too small, are in no order.
_SCATTER = 0x9E3779B1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 if it ran."""
    options = _parser().parse_args(arguments)
    options.entries = options.entries or (200_000 if options.quick else 5_000_000)
    if options.child:
        return process.answer(_Child(options).run(*options.child))
    about = machine.describe()
    plans = options.plans or [plan for plan in PLANS if plan != THIRD or about["cores"] > options.threads]
    repetitions = options.repeat or (1 if options.quick else 5)
    report.show(machine.header(about))
    report.show(
        f"{repetitions} repetitions, each map in a process of its own, {options.threads} threads filling it to "
        f"{options.entries:,} entries; garbage collector {options.gc}; {options.clock} time; switch interval "
        f"{sys.getswitchinterval() * 1e3 if options.switch_interval is None else options.switch_interval:g} ms"
        f"{' (of no effect: no GIL)' if machine.free_threaded() else ''}\n"
    )
    found = _repeat(options, plans, repetitions)
    shown = [_shown(plan, found, options) for plan in plans]
    for one in shown:
        report.show(one.text())
    settings = {
        name: getattr(options, name) for name in ("entries", "threads", "gc", "clock", "switch_interval", "seed")
    }
    result = {
        "kind": "pause_threads",
        "machine": about,
        "load_average_after": machine.describe()["load_average"],
        "settings": {**settings, "repetitions": repetitions},
        "runs": [{"plan": plan, "peer": peer, **run} for (plan, peer), runs in found.items() for run in runs],
    }
    plots = {plan: _plot(plan, found, options, about) for plan in plans}
    report.write(report.paths(options, "pause_threads"), shown, result, plots)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = report.parser(__doc__)
    parser.add_argument("--entries", type=int, metavar="N", help="grow to so many entries (default: 5000000)")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="that insert (default: 2)")
    parser.add_argument("--plans", type=_plans, metavar="PLAN,...", help="writes, reads, third (see the module)")
    parser.add_argument("--gc", choices=("on", "off"), default="on", help="garbage collector (default: on)")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu leaves out all waiting")
    parser.add_argument("--switch-interval", type=float, metavar="MS", help="of the GIL (default: the interpreter's)")
    parser.add_argument("--seed", type=int, default=1, help="of the order within each repetition")
    parser.add_argument("--child", nargs=2, metavar=("PLAN", "PEER"), help=argparse.SUPPRESS)
    return parser


def _plans(text: str) -> list[str]:
    plans = text.split(",")
    if unknown := set(plans) - set(PLANS):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: plans are {', '.join(PLANS)}")
    return plans


#: What each process measured, by plan and map.
Found = dict[tuple[str, str], list[dict[str, Any]]]


def _repeat(options: argparse.Namespace, plans: Sequence[str], repetitions: int) -> Found:
    found: Found = {(plan, peer): [] for plan in plans for peer in MEASURED}
    turns = list(found)
    order = random.Random(options.seed)
    for number in range(repetitions):
        order.shuffle(turns)
        for plan, peer in turns:
            print(f"repetition {number + 1}: {plan}, {peer}", file=sys.stderr, flush=True)
            if one := _in_process(options, plan, peer):
                found[plan, peer].append(one)
    return {turn: runs for turn, runs in found.items() if runs}


def _in_process(options: argparse.Namespace, plan: str, peer: str) -> dict[str, Any]:
    passed_on: list[object] = []
    for name in ("entries", "threads", "gc", "clock", "switch_interval"):
        if getattr(options, name) is not None:
            passed_on += [f"--{name.replace('_', '-')}", getattr(options, name)]
    found: dict[str, Any] = process.ask("pause_threads", "--child", plan, peer, *passed_on)
    return found


class _Child:
    """In a process of its own: fill one map with threads and time every operation."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.collecting = options.gc == "on"
        self.clock = time.thread_time_ns if options.clock == "cpu" else time.perf_counter_ns
        self.threads: int = options.threads
        self.each = options.entries // self.threads
        self.keys: list[list[str]] = [[] for _ in range(self.threads)]
        self.writes = [array("q", bytes(8 * self.each)) for _ in range(self.threads)]
        self.reads: list[array[int]] = []
        self.preempted: list[int] = []
        self.ended: list[int] = []
        if options.switch_interval is not None:
            sys.setswitchinterval(options.switch_interval / 1e3)

    def run(self, plan: str, peer: str) -> dict[str, Any]:
        """The distributions in nanoseconds; nothing if there is no such map."""
        make = dict if peer in (PRIVATE, CONTROL) else peers.find([peer])[peer].make
        if make is None:
            return {}
        shared: Any = None if peer == PRIVATE else make()
        write, read = ("pass", "pass") if peer == CONTROL else ("m[k] = k", "m.get(o)")
        if plan == READS:
            self.reads = [array("q", bytes(8 * self.each)) for _ in range(self.threads)]
        barrier = threading.Barrier(self.threads + (plan == THIRD))
        workers = [
            threading.Thread(target=self._insert, args=(shared, barrier, index, plan, write, read))
            for index in range(self.threads)
        ]
        if plan == THIRD:
            self.reads = [array("q")]
            workers.append(threading.Thread(target=self._read, args=(shared, barrier, read)))
        gc.collect()
        if not self.collecting:
            gc.disable()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        filled = peer in (PRIVATE, CONTROL) or len(shared) == self.each * self.threads
        if len(self.preempted) != len(workers) or not filled:
            raise RuntimeError(f"{plan}, {peer}: a thread failed")
        found: dict[str, Any] = {"writes": self._summary(self.writes), "preempted": sum(self.preempted)}
        return found | ({"reads": self._summary(self.reads)} if self.reads else {})

    @staticmethod
    def _summary(spent: Sequence[array[int]]) -> dict[str, Any]:
        return distribution.summary(array("q", chain.from_iterable(spent)))

    def _insert(self, shared: Any, barrier: threading.Barrier, index: int, plan: str, write: str, read: str) -> None:
        """A thread that inserts, and with the plan ``reads`` reads as well."""
        self.keys[index] = keys = make_keys.scattered(self.each, index * self.each)
        m = {key: key for key in keys} if shared is None else shared
        arguments: dict[str, Any] = {"keys": keys, "spent": self.writes[index], "i": 0}
        with _together(barrier):
            # All have made their keys; now they look at each other's.
            if plan == READS:
                # In a dict of its own, a thread finds its own keys.
                arguments |= {"others": self._earlier(index + (shared is not None)), "reads": self.reads[index]}
                loop, body = "for k, o in zip(keys, others)", _WRITE_AND_READ
            else:
                loop, body = "for k in keys", _WRITE
            run = compile_loop(loop, body.format(write=write, read=read), arguments)
        before = _preempted()
        try:
            run(m, None, self.clock, **arguments)
        finally:
            self.ended.append(index)
        self.preempted.append(_preempted() - before)

    def _read(self, shared: Any, barrier: threading.Barrier, read: str) -> None:
        """The third thread: reads until nobody writes any more."""
        with _together(barrier):
            others = self._earlier(0)
            m = {key: key for key in others} if shared is None else shared
            arguments = {"keys": self._while_writing(others), "reads": self.reads[0]}
            run = compile_loop("for o in keys", _READ.format(read=read), arguments)
        before = _preempted()
        run(m, None, self.clock, **arguments)
        self.preempted.append(_preempted() - before)

    def _earlier(self, index: int) -> list[str]:
        """A thread's keys in an order in which each has most likely been inserted when its turn comes."""
        keys = self.keys[index % self.threads]
        return [keys[place * _SCATTER % (place + 1)] for place in range(self.each)]

    def _while_writing(self, keys: Sequence[str]) -> Iterator[str]:
        for key in cycle(keys):
            if len(self.ended) == self.threads:
                return
            yield key


@contextmanager
def _together(barrier: threading.Barrier) -> Iterator[None]:
    """All threads begin together what is inside, and end it together; one that fails leaves none of them waiting."""
    barrier.wait()
    try:
        yield
    except BaseException:
        barrier.abort()
        raise
    barrier.wait()


def _preempted() -> int:
    """How often the system has taken the processor from this thread although it wanted to go on."""
    switches: int = resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw
    return switches


def _shown(plan: str, found: Found, options: argparse.Namespace) -> report.Table:
    titles = {
        WRITES: f"{options.threads} threads insert",
        READS: f"{options.threads} threads insert, and read after each insert",
        THIRD: f"{options.threads} threads insert, one more reads",
    }
    made = report.Table(
        f"{titles[plan]}, growing from nothing to {options.entries:,} entries: microseconds an operation",
        ["map", "operation", *distribution.percentages(), "longest", "longest: least - most", "preempted"],
    )
    for peer in MEASURED:
        runs = found.get((plan, peer), [])
        for what in (WRITES, READS):
            one = [run[what] for run in runs if what in run]
            if one:
                preempted = statistics.median(run["preempted"] for run in runs)
                made.add(peer, what, *distribution.spread(one), f"{preempted:,.0f}")
    if note := _verdict(plan, found):
        made.notes.append(note)
    made.notes.append(
        f"Medians over the repetitions. {PRIVATE}: each thread overwrites what a dict of its own has already. nothing: "
        "the same loops without the operation. Preempted: how often the system took the processor from a thread."
    )
    return made


def _verdict(plan: str, found: Found) -> str:
    """By the least of the repetitions' longest: what a map does while it grows it does in each of them, what the
    machine does comes on top in some.
    """
    mine, theirs, control = (found.get((plan, peer)) for peer in (peers.SHARDMAP, peers.DICT, PRIVATE))
    if not mine or not theirs or not control:
        return ""
    longest = min(_longest(run) for run in mine)
    insert = min(run["writes"]["max"] for run in theirs)
    machines = min(_longest(run) for run in control)
    met = "yes" if longest * TARGET <= insert else "NO"
    if met == "NO" and machines * TARGET > insert:
        met = f"cannot be told here, where even {PRIVATE} that do not grow pause for too long"
    return (
        f"In the best repetition of each dict's longest insert is {insert / longest:.1f} × ShardMap's longest pause of "
        f"any operation, {distribution.micro(insert)} and {distribution.micro(longest)} µs (target {TARGET}: {met}). "
        f"The control's longest, the machine's own, is {distribution.micro(machines)} µs."
    )


def _longest(run: Mapping[str, Any]) -> int:
    longest: list[int] = [run[what]["max"] for what in (WRITES, READS) if what in run]
    return max(longest)


def _plot(plan: str, found: Found, options: argparse.Namespace, about: Mapping[str, Any]) -> bytes | None:
    series = {}
    for peer in MEASURED:
        for what in (WRITES, READS):
            runs = [run[what] for run in found.get((plan, peer), []) if what in run]
            # One line is enough for each control.
            if runs and peer not in (PRIVATE, CONTROL):
                series[f"{peer}, {what}"] = distribution.curve(runs)
            elif runs and what == WRITES:
                series[peer] = distribution.curve(runs)
    return plot.lines(
        f"{options.threads} threads fill one map to {options.entries:,} entries, {about['interpreter']}",
        "share of the operations that take at most so long",
        "microseconds (each line ten times the one below)",
        series,
        distribution.SHARE_LABELS,
        logarithmic=True,
        dots=False,
        dashed=[name for name in series if name.endswith(", reads")],
    )


if __name__ == "__main__":
    sys.exit(main())
