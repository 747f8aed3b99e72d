"""Several threads on one map: million operations a second of all threads together, and how far that scales.

``python -m perf.threads [--quick] [--rows TEXT]... [--repeat N] [--threads 1,2]``

How each measurement is made is in ``perf/team.py``; the figures are medians over the rounds. "private dicts" is the
control: the same loop, each thread on a dict of its own, with keys and values of its own. It shows how far this
machine, just now, lets busy threads scale at all, so what a map's scaling is to be held against.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from perf import keys, machine, peers, plot, report
from perf.team import COLUMNS, Found, Settings, candidates, measure, numbers
from perf.thread_rows import PRIVATE, table

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 if it ran."""
    parser = report.parser(__doc__)
    parser.add_argument("--threads", type=numbers, default=[1, 2], metavar="N,...", help="numbers of threads (1,2)")
    parser.add_argument("--seed", type=int, default=1, help="of the order within each round")
    options = parser.parse_args(arguments)
    settings = Settings(options.threads, options.repeat or (2 if options.quick else 9), options.seed)
    sizes = (20_000, 40_000, 64_000) if options.quick else (200_000, 400_000, 1_024_000)
    about = machine.describe()
    report.show(machine.header(about))
    report.show(
        f"seeds: keys {keys.SEED}, order {settings.seed}; garbage collector off while measuring; medians of "
        f"{settings.rounds} rounds; wall time, the loop's own cost included\n"
    )
    present = candidates()
    results: dict[str, Found] = {}
    for row in table(*sizes):
        if options.rows and not any(text in row.name for text in options.rows):
            continue
        print(row.name, file=sys.stderr, flush=True)
        results[row.name] = measure(row, present, settings)
    if not results:
        parser.error("no row has that in its name")
    shown = [_throughput(results, present, settings.threads)]
    if len(settings.threads) > 1:
        shown.append(_scaling(results, max(settings.threads), min(settings.threads)))
    for one in shown:
        report.show(one.text())
    result = {
        "kind": "threads",
        "machine": about,
        "load_average_after": list(os.getloadavg()),
        "settings": {**vars(settings), "key_seed": keys.SEED, "gc": "off"},
        "rows": [{"name": name, **found.as_json()} for name, found in results.items()],
    }
    report.write(report.paths(options, "threads"), shown, result, _plot(results, about, max(settings.threads)))
    return 0


def _throughput(
    results: Mapping[str, Found], present: Mapping[str, peers.Peer], threads: Sequence[int]
) -> report.Table:
    listed = " / ".join(str(n) for n in threads)
    made = report.Table(
        f"Million operations a second, all threads together, with {listed} threads",
        ["work", *COLUMNS, "ShardMap ÷ best peer"],
    )
    for name, found in results.items():
        advantages = [found.advantage(n) for n in threads]
        made.add(
            name,
            *(_cell(found, present[peer], threads) for peer in COLUMNS),
            " / ".join("" if one is None else f"{one:.2f}" for one in advantages),
        )
    made.notes.append(
        "Best peer: the fastest of dict, dict + Lock, cereggii, cereggii through a handle of each thread, ft_utils. "
        "n/a: no such operation; hangs, fails: did not end in this run, or in an error (perf/probe.py)."
    )
    made.notes += [f"{name}: {peer.absence}" for name, peer in present.items() if peer.make is None]
    return made


def _cell(found: Found, peer: peers.Peer, threads: Sequence[int]) -> str:
    if peer.make is None:
        return peer.absence.partition(":")[0]
    rates = [found.rate(peer.name, n) for n in threads]
    return " / ".join(f"{rate:.1f}" for rate in rates if rate) or found.absent.get(peer.name, "n/a")


def _scaling(results: Mapping[str, Found], threads: int, base: int) -> report.Table:
    made = report.Table(
        f"Scaling: throughput with {threads} threads over that with {base}",
        ["work", *COLUMNS, "ShardMap's scaling over control's"],
    )
    for name, found in results.items():
        scalings = [*(found.scaling(peer, threads, base) for peer in COLUMNS)]
        cells = ["" if one is None else f"{one:.2f}" for one in [*scalings, found.scaling_over_control(threads, base)]]
        made.add(name, *cells)
    made.notes.append(
        f"Control: {PRIVATE}, the same loop on a dict of each thread's own, with nothing shared. What it falls short "
        f"of {threads / base:g} is the machine's (or the GIL's), now."
    )
    return made


def _plot(results: Mapping[str, Found], about: dict[str, Any], threads: int) -> bytes | None:
    return plot.bars(
        f"{threads} threads on one map, {about['interpreter']}",
        "million operations a second, all threads together (higher is better)",
        list(results),
        {name: [found.rate(name, threads) for found in results.values()] for name in COLUMNS},
    )


if __name__ == "__main__":
    sys.exit(main())
