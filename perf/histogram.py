"""Times in buckets that are one per cent wide: percentiles of any number of operations in little memory."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

__all__ = ["SHOWN", "Histogram"]

#: Percentiles that a report shows.
SHOWN = (50.0, 90.0, 99.0, 99.9, 99.99)

_WIDTH = math.log(1.01)


class Histogram:
    """Times in seconds, from a nanosecond up; exact but for one per cent, the longest as it was."""

    def __init__(self) -> None:
        self.buckets: Counter[int] = Counter()
        self.count = 0
        self.total = 0.0
        self.longest = 0.0

    def record(self, seconds: float, times: int = 1) -> None:
        """So long, so often."""
        self.buckets[math.ceil(math.log(max(seconds, 1e-9) * 1e9) / _WIDTH)] += times
        self.count += times
        self.total += seconds * times
        self.longest = max(self.longest, seconds)

    def add_bucket(self, bucket: int, times: int) -> None:
        """What another program counted: times of up to ``1.01**bucket`` nanoseconds. It gives ``longest`` itself."""
        self.buckets[bucket] += times
        self.count += times
        self.total += math.exp((bucket - 0.5) * _WIDTH) / 1e9 * times

    def merge(self, other: Histogram) -> None:
        """All of another's, too."""
        self.buckets.update(other.buckets)
        self.count += other.count
        self.total += other.total
        self.longest = max(self.longest, other.longest)

    def percentile(self, share: float) -> float:
        """Seconds that so many per cent took at most; 0 of nothing."""
        left = math.ceil(self.count * share / 100)
        for bucket in sorted(self.buckets):
            left -= self.buckets[bucket]
            if left <= 0:
                return min(math.exp(bucket * _WIDTH) / 1e9, self.longest)
        return self.longest

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0

    def curve(self) -> list[tuple[float, float]]:
        """For a plot of shares in nines: 1 is 90%, 2 is 99% and so on, and the microseconds there."""
        points = int(10 * math.log10(self.count)) + 1 if self.count else 0
        return [(tenth / 10, self.percentile(100 * (1 - 10 ** (-tenth / 10))) * 1e6) for tenth in range(points)]

    def described(self) -> dict[str, Any]:
        """For a JSON file, in microseconds."""
        return {
            "count": self.count,
            "mean": self.mean * 1e6,
            "percentiles": {f"{share:g}": self.percentile(share) * 1e6 for share in SHOWN},
            "longest": self.longest * 1e6,
            "buckets": {
                f"{math.exp(bucket * _WIDTH) / 1e3:.3f}": self.buckets[bucket] for bucket in sorted(self.buckets)
            },
        }
