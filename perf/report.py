"""What the benchmarks have in common: options, where results go, tables for the terminal and for Markdown."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from perf import machine

__all__ = ["LOCAL", "Table", "parser", "paths", "show", "write"]

#: Results of this machine; kept out of version control.
LOCAL = Path(__file__).parent / "results" / "local"


class Table:
    """Rows of text under columns, in groups; the first column is left-aligned."""

    def __init__(self, title: str, columns: Sequence[str]) -> None:
        self.title = title
        self.columns = list(columns)
        self.rows: list[list[str]] = []
        self.notes: list[str] = []

    def add(self, *cells: str) -> None:
        """A row; one cell alone is the heading of a group."""
        self.rows.append(list(cells))

    def text(self) -> str:
        """For a terminal."""
        full = [row for row in [self.columns, *self.rows] if len(row) > 1]
        widths = [max(len(row[place]) for row in full) for place in range(len(self.columns))]
        lines = [self.title, "", _line(self.columns, widths)]
        for row in self.rows:
            lines += ["", row[0]] if len(row) == 1 else [_line(row, widths)]
        return "\n".join([*lines, *(f"\n{note}" for note in self.notes)]) + "\n"

    def markdown(self) -> str:
        """For a document."""
        lines = [f"## {self.title}", ""]
        lines += [_piped(self.columns), _piped(["---"] + ["---:"] * (len(self.columns) - 1))]
        for row in self.rows:
            cells = [f"**{row[0]}**"] + [""] * (len(self.columns) - 1) if len(row) == 1 else row
            lines.append(_piped(cells))
        return "\n".join([*lines, *(f"\n{note}" for note in self.notes)]) + "\n"


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
    return "  ".join(cells).rstrip()


def _piped(cells: Sequence[str]) -> str:
    escaped = (cell.replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    made = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    made.add_argument("--quick", action="store_true", help="smaller and fewer: shows that it works, not how fast it is")
    made.add_argument("--rows", metavar="TEXT", action="append", help="only rows whose group or name has TEXT in it")
    made.add_argument("--repeat", type=int, metavar="N", help="rounds (or repetitions) at least")
    made.add_argument(
        "--output", type=Path, default=LOCAL, metavar="DIR", help="where results go (default: perf/results/local)"
    )
    for kind in ("json", "svg", "markdown"):
        made.add_argument(f"--{kind}", type=Path, metavar="PATH", help=f"where the {kind} goes instead")
    return made


def paths(options: argparse.Namespace, name: str) -> dict[str, Path]:
    """Where this run's files go: ``bench-cp311.json`` and so on, unless the options say otherwise."""
    suffixes = {"json": "json", "svg": "svg", "markdown": "md"}
    return {
        kind: getattr(options, kind) or options.output / f"{name}-{machine.interpreter_tag()}.{suffix}"
        for kind, suffix in suffixes.items()
    }


def show(text: str) -> None:
    """Print now, also into a pipe."""
    print(text, flush=True)


def write(
    places: dict[str, Path],
    tables: Sequence[Table],
    result: dict[str, Any],
    plot: bytes | Mapping[str, bytes | None] | None,
) -> None:
    """Write the files and say where they are; of several plots each has its own name appended to the file's."""
    described = ["```", machine.header(result["machine"]), "```", "", *(table.markdown() for table in tables)]
    files: list[tuple[Path, bytes | None]] = [
        (places["json"], json.dumps(result, indent=1).encode() + b"\n"),
        (places["markdown"], "\n".join(described).encode()),
    ]
    plots = {"": plot} if plot is None or isinstance(plot, bytes) else plot
    for name, drawn in plots.items():
        files.append((places["svg"].with_stem(f"{places['svg'].stem}-{name}") if name else places["svg"], drawn))
    for path, content in files:
        if content is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            print(f"wrote {path}", file=sys.stderr)
