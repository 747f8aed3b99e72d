"""What the service did in each of the last seconds: rates for INFO, and the history that the page begins with."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from typing import Any, NamedTuple

__all__ = ["Sample", "Sampler"]

#: Two minutes, at a sample a second.
KEPT = 120


class Sample(NamedTuple):
    """Counters at one time."""

    time: float
    commands: int
    input_bytes: int
    output_bytes: int
    hits: int
    misses: int
    memory: int
    clients: int
    #: Of all commands, as the core counts them.
    histogram: tuple[int, ...] = ()


class Sampler:
    """The last samples, and peaks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._samples: deque[Sample] = deque(maxlen=KEPT + 1)
        self.peak_memory = 0

    def add(self, sample: Sample) -> None:
        """Take the next one."""
        with self._lock:
            self._samples.append(sample)
            self.peak_memory = max(self.peak_memory, sample.memory)

    def rate(self, name: str) -> float:
        """How fast a counter has grown of late, a second."""
        with self._lock:
            if len(self._samples) < 2:
                return 0.0
            before, last = self._samples[-2], self._samples[-1]
        grown: int = getattr(last, name) - getattr(before, name)
        return max(0.0, grown / max(1e-6, last.time - before.time))

    def history(self) -> list[dict[str, Any]]:
        """For each second: operations, hits, misses, bytes in and out, a second; memory, clients, and a histogram of
        the commands' times. Oldest first.
        """
        with self._lock:
            samples = list(self._samples)
        offset = time.time() - time.monotonic()
        made = []
        for before, after in itertools.pairwise(samples):
            seconds = max(1e-6, after.time - before.time)
            rates = {
                name: max(0.0, (getattr(after, name) - getattr(before, name)) / seconds)
                for name in ("commands", "hits", "misses", "input_bytes", "output_bytes")
            }
            counts = [max(0, new - old) for new, old in zip(after.histogram, before.histogram, strict=False)]
            now = {"time": after.time + offset, "memory": after.memory, "clients": after.clients}
            made.append({**now, **rates, "histogram": counts})
        return made
