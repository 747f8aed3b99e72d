"""How long others wait for a sweep of a ByteMap: every look-up meanwhile is timed, and so is the sweep.

``python -m perf.byte_sweep [--quick] [--entries 1000000] [--repeat N]``

A thread sweeps, without the GIL, and another looks up keys in random order until the sweep has ended; then it looks up
as many without one, which is what clock, machine and interpreter have to do with it. For how long the sweep had a lock
at most, the map says itself (``stats()["longest_sweep_ns"]``). Now and then the machine stops a thread while it has a
lock, or waits: what the sweep does to others in each round is seen in the best one, and what the machine does in a loop
that only looks at the clock.
"""

from __future__ import annotations

import random
import statistics
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from perf import report
from perf.histogram import Histogram
from perf.session import Session, verdict
from shardmap import ByteMap, config

__all__ = ["main"]

#: Of the entries, all of which have a deadline: those that are due.
SHARES = (1.0, 0.1, 0.0)
#: Seconds until those that will be due are, and until the others are.
SOON, LATE = 0.001, 3600.0
#: Seconds of the loop that only looks at the clock: about as long as a sweep of what is all due has locks.
ALONE = 0.6
#: Microseconds that no lock may be held for longer.
LONGEST = 100.0
SHOWN = (50.0, 99.0, 99.9, 99.99)


@dataclass
class Round:
    """One sweep's: its seconds, and for how many of them it had a lock at most; what it removed; and look-ups."""

    seconds: float
    locked: float
    removed: int
    meanwhile: Histogram
    without: Histogram


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 if it ran."""
    parser = report.parser(__doc__)
    parser.add_argument("--entries", type=int, metavar="N", help="all of which have a deadline (default: 1000000)")
    session = Session("byte_sweep", parser, arguments)
    entries = session.options.entries or session.size(50_000, 1_000_000)
    repetitions = session.rounds(1, 5)
    session.begin(f"{entries:,} entries of 16 and 64 bytes; {repetitions} repetitions", needs=entries * 200)
    # Nobody else is to sweep.
    config.set_gc_interval(86_400.0)
    rounds: defaultdict[float, list[Round]] = defaultdict(list)
    gaps = []
    for number in range(repetitions):
        print(f"  round {number + 1} of {repetitions}", file=sys.stderr, flush=True)
        for share in session.chosen(SHARES, _called):
            rounds[share].append(_round(entries, share))
        gaps.append(_longest_gap())
    settings = {"entries": entries, "repetitions": repetitions}
    found = {_called(share): [_described(one) for one in each] for share, each in rounds.items()}
    tables = [_swept(rounds, gaps), _looked_up(rounds)]
    return session.finish(tables, {"settings": settings, "rounds": found, "longest_gaps": gaps})


def _called(share: float) -> str:
    return f"{share:.0%} due"


def _round(entries: int, share: float) -> Round:
    byte_map = ByteMap()
    keys = [b"key:%012d" % number for number in range(entries)]
    due = round(entries * share)
    for number, key in enumerate(keys):
        byte_map.set(key, b"v" * 64, ttl=SOON if number < due else LATE)
    # Those that are due would be removed by who looks them up, which is not what is to be seen.
    looked_up = keys[due:] or [b"absent %d" % number for number in range(entries)]
    random.shuffle(looked_up)
    time.sleep(10 * SOON)
    ended = threading.Event()
    removed = 0
    took = 0.0

    def sweep() -> None:
        nonlocal removed, took
        began = time.perf_counter()
        removed = byte_map.sweep()
        took = time.perf_counter() - began
        ended.set()

    thread = threading.Thread(target=sweep)
    thread.start()
    meanwhile = _look_ups(byte_map, looked_up, ended, None)
    thread.join()
    without = _look_ups(byte_map, looked_up, None, meanwhile.count)
    return Round(took, byte_map.stats()["longest_sweep_ns"] / 1e9, removed, meanwhile, without)


def _look_ups(byte_map: ByteMap, keys: Sequence[bytes], ended: threading.Event | None, count: int | None) -> Histogram:
    """Until the event, or so many."""
    times: list[int] = []
    clock, note, get, number = time.perf_counter_ns, times.append, byte_map.get, len(keys)
    at = 0
    while not ended.is_set() if ended is not None else at < (count or 0):
        began = clock()
        get(keys[at % number])
        note(clock() - began)
        at += 1
    made = Histogram()
    for one in times:
        made.record(one / 1e9)
    return made


def _longest_gap() -> float:
    """Seconds between two looks at the clock."""
    longest, clock = 0, time.perf_counter_ns
    former = clock()
    ends = former + round(ALONE * 1e9)
    while former < ends:
        now = clock()
        longest = max(longest, now - former)
        former = now
    return longest / 1e9


def _swept(rounds: dict[float, list[Round]], gaps: Sequence[float]) -> report.Table:
    made = report.Table(
        "A sweep",
        ["entries", "removed", "ms", "longest locked: µs", "in the best round", f"that ≤ {LONGEST:g} µs"],
    )
    for share, each in rounds.items():
        took = statistics.median(one.seconds for one in each) * 1e3
        locked = [one.locked * 1e6 for one in each]
        cells = [f"{took:.0f}", f"{statistics.median(locked):.0f}", f"{min(locked):.0f}"]
        made.add(_called(share), f"{each[0].removed:,}", *cells, verdict(min(locked) <= LONGEST))
    made.notes.append(
        f"A loop that only looks at the clock, {ALONE:g} s: the longest time between two looks is "
        f"{statistics.median(gaps) * 1e6:.0f} µs, in the best round {min(gaps) * 1e6:.0f}."
    )
    return made


def _looked_up(rounds: dict[float, list[Round]]) -> report.Table:
    made = report.Table(
        "Look-ups of one thread: microseconds",
        ["entries", "look-ups", *(f"{share:g}%" for share in SHOWN), "longest", "longest of the best round"],
    )
    for share, each in rounds.items():
        for name, times in (
            ("meanwhile", [one.meanwhile for one in each]),
            ("without a sweep", [one.without for one in each]),
        ):
            middle = [statistics.median(one.percentile(shown) for one in times) * 1e6 for shown in SHOWN]
            longest = [one.longest * 1e6 for one in times]
            cells = [
                *(f"{figure:.1f}" for figure in middle),
                f"{statistics.median(longest):.0f}",
                f"{min(longest):.0f}",
            ]
            made.add(_called(share), name, *cells)
    return made


def _described(one: Round) -> dict[str, Any]:
    return {**asdict(one), "meanwhile": one.meanwhile.described(), "without": one.without.described()}


if __name__ == "__main__":
    sys.exit(main())
