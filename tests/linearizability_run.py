"""The long run: are the single-key operations of the map linearizable, over a million of them and more?

    python tests/linearizability_run.py [--operations N] [--seconds S] [--threads N] [--seed N]
    python tests/linearizability_run.py --check FILE

Rounds of all kinds (`histories`) are recorded one after the other, and judged by other processes, key by key. On a build
with a GIL they judge while the next rounds are recorded; on a free-threaded build, whose recorded threads need all the
processors, recording waits for them.

The exit status is 0 and the last line a summary if all is well. Otherwise it is 1, and the first history that is not
linearizable is printed as minimised, and stored in build/linearizability/, from where ``--check`` judges it again: status
1 if it is wrong indeed, 0 if not, 2 if the file is something else. A seed repeats the rounds, but not the schedule of their threads.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import counterexamples
from concurrency import GIL_ENABLED
from counterexamples import Counterexample
from histories import MAPS, Recorded, Round, record
from linearizability import check, overlapping

__all__ = ["Verdict", "judge", "main"]

#: Operations of a run, unless the options say otherwise, and of a round.
OPERATIONS = 2_000_000
ROUND = 20_000
#: Rounds that wait to be judged, for each process.
AHEAD = 2
FOLDER = Path("build/linearizability")


@dataclass
class Verdict:
    """What came of a round, or of many."""

    operations: int = 0
    overlapping: int = 0
    histories: int = 0
    failures: list[Counterexample] = field(default_factory=list)

    def add(self, other: Verdict) -> None:
        """Count another one in."""
        self.operations += other.operations
        self.overlapping += other.overlapping
        self.histories += other.histories
        self.failures += other.failures


def judge(recorded: Recorded) -> Verdict:
    """Check the history of every key of a round."""
    verdict = Verdict()
    for number, history in enumerate(recorded.histories()):
        verdict.histories += 1
        verdict.operations += len(history)
        verdict.overlapping += overlapping(history)
        if check(history) is not None:
            failure = counterexamples.of(history, f"{recorded.round}; key {number}; {_interpreter()}")
            assert failure is not None
            verdict.failures.append(failure)
    return verdict


def _interpreter() -> str:
    return f"Python {sys.version.split()[0]} {'with' if GIL_ENABLED else 'without'} GIL"


@dataclass
class Run:
    """Rounds until enough operations have been recorded, time is over, or something is wrong."""

    options: argparse.Namespace
    maps: Mapping[str, Callable[[], Any]]
    total: Verdict = field(default_factory=Verdict)
    recorded: int = 0
    recording_seconds: float = 0.0

    def go(self, pool: Executor | None) -> None:
        began = time.monotonic()
        pending: list[Future[Verdict]] = []
        for this in self._rounds(began):
            if self.options.verbose:
                print(this, flush=True)
            recorded = self._record(this)
            if pool is None:
                self.total.add(judge(recorded))
            else:
                pending.append(pool.submit(judge, recorded))
            if pending and len(pending) >= AHEAD * self.options.jobs:
                # All of them where the recorded threads need the processors.
                self._await(pending, 1 if GIL_ENABLED else len(pending))
        self._await(pending, len(pending))

    def _rounds(self, began: float) -> Iterator[Round]:
        options = self.options
        choose = random.Random(options.seed)
        while (
            not self.total.failures
            and self.recorded < options.operations
            and time.monotonic() - began < options.seconds
        ):
            yield Round.drawn(choose, min(ROUND, options.operations), options.threads, self.maps)

    def _record(self, this: Round) -> Recorded:
        began = time.monotonic()
        try:
            recorded = record(this, self.maps)
        except BaseException as error:
            error.add_note(f"(in the round of {this})")
            raise
        self.recording_seconds += time.monotonic() - began
        self.recorded += sum(1 for tape in recorded.tapes for label in tape.labels if label)
        return recorded

    def _await(self, pending: list[Future[Verdict]], count: int) -> None:
        for _ in range(count):
            self.total.add(pending.pop(0).result())


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="linearizability_run.py",
        description="Record what threads do to a map, and check that each operation takes effect at one instant.",
    )
    made.add_argument("--operations", type=int, metavar="N", help=f"stop after so many (default: {OPERATIONS})")
    made.add_argument("--seconds", type=float, metavar="S", help="stop after so long")
    made.add_argument("--threads", type=int, metavar="N", help="threads of every round (default: 2 to 8, in turns)")
    made.add_argument("--seed", type=int, metavar="N", help="what decides the rounds (default: random)")
    made.add_argument(
        "--jobs", type=int, metavar="N", help="processes that judge; 0: this one (default: one a processor)"
    )
    made.add_argument("--verbose", action="store_true", help="print every round before it runs")
    made.add_argument("--output", type=Path, metavar="DIR", default=FOLDER, help=f"for what is wrong ({FOLDER})")
    made.add_argument("--check", type=Path, metavar="FILE", help="judge a stored history again, and do nothing else")
    return made


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    options = _parser().parse_args(arguments)
    if options.operations is None:
        options.operations = OPERATIONS if options.seconds is None else float("inf")
    if options.seconds is None:
        options.seconds = float("inf")
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1 << 32)
    if options.jobs is None:
        options.jobs = max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    return options


def main(arguments: Sequence[str] | None = None, maps: Mapping[str, Callable[[], Any]] = MAPS) -> int:
    """The exit status."""
    options = _options(arguments)
    if options.check is not None:
        return _check_again(options.check)
    print(f"--seed {options.seed}  ({_interpreter()})", flush=True)
    began = time.monotonic()
    run = Run(options, maps)
    with ExitStack() as stack:
        pool: Executor | None = None
        if options.jobs:
            context = multiprocessing.get_context("spawn")
            pool = stack.enter_context(ProcessPoolExecutor(options.jobs, mp_context=context))
        run.go(pool)
    for failure in run.total.failures:
        print(f"{failure}\nstored in {_store(failure, options)}", flush=True)
    print(_summary(run, options, time.monotonic() - began))
    return 1 if run.total.failures else 0


def _store(failure: Counterexample, options: argparse.Namespace) -> Path:
    for number in range(1, 1000):
        path: Path = options.output / f"{options.seed}-{number}.json"
        if not path.exists():
            break
    failure.write(path)
    return path


def _summary(run: Run, options: argparse.Namespace, seconds: float) -> str:
    total = run.total
    return (
        f"{'NOT linearizable' if total.failures else 'linearizable'}: {total.operations} operations in "
        f"{total.histories} histories of one key, {options.threads or '2 to 8'} threads, "
        f"{total.overlapping / max(total.operations, 1):.0%} overlapped another one on the same key; "
        f"{seconds:.0f} s, {run.recording_seconds:.0f} s of them recording"
    )


def _check_again(path: Path) -> int:
    try:
        found = counterexamples.read(path)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    part, whole = found.is_wrong()
    print(found)
    print(f"the part: {_verdict(part)}; all {len(found.history.operations)} operations: {_verdict(whole)}")
    return 1 if part or whole else 0


def _verdict(wrong: bool) -> str:
    return "NOT linearizable" if wrong else "linearizable"


if __name__ == "__main__":
    sys.exit(main())
