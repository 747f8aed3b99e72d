"""Throughput against the number of threads, and against the share of reads: tables and plots.

``python -m perf.scaling [--quick] [--threads 1,2,4,8,16] [--shares 0,50,90,99,100] [--repeat N]``

Without ``--threads``: 1, 2, 4 ... and the number of this machine's cores. Each thread does a mix of reads and
overwrites on one map of 200,000 random keys, in units of a hundred operations, so that the loop costs the same whatever
the share of reads. Two more loops show the ends of the scale: keys that no two threads share, and a map that all of
them fill. How each measurement is made is in ``perf/team.py``.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from perf import keys, machine, plot, report
from perf.team import COLUMNS, Found, Settings, candidates, measure, numbers
from perf.thread_rows import PRIVATE, ThreadRow, inserts, private_keys, shares

__all__ = ["main"]

#: Percent of the operations that are reads.
SHARES = [0, 50, 90, 99, 100]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 if it ran."""
    parser = report.parser(__doc__)
    parser.add_argument(
        "--threads", type=numbers, metavar="N,...", help="numbers of threads (default: 1,2,4 ... cores)"
    )
    parser.add_argument("--shares", type=numbers, default=SHARES, metavar="PERCENT,...", help="shares of reads")
    parser.add_argument("--seed", type=int, default=1, help="of the order within each round")
    options = parser.parse_args(arguments)
    about = machine.describe()
    threads = sorted(options.threads or _up_to(about["cores"]))
    settings = Settings(threads, options.repeat or (2 if options.quick else 5), options.seed)
    report.show(machine.header(about))
    report.show(
        f"seeds: keys {keys.SEED}, order {settings.seed}; garbage collector off while measuring; medians of "
        f"{settings.rounds} rounds; wall time, the loop's own cost included\n"
    )
    present = candidates()
    mixes = shares(20_000 if options.quick else 200_000, sorted(options.shares))
    rows: list[ThreadRow] = [*mixes.values(), *_others(options.quick)]
    results: dict[str, Found] = {}
    for row in rows:
        if options.rows and not any(text in row.name for text in options.rows):
            continue
        print(row.name, file=sys.stderr, flush=True)
        results[row.name] = measure(row, present, settings)
    if not results:
        parser.error("no row has that in its name")
    shown = [_table(name, found, settings.threads) for name, found in results.items()]
    shown[-1].notes += [f"{name}: {peer.absence}" for name, peer in present.items() if peer.make is None]
    for one in shown:
        report.show(one.text())
    result = {
        "kind": "scaling",
        "machine": about,
        "load_average_after": list(os.getloadavg()),
        "settings": {**vars(settings), "key_seed": keys.SEED, "gc": "off"},
        "rows": [{"name": name, **found.as_json()} for name, found in results.items()],
    }
    by_share = {percent: results[row.name] for percent, row in mixes.items() if row.name in results}
    plots = {_file_name(name): _plot_threads(name, found, settings.threads, about) for name, found in results.items()}
    if len(by_share) > 1:
        plots["shares"] = _plot_shares(by_share, max(settings.threads), about)
    report.write(report.paths(options, "scaling"), shown, result, plots)
    return 0


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
