"""The client that keeps to a rate (``perf/paced.c``): compiled when it is needed, since no package has one."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from perf import affinity
from perf.histogram import Histogram

__all__ = ["Paced", "Timed", "compiled"]


@dataclass(frozen=True)
class Timed:
    """What one run took: all requests together, each of them, the number of the one that took longest; and of each
    10,000 replies the longest time, in seconds, in which none came.
    """

    seconds: float
    times: Histogram
    longest_at: int
    silences: Sequence[float]

    @property
    def rate(self) -> float:
        return self.times.count / self.seconds


class Paced:
    """The program."""

    def __init__(self, path: Path, cpus: frozenset[int]) -> None:
        self._path = path
        self._cpus = cpus

    def run(
        self, port: int, connections: int, *, requests: int, operation: str, keys: int, rate: float = 0,
        ordered: bool = False,
    ) -> Timed:  # fmt: skip
        """So many requests, so many a second if that is not 0, on random keys or on one after the other."""
        order = "ordered" if ordered else "random"
        words = [port, connections, requests, f"{rate:.0f}", operation, keys, order]
        with affinity.on(self._cpus):
            done = subprocess.run([self._path, *map(str, words)], stdout=subprocess.PIPE, text=True, check=True)
        seconds, longest, silences, *buckets = done.stdout.splitlines()
        times = Histogram()
        for line in buckets:
            bucket, count = map(int, line.split())
            times.add_bucket(bucket, count)
        _, spent, at = longest.split()
        times.longest = int(spent) / 1e9
        return Timed(float(seconds.split()[1]), times, int(at), [int(one) / 1e9 for one in silences.split()[1:]])


@contextmanager
def compiled(cpus: frozenset[int]) -> Iterator[Paced]:
    """The program, on these processors; gone afterwards."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise SystemExit("no C compiler is here, and perf/paced.c needs one")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "paced"
        source = Path(__file__).with_suffix(".c")
        subprocess.run([compiler, "-O2", "-o", made, source, "-lm"], check=True)
        yield Paced(made, cpus)
