"""Progress while a job runs: one line that is written over on a terminal, calm lines elsewhere, nothing if unwanted."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

from shardmap.demo.tally import Tally

__all__ = ["Progress"]

#: Seconds between two looks at the work: smooth to the eye on a terminal, few lines in a log.
TERMINAL_INTERVAL = 0.1
LOG_INTERVAL = 2.0
#: Characters of the bar: with it, a line about a few thousand files fits 80 columns.
BAR = 10

_CLEAR_LINE = "\r\x1b[K"


class Progress:
    """The progress of one job of *total* files, written to *stream* (or nowhere if that is ``None``).

    Used in a ``with`` statement, which measures the time: :attr:`seconds` is what the job took, and
    :attr:`cpu_seconds` what its threads spent on processors, which the machine's other work does not lengthen.
    """

    def __init__(
        self, label: str, total: int, stream: TextIO | None, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.label = label
        self.total = total
        self.seconds = self.cpu_seconds = 0.0
        self._stream = stream
        self._clock = clock
        self._terminal = stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"
        #: Seconds after which the next line is due.
        self.interval = TERMINAL_INTERVAL if self._terminal else LOG_INTERVAL

    def __enter__(self) -> Self:
        self._start, self._cpu_start = self._clock(), time.process_time()
        self._due = self._start + self.interval
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds, self.cpu_seconds = self._clock() - self._start, time.process_time() - self._cpu_start
        if self._stream is None:
            return
        if self._terminal:
            self._stream.write(_CLEAR_LINE)
        outcome = "done in" if error is None else "stopped after"
        self._stream.write(f"{self.label}: {outcome} {self.seconds:.2f} s\n")
        self._stream.flush()

    def is_due(self) -> bool:
        """Whether it is time for :meth:`show`."""
        return self._clock() >= self._due

    def show(self, done: Tally) -> None:
        """Write how much is *done*, if it is time to."""
        now = self._clock()
        if self._stream is None or now < self._due:
            return
        self._due = now + self.interval
        line = self._line(done, now - self._start)
        if self._terminal:
            # A line that wraps could not be written over.
            line = _CLEAR_LINE + line[: shutil.get_terminal_size().columns - 1]
        else:
            line += "\n"
        self._stream.write(line)
        self._stream.flush()

    def _line(self, done: Tally, seconds: float) -> str:
        share = done.files / self.total if self.total else 1.0
        bar = "#" * int(BAR * share)
        return (
            f"{self.label}: [{bar:.<{BAR}}] {done.files:,}/{self.total:,} files, {done.bytes / 1e6:,.1f} MB,"
            f" {done.bytes / 1e6 / seconds:,.1f} MB/s"
        )
