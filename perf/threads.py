"""Several threads on one map: million operations a second of all threads together, and how far that scales.

``python -m perf.threads [--quick] [--rows TEXT]... [--repeat N] [--threads 1,2]``

How each measurement is made is in ``perf/team.py``; the figures are medians over the rounds. "private dicts" is the
control: the same loop, each thread on a dict of its own, with keys and values of its own. It shows how far this
machine, just now, lets busy threads scale at all, so what a map's scaling is to be held against.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from perf import peers, plot, report
from perf.team import COLUMNS, Found, candidates
from perf.team_session import TeamSession, parser
from perf.thread_rows import PRIVATE, table

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 if it ran."""
    session = TeamSession("threads", parser(__doc__), arguments)
    session.start((2, 9))
    threads = session.settings.threads
    present = candidates()
    sizes = (20_000, 40_000, 64_000) if session.quick else (200_000, 400_000, 1_024_000)
    results = session.measure(table(*sizes), present)
    shown = [_throughput(results, present, threads)]
    if len(threads) > 1:
        shown.append(_scaling(results, max(threads), min(threads)))
    return session.publish(shown, results, _plot(results, session.about, max(threads)))


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
