"""What the demonstration prints in the end: small tables of plain text. Functions here return lines, and print none."""

from __future__ import annotations

import heapq
import keyword
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from shardmap.demo.index import Index
from shardmap.demo.sources import Problem
from shardmap.demo.tally import Tally

__all__ = ["Run", "problems", "speed", "statistics", "suffixes", "top", "totals"]

#: Problems that are named; the others are only counted.
NAMED_PROBLEMS = 10


class Run(NamedTuple):
    """One measured run of the job."""

    label: str
    seconds: float
    cpu_seconds: float


def totals(index: Index) -> list[str]:
    """How much was indexed."""
    read = Tally.total(index.by_suffix.values())
    rows = [
        ("files", f"{read.files:,}", f"{read.bytes / 1e6:,.1f} MB, {read.lines:,} lines"),
        ("duplicates", f"{read.files - len(index.paths_of):,}", "same content as another file, indexed once"),
        ("identifiers", f"{sum(index.counts.values()):,}", f"{len(index.counts):,} different ones"),
    ]
    return ["Totals", *table(rows, right={1})]


def suffixes(index: Index) -> list[str]:
    """What was read, by suffix, most bytes first."""
    tallies = sorted(index.by_suffix.items(), key=lambda item: (-item[1].bytes, item[0]))
    rows = [(suffix, *(f"{number:,}" for number in tally)) for suffix, tally in tallies]
    return ["By suffix", *table([("", *Tally._fields), *rows])]


def top(index: Index, number: int) -> list[str]:
    """The *number* most frequent identifiers; Python's keywords are left out, words of comments and strings are not."""
    names = (item for item in index.counts.items() if not keyword.iskeyword(item[0]))
    best = heapq.nsmallest(number, names, key=lambda item: (-item[1], item[0]))
    rows = [(name, f"{count:,}", f"{len(index.contents_of[name]):,}") for name, count in best]
    return [
        f"Top {len(rows)} identifiers, words of comments and strings among them",
        *table([("", "occurrences", "files"), *rows]),
    ]


def problems(found: Mapping[str, Problem]) -> list[str]:
    """The paths that could not be used: how many of each kind, and the first of them by name."""
    if not found:
        return ["Problems: none"]
    kinds = Counter(problem.kind for problem in found.values())
    summary = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
    named = heapq.nsmallest(NAMED_PROBLEMS, found.items())
    lines = [f"  {printable(path)}: {problem.kind}: {printable(problem.reason)}" for path, problem in named]
    if len(found) > len(named):
        lines.append(f"  ... and {len(found) - len(named):,} more")
    return [f"Problems: {summary}", *lines]


def speed(index: Index, runs: Iterable[Run]) -> list[str]:
    """What each run took, by the clock and of all processors, and how much it did in a second."""
    read = Tally.total(index.by_suffix.values())
    words = sum(index.counts.values())
    rows = [
        (
            run.label,
            f"{run.seconds:.2f}",
            f"{run.cpu_seconds:.2f}",
            f"{read.files / run.seconds:,.0f}",
            f"{read.bytes / 1e6 / run.seconds:,.1f}",
            f"{words / run.seconds:,.0f}",
        )
        for run in runs
    ]
    return ["Speed", *table([("", "seconds", "CPU seconds", "files/s", "MB/s", "identifiers/s"), *rows])]


def statistics(index: Index) -> list[str]:
    """``stats()`` of every map, a column each."""
    columns = {name: shard_map.stats() for name, shard_map in index.maps().items()}
    names = next(iter(columns.values()))
    rows = [(name, *(_number(dict(column)[name]) for column in columns.values())) for name in names]
    return ["stats() of the maps", *table([("", *columns), *rows])]


def table(rows: Sequence[Sequence[str]], right: set[int] | None = None) -> list[str]:
    """*rows* with aligned columns: those in *right* to the right, by default all but the first."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if right is None:
        right = set(range(1, len(widths)))
    lines = []
    for row in rows:
        cells = (
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  " + "  ".join(cells).rstrip())
    return lines


def printable(text: str) -> str:
    """*text* as it is, or quoted if it could move the cursor or break the line, as the name of a file may."""
    return text if text.isprintable() else ascii(text)


def _number(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else f"{value:,}"
