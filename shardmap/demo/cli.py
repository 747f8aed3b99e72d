"""The command: options, the order of things, exit codes."""

from __future__ import annotations

import argparse
import io
import os
import platform
import sys
import sysconfig
from collections.abc import Sequence
from typing import TextIO

from shardmap.demo import report
from shardmap.demo.check import differences
from shardmap.demo.index import Index
from shardmap.demo.progress import Progress
from shardmap.demo.reference import Reference, reference
from shardmap.demo.sources import find, warm_up
from shardmap.demo.threads import index_files

__all__ = ["main"]

OK = 0
#: The maps differ from the reference.
MISMATCH = 1
#: argparse ends with it too.
USAGE = 2
#: 128 + the number of the signal, as shells report it.
INTERRUPTED = 130
BROKEN_PIPE = 141

#: More threads than any machine has processors; a typing mistake stops here.
MAX_THREADS = 1024
MIN_DEFAULT_THREADS = 2

DESCRIPTION = """\
Index a tree of source files with many threads into ShardMaps: how often each identifier occurs, which files it occurs
in, and which files have the same content. Then do the same with one thread, dict and Counter, and compare everything.
"""
EPILOG = """\
exit codes:
  0    every total agrees with the single-threaded run
  1    something differs; what differs is printed
  2    wrong usage: no such directory, no source files in it, a bad option
  130  interrupted (Ctrl-C)

Progress goes to the standard error stream, the report to the standard output stream. Paths that cannot be read or
decoded are reported and counted, and do not stop it. SHARDMAP_SHARDS and SHARDMAP_HASH_SEED configure the maps.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration and return the exit code."""
    options = _parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Identifiers and paths may hold characters that the terminal's encoding lacks.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = _demonstrate(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Nobody reads the report to its end (``| head``). Python flushes once more at exit: let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m shardmap.demo",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "directories",
        metavar="DIR",
        nargs="*",
        default=[sysconfig.get_path("stdlib")],
        help="directories to index (default: the standard library of this Python, %(default)s)",
    )
    parser.add_argument(
        "-t",
        "--threads",
        metavar="N",
        type=_threads,
        default=max(MIN_DEFAULT_THREADS, os.cpu_count() or 1),
        help="threads that index (default: one a processor, at least two: %(default)s)",
    )
    parser.add_argument(
        "-n", "--top", metavar="N", type=_natural, default=15, help="identifiers to show (default: %(default)s)"
    )
    parser.add_argument(
        "-l", "--limit", metavar="N", type=_natural, help="index only the first N files (default: all of them)"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="show no progress")
    return parser


def _natural(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1")
    return int(text)


def _threads(text: str) -> int:
    if (number := _natural(text)) > MAX_THREADS:
        raise argparse.ArgumentTypeError(f"{text} are too many; at most {MAX_THREADS}")
    return number


def _demonstrate(options: argparse.Namespace) -> int:
    stream = None if options.quiet else sys.stderr
    paths, bad_paths = find(options.directories)
    paths = paths[: options.limit]
    if not paths:
        for path, problem in bad_paths.items():
            _complain(f"{report.printable(path)}: {problem.reason}")
        if not bad_paths:
            _complain(f"no source files in {', '.join(map(report.printable, options.directories))}")
        return USAGE

    print(f"{len(paths):,} source files in {', '.join(map(report.printable, options.directories))}")
    print(f"{options.threads} threads, {_interpreter()}", flush=True)

    with Progress("first look at the files", len(paths), stream) as progress:
        warm_up(paths, progress)
    expected, run = _refer(paths, stream)
    runs = [run]
    alone: report.Run | None = None
    found: list[str] = []
    if not _has_gil() and options.threads > 1:
        index, alone = _index(paths, 1, stream)
        runs.append(alone)
        found += [f"{alone.label}: {line}" for line in differences(index, expected)]
        del index
    index, run = _index(paths, options.threads, stream)
    runs.append(run)
    found += [f"{run.label}: {line}" for line in differences(index, expected)]

    _print(report.totals(index))
    _print(report.suffixes(index))
    _print(report.problems({**bad_paths, **index.problems}))
    _print(report.top(index, options.top))
    _print(report.speed(index, runs))
    if alone is not None:
        print(f"  speed-up of {options.threads} threads over 1 on ShardMap: {alone.seconds / run.seconds:.2f}")
    _print(report.statistics(index))
    return _verdict(index, found)


def _refer(paths: Sequence[str], stream: TextIO | None) -> tuple[Reference, report.Run]:
    label = "dict and Counter, 1 thread"
    with Progress(label, len(paths), stream) as progress:
        made = reference(paths, progress)
    made.sort()
    return made, report.Run(label, progress.seconds, progress.cpu_seconds)


def _index(paths: Sequence[str], threads: int, stream: TextIO | None) -> tuple[Index, report.Run]:
    label = f"ShardMap, {threads} thread{'s' if threads > 1 else ''}"
    with Progress(label, len(paths), stream) as progress:
        index = index_files(paths, threads, progress)
    index.sort()
    return index, report.Run(label, progress.seconds, progress.cpu_seconds)


def _verdict(index: Index, found: Sequence[str]) -> int:
    print()
    if not found:
        entries = sum(map(len, index.maps().values()))
        print(f"Check: all {entries:,} entries of {len(index.maps())} maps equal those of the single-threaded run.")
        return OK
    print("Check FAILED: the maps differ from the single-threaded run (did a file change meanwhile?)")
    for line in found:
        print(f"  {line}")
    return MISMATCH


def _print(lines: Sequence[str]) -> None:
    print("", *lines, sep="\n")


def _complain(text: str) -> None:
    print(f"python -m shardmap.demo: error: {text}", file=sys.stderr)


def _has_gil() -> bool:
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


def _interpreter() -> str:
    gil = "with GIL" if _has_gil() else "free-threaded"
    return f"{platform.python_implementation()} {platform.python_version()} {gil}, {os.cpu_count()} processors"
