"""One run of a benchmark, around what it measures: options, a head that says where and how, rows, files at the end."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from perf import machine, report

__all__ = ["Session", "verdict"]

_Row = TypeVar("_Row")


class Session:
    """From the command line to the files that the run leaves.

    1. Make it, with the parser's options filled in from the command line.
    2. ``begin`` before the first measurement: the load that is reported is the load then.
    3. ``finish`` once, with everything that was found.
    """

    def __init__(self, kind: str, parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> None:
        self.kind = kind
        self.parser = parser
        self.options = parser.parse_args(arguments)
        self.about: dict[str, Any] = {}

    @property
    def quick(self) -> bool:
        chosen: bool = self.options.quick
        return chosen

    def rounds(self, quick: int, full: int) -> int:
        """``--repeat``, or one of these."""
        return self.options.repeat or self.size(quick, full)

    def size(self, quick: int, full: int) -> int:
        """How many of something: the first with ``--quick``."""
        return quick if self.options.quick else full

    def begin(self, settings: str, needs: int = 0) -> None:
        """Say where this runs and with which settings, and so if it needs more bytes than the machine has left."""
        self.about = machine.describe()
        report.show(machine.header(self.about))
        report.show(f"{settings}\n")
        free = machine.free_memory()
        if free is not None and free < needs:
            print(
                f"this takes about {needs / 1e9:.1f} GB, and {free / 1e9:.1f} are free: consider --entries",
                file=sys.stderr,
            )

    def chosen(self, rows: Iterable[_Row], name: Callable[[_Row], str]) -> Iterator[_Row]:
        """The rows that ``--rows`` picks, each named before its turn; the program ends if there are none."""
        none = True
        for row in rows:
            called = name(row)
            if self.options.rows and not any(text in called for text in self.options.rows):
                continue
            none = False
            print(called, file=sys.stderr, flush=True)
            yield row
        if none:
            self.parser.error("no row has that in its name")

    def finish(
        self,
        tables: Sequence[report.Table],
        found: Mapping[str, Any],
        plots: bytes | Mapping[str, bytes | None] | None = None,
    ) -> int:
        """Print the tables and write the files; the program's exit status, 0."""
        for table in tables:
            report.show(table.text())
        result = {
            "kind": self.kind,
            "machine": self.about,
            "load_average_after": list(os.getloadavg()),
            **found,
        }
        report.write(report.paths(self.options, self.kind), tables, result, plots)
        return 0


def verdict(holds: bool) -> str:
    """Of a target: what stands in the table, the failure so that it is seen."""
    return "yes" if holds else "NO"
