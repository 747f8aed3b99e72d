"""The longest pause: every single ``m[k] = v`` is timed while a map grows from nothing to millions of entries.

``python -m perf.pause [--quick] [--entries 5000000] [--repeat N]``

A dict that outgrows its table copies it whole within one assignment; a ShardMap moves two buckets of one shard. Each
repetition is a process of its own, so that it begins with fresh memory, and the maps take turns. Keys are made before;
the value is the key, so that nothing is allocated but by the map. The clock's own cost (two readings) is inside every
figure. "nothing" is the control: the same loop without the assignment; its longest "pause" is the machine's, which took
the processor away, and no map can be better than that. Wall time, because a pause is what a waiting user sees;
``--clock cpu`` leaves out what other processes took.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from array import array
from collections.abc import Sequence
from typing import Any

from perf import distribution, machine, peers, plot, process, report
from perf import keys as make_keys
from perf.loops import compile_loop

__all__ = ["main"]

CONTROL = "nothing"
MEASURED = (peers.DICT, peers.SHARDMAP, CONTROL)

_TIMED = "t = clock(); {}; spent[i] = clock() - t; i += 1"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 if it ran."""
    parser = report.parser(__doc__)
    parser.add_argument("--entries", type=int, metavar="N", help="grow to so many entries (default: 5000000)")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--child", nargs=2, metavar=("PEER", "GC"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    entries = options.entries or (100_000 if options.quick else 5_000_000)
    if options.child:
        peer, collecting = options.child
        return process.answer(_grow(peer, entries, collecting == "on", options.clock))
    repetitions = options.repeat or (1 if options.quick else 5)
    about = machine.describe()
    report.show(machine.header(about))
    report.show(f"{repetitions} repetitions, each map in a process of its own, growing to {entries:,} entries\n")
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for number in range(repetitions):
        for collecting in ("on", "off"):
            for peer in MEASURED:
                print(f"repetition {number + 1}: {peer}, gc {collecting}", file=sys.stderr, flush=True)
                one = _run(peer, entries, collecting, options.clock)
                if one:
                    found.setdefault((peer, collecting), []).append(one)
    shown = _shown(found, entries)
    report.show(shown.text())
    result = {
        "kind": "pause",
        "machine": about,
        "settings": {"entries": entries, "repetitions": repetitions, "clock": options.clock},
        "runs": [{"peer": peer, "gc": collecting, **run} for (peer, collecting), runs in found.items() for run in runs],
    }
    report.write(report.paths(options, "pause"), [shown], result, _plot(found, about, entries))
    return 0


def _grow(name: str, entries: int, collecting: bool, clock: str) -> dict[str, Any]:
    """In the child: time every assignment; the distribution in nanoseconds."""
    keys = make_keys.scattered(entries)
    spent = array("q", bytes(8 * entries))
    m: Any = {}
    if name != CONTROL:
        make = peers.find([name])[name].make
        if make is None:
            return {}
        m = make()
    statement = "pass" if name == CONTROL else "m[k] = k"
    run = compile_loop("for k in keys", _TIMED.format(statement), ["keys", "spent", "i"])
    gc.collect()
    if not collecting:
        gc.disable()
    run(m, None, time.thread_time_ns if clock == "cpu" else time.perf_counter_ns, keys=keys, spent=spent, i=0)
    return distribution.summary(spent)


def _run(peer: str, entries: int, collecting: str, clock: str) -> dict[str, Any]:
    found: dict[str, Any] = process.ask("pause", "--entries", entries, "--clock", clock, "--child", peer, collecting)
    return found


def _shown(found: dict[tuple[str, str], list[dict[str, Any]]], entries: int) -> report.Table:
    made = report.Table(
        f"One m[k] = v, growing from nothing to {entries:,} entries: microseconds",
        ["map", "gc", *distribution.percentages(), "longest", "longest: least - most", "seconds in all"],
    )
    for (peer, collecting), runs in found.items():
        made.add(peer, collecting, *distribution.spread(runs), f"{distribution.median(runs, 'total') / 1e9:.2f}")
    for collecting in ("on", "off"):
        both = [found.get((peer, collecting)) for peer in (peers.DICT, peers.SHARDMAP)]
        if all(both):
            theirs, mine = (distribution.median(runs or (), "max") for runs in both)
            made.notes.append(f"gc {collecting}: dict's longest is {theirs / mine:.0f} × ShardMap's.")
    for (peer, collecting), runs in found.items():
        if collecting == "on":
            top = ", ".join(f"{distribution.micro(spent)} at {index:,}" for index, spent in runs[0]["longest"])
            made.notes.append(f"The twenty longest of {peer}, first repetition (microseconds, entries then): {top}")
    made.notes.append(
        "Medians over the repetitions. 'nothing': the same loop without the assignment, the machine's own pauses."
    )
    return made


def _plot(found: dict[tuple[str, str], list[dict[str, Any]]], about: dict[str, Any], entries: int) -> bytes | None:
    return plot.lines(
        f"How long one m[k] = v takes, growing to {entries:,} entries, {about['interpreter']}",
        "share of the assignments that take at most so long",
        "microseconds (each line ten times the one below)",
        {peer: distribution.curve(found[peer, "on"]) for peer in MEASURED if (peer, "on") in found},
        distribution.SHARE_LABELS,
        logarithmic=True,
        dots=False,
    )


if __name__ == "__main__":
    sys.exit(main())
