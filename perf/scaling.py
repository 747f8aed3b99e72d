"""Throughput against the number of threads, and against the share of reads: tables and plots.

``python -m perf.scaling [--quick] [--threads 1,2,4,8,16] [--shares 0,50,90,99,100] [--repeat N]``

Without ``--threads``: 1, 2, 4 ... and the number of this machine's cores. Each thread does a mix of reads and
overwrites on one map of 200,000 random keys, in units of a hundred operations, so that the loop costs the same whatever
the share of reads. Two more loops show the ends of the scale: keys that no two threads share, and a map that all of
them fill. How each measurement is made is in ``perf/team.py``.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from perf import machine, plot, report
from perf.team import COLUMNS, Found, candidates, numbers
from perf.team_session import TeamSession, parser
from perf.thread_rows import PRIVATE, ThreadRow, inserts, private_keys, shares

__all__ = ["main"]

#: Percent of the operations that are reads.
SHARES = [0, 50, 90, 99, 100]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 if it ran."""
    options = parser(__doc__, threads=None)
    options.add_argument("--shares", type=numbers, default=SHARES, metavar="PERCENT,...", help="shares of reads")
    session = TeamSession("scaling", options, arguments)
    session.start((2, 5), threads=_up_to(machine.cores()))
    threads, about = session.settings.threads, session.about
    present = candidates()
    mixes = shares(session.size(20_000, 200_000), sorted(session.options.shares))
    results = session.measure([*mixes.values(), *_others(session.quick)], present)
    shown = [_table(name, found, threads) for name, found in results.items()]
    shown[-1].notes += [f"{name}: {peer.absence}" for name, peer in present.items() if peer.make is None]
    by_share = {percent: results[row.name] for percent, row in mixes.items() if row.name in results}
    plots = {_file_name(name): _plot_threads(name, found, threads, about) for name, found in results.items()}
    if len(by_share) > 1:
        plots["shares"] = _plot_shares(by_share, max(threads), about)
    return session.publish(shown, results, plots)


def _up_to(cores: int) -> list[int]:
    """1, 2, 4 ... and the number itself."""
    return sorted({2**power for power in range(cores.bit_length())} | {cores})


def _others(quick: bool) -> Iterable[ThreadRow]:
    yield private_keys(40_000 if quick else 400_000)
    # Many, so that even the part of one thread of sixteen takes longer than it takes threads to wake up.
    yield inserts(64_000 if quick else 1_600_000)


def _table(name: str, found: Found, threads: Sequence[int]) -> report.Table:
    made = report.Table(
        f"{name}: million operations a second, all threads together (× that with {min(threads)})",
        ["threads", *COLUMNS, "ShardMap ÷ best peer", "scaling ÷ control's"],
    )
    for n in threads:
        advantage = found.advantage(n)
        over_control = found.scaling_over_control(n, min(threads)) if n != min(threads) else None
        made.add(
            str(n),
            *(_cell(found, peer, n, min(threads)) for peer in COLUMNS),
            *("" if one is None else f"{one:.2f}" for one in (advantage, over_control)),
        )
    return made


def _cell(found: Found, peer: str, threads: int, base: int) -> str:
    rate, scaling = found.rate(peer, threads), found.scaling(peer, threads, base)
    if rate is None:
        return found.absent.get(peer, "n/a")
    return f"{rate:.1f}" + (f" (×{scaling:.2f})" if scaling and threads != base else "")


def _file_name(name: str) -> str:
    """``100% reads`` as a part of a file's name: ``100-reads``."""
    return "-".join("".join(c if c.isalnum() else " " for c in name).split())


def _plot_threads(name: str, found: Found, threads: Sequence[int], about: Mapping[str, Any]) -> bytes | None:
    return _plot(
        f"{name}: throughput by number of threads, {about['interpreter']}",
        "threads",
        {peer: [(math.log2(n), found.rate(peer, n)) for n in threads] for peer in COLUMNS},
        [(math.log2(n), str(n)) for n in threads],
    )


def _plot_shares(by_share: Mapping[int, Found], threads: int, about: Mapping[str, Any]) -> bytes | None:
    # As far from each other as they are on the list: what is interesting happens between 90% and 100%.
    return _plot(
        f"Throughput of {threads} threads by share of reads, {about['interpreter']}",
        "share of reads, the others are overwrites",
        {peer: [(at, found.rate(peer, threads)) for at, found in enumerate(by_share.values())] for peer in COLUMNS},
        [(at, f"{percent}%") for at, percent in enumerate(by_share)],
    )


def _plot(
    title: str,
    x_title: str,
    points: Mapping[str, Sequence[tuple[float, float | None]]],
    x_labels: Sequence[tuple[float, str]],
) -> bytes | None:
    present = {name: [(x, y) for x, y in line if y is not None] for name, line in points.items()}
    return plot.lines(
        title,
        x_title,
        "million operations a second, all threads",
        {name: line for name, line in present.items() if line},
        x_labels,
        dashed=[PRIVATE],
        from_zero=True,
    )


if __name__ == "__main__":
    sys.exit(main())
