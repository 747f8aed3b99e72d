"""How long single operations took: what is kept of millions of times, and how it is shown."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["PERCENTILES", "SHARE_LABELS", "curve", "median", "micro", "percentages", "spread", "summary"]

PERCENTILES = (50.0, 99.0, 99.9, 99.99, 99.999)

#: Where the curve's plot is labelled: nines, see ``_nines``.
SHARE_LABELS = [(0.0, "0%"), (1.0, "90%"), (2.0, "99%"), (3.0, "99.9%"), (4.0, "99.99%"), (5.0, "99.999%")]


def summary(spent: Sequence[int], longest: int = 20) -> dict[str, Any]:
    """Of the nanoseconds of each operation, in the order they ran: percentiles, curve, the longest and where."""
    operations = len(spent)
    top = sorted(range(operations), key=spent.__getitem__, reverse=True)[:longest]
    in_order = sorted(spent)
    return {
        "percentiles": {str(percentile): _percentile(in_order, percentile) for percentile in PERCENTILES},
        "curve": [[nines, in_order[_place(operations, nines)]] for nines in _nines(operations)],
        "max": in_order[-1],
        "total": sum(in_order),
        "longest": [[index, spent[index]] for index in top],
    }


def _percentile(in_order: Sequence[int], percentile: float) -> int:
    return in_order[min(len(in_order) - 1, math.ceil(len(in_order) * percentile / 100) - 1)]


def _nines(operations: int) -> list[float]:
    """Tenths of a nine: 1.0 is 90%, 2.0 is 99%, up to the longest one alone."""
    return [tenth / 10 for tenth in range(int(10 * math.log10(operations)) + 1)]


def _place(operations: int, nines: float) -> int:
    return min(operations - 1, max(0, math.ceil(operations * (1 - 10**-nines)) - 1))


def percentages() -> list[str]:
    """The headings of the percentiles' columns."""
    return [f"{percentile:g}%" for percentile in PERCENTILES]


def median(runs: Sequence[Mapping[str, Any]], what: str) -> float:
    """Of one figure of several summaries: ``max``, ``total``, or a percentile as ``99.9``."""
    figures: list[int] = [run[what] if what in run else run["percentiles"][what] for run in runs]
    return statistics.median(figures)


def spread(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Cells for a table: the percentiles, the longest, and from where to where that went."""
    longest = [run["max"] for run in runs]
    return [
        *(micro(median(runs, str(percentile))) for percentile in PERCENTILES),
        micro(median(runs, "max")),
        f"{micro(min(longest))} - {micro(max(longest))}",
    ]


def curve(runs: Sequence[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """Nines and microseconds for a plot, medians over the runs as far as the shortest of them goes."""
    points = zip(*(run["curve"] for run in runs), strict=False)
    return [(point[0][0], max(0.01, statistics.median(spent for _, spent in point) / 1000)) for point in points]


def micro(nanoseconds: float) -> str:
    """Microseconds, with decimals where they say something."""
    return f"{nanoseconds / 1000:,.{2 if nanoseconds < 10_000 else 0}f}"
