"""Check the models of this directory with SPIN: ``python run.py``. README.md says what they are.

Each model is searched exhaustively in its right forms, which must hold, and in its broken forms, in each of which SPIN
must find the fault. Exit status: 0, or 1 if anything came out otherwise, or 2 if a tool is missing.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent

#: For one search. The largest one needs less.
MEGABYTES = 2800
SECONDS = 900
#: Longer than any path of these models. SPIN says so if it is not, and that counts as a failure.
DEPTH = 100_000
#: SPIN's options for the search: look for violated assertions and deadlocks, store states compressed, none by its hash.
PAN = ("-DSAFETY", "-DNOFAIR", "-DCOLLAPSE", f"-DMEMLIM={MEGABYTES}")

#: What SPIN says about a search that has left something out.
INCOMPLETE = ("max search depth too small", "Search not completed", "reached -DMEMLIM", "out of memory")
#: The end of a process that only serves others.
ENDLESS = "-end-"


@dataclass(frozen=True)
class Model:
    """One file: its sizes, and its forms, each named by the switches that it sets (``-D``), separated by spaces."""

    name: str
    #: Small enough for continuous integration. Broken forms are searched in this size, in `sizes_of_broken` if there.
    quick: str
    #: One or several, each larger in another respect.
    full: Sequence[str]
    #: Besides the one without switches; in the first size only.
    right: Sequence[str] = ()
    broken: Sequence[str] = ()
    sizes_of_broken: dict[str, str] = field(default_factory=dict)


MODELS = (
    Model(
        "epoch",
        quick="CALLS=1",
        full=("CALLS=2", "READERS=1 CALLS=2 WRITES=2"),
        broken=("LATE_ANNOUNCE", "LEAVE_EARLY", "NO_GRACE", "SEAL_FIRST", "OFF_BY_ONE", "FROM_ZERO", "BLIND_STORE"),
    ),
    Model(
        "tso",
        quick="WRITES=1",
        full=("CALLS=3", "READERS=3 CALLS=1"),
        right=("FENCED",),
        broken=("NO_MEMBARRIER", "BARRIER_FIRST"),
    ),
    Model(
        "remove",
        quick="CALLS=1 WRITES=1",
        full=("CALLS=2 WRITES=2", "READERS=0 WRITERS=2 WRITES=1"),
        broken=("BLIND_STORE", "NO_GRACE", "LOCKED_BLIND", "REMOVE_BLIND", "KEY_LAST"),
        # Another overwriter has to make the first one take the lock.
        sizes_of_broken={"LOCKED_BLIND": "READERS=0 WRITERS=2 WRITES=1"},
    ),
    Model(
        "growth",
        quick="CALLS=1 EDITS=1",
        full=("CALLS=1 EDITS=2", "READERS=0 WRITERS=2", "WRITERS=0 CALLS=3 EDITS=3"),
        right=("NO_RESTART",),
        broken=("MARK_FIRST", "OLD_FIRST", "TABLE_FIRST", "FREE_AT_ONCE", "CUT_CHAIN", "WIPE", "INSERT_UNMOVED"),
        # A removal and an insertion.
        sizes_of_broken={"INSERT_UNMOVED": "CALLS=1 EDITS=2"},
    ),
    Model(
        "shrink",
        quick="CALLS=1",
        full=("CALLS=2", "READERS=2 CALLS=1 WRITERS=0"),
        right=("FINISH", "RECHECK"),
        broken=("NO_MARK", "MARK_LATE", "NO_RESTART", "COPY_WORD", "MOVED_ABSENT", "NO_GRACE", "SHARD_DIRECTORY"),
    ),
    Model(
        "snapshot",
        quick="PASSES=1",
        full=("PASSES=2 SNAPSHOTS=2", "WRITERS=3"),
        broken=("NO_WAIT", "NO_MEMBARRIER", "NO_LOOK", "LOOK_FIRST", "FREEZE_LATE", "THAW_EARLY", "READERS_BIT"),
    ),
    Model(
        "clear",
        quick="CALLS=1",
        full=("CALLS=2",),
        broken=("NO_ZERO", "ZERO_LATE", "NO_LOOK", "NO_GRACE", "CONTENTS_EARLY", "SHARD_DIRECTORY"),
        # One thread has to look at two keys.
        sizes_of_broken=dict.fromkeys(("NO_ZERO", "ZERO_LATE", "NO_LOOK"), "CALLS=2"),
    ),
    Model(
        "lookaside",
        quick="READERS=1 EDITS=4",
        full=("READERS=2 CALLS=2 EDITS=3", "READERS=1 CALLS=3 EDITS=5"),
        right=("TWO_LOOKS",),
        broken=("EARLY_LOOK", "WORD_FIRST", "TAG_FIRST", "KEY_AFTER_WORD", "NO_GRACE"),
    ),
    Model(
        "stamp",
        quick="CLEARS=1",
        full=("CLEARS=2",),
        broken=("LATE_NOTE", "EARLY_CHECK", "LATE_STAMP"),
    ),
    Model(
        "sharing",
        quick="WRITES=1",
        full=("WRITES=3 CALLS=2",),
        broken=("NO_WAIT", "NO_MEMBARRIER", "EARLY_LOOK", "ONE_FLAG", "JOIN_INSIDE"),
    ),
    Model(
        "reserve",
        quick="READERS=1 CALLS=2",
        full=("READERS=2 CALLS=1", "READERS=1 CALLS=2 COMPUTERS=3"),
        broken=("RESERVE_BLIND", "IGNORE_MARK", "SETTLE_UNMARKED", "MARK_HIDES"),
    ),
)


@dataclass(frozen=True)
class Search:
    """One form of a model in one size."""

    model: Model
    form: str
    size: str
    holds: bool

    @property
    def switches(self) -> list[str]:
        """For SPIN's preprocessor."""
        return [f"-D{switch}" for switch in f"{self.form} {self.size}".split()]


@dataclass(frozen=True)
class Outcome:
    """What SPIN found."""

    search: Search
    expected: bool
    verdict: str
    states: int
    megabytes: float
    seconds: float


def searches_of(model: Model, quick: bool) -> list[Search]:
    """All that a run does with a model."""
    sizes = [model.quick] if quick else model.full
    searches = [Search(model, "", size, True) for size in sizes]
    searches += [Search(model, form, sizes[0], True) for form in model.right]
    return searches + [Search(model, form, size_of_broken(model, form), False) for form in model.broken]


def size_of_broken(model: Model, form: str) -> str:
    """Look up in which size a broken form is searched."""
    return model.sizes_of_broken.get(form, model.quick)


def command(arguments: Sequence[str], directory: str) -> str:
    """Return the output of a command, whatever its exit status."""
    done = subprocess.run(
        arguments, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS
    )
    return done.stdout


def translate(search: Search, directory: str) -> str:
    """Make the program that searches. What went wrong, or an empty string."""
    for path in HERE.glob("*.pml"):
        shutil.copy(path, directory)
    said = command(["spin", "-a", *search.switches, f"{search.model.name}.pml"], directory)
    if not Path(directory, "pan.c").exists() or "rror" in said:
        return f"spin: {said.strip()}"
    said = command(["cc", "-O2" if search.holds else "-O0", "-w", *PAN, "-o", "pan", "pan.c"], directory)
    return "" if Path(directory, "pan").exists() else f"cc: {said.strip()}"


def number(pattern: str, said: str) -> float:
    """Return the first number that the pattern finds."""
    found = re.search(pattern, said)
    return float(found[1]) if found else 0


def judge(search: Search, said: str) -> tuple[bool, str]:
    """Whether that was expected, and in words."""
    errors = re.search(r"errors: (\d+)", said)
    if errors is None:
        return False, f"no result: {said.strip()[-200:]}"
    if int(errors[1]):
        fault = re.search(r"pan:1: (.*?) \(at depth", said)
        return not search.holds, f"fault: {fault[1] if fault else '?'}"
    left_out = [each for each in INCOMPLETE if each in said]
    if left_out:
        return False, f"not exhaustive: {left_out[0]}"
    # A statement that is never reached proves nothing. The sizes of a full search may leave out a kind of process.
    unreached = [line.strip() for line in re.findall(r"^\t(\w+\.pml:.*)$", said, re.MULTILINE) if ENDLESS not in line]
    if search.holds and not search.form and search.size == search.model.full[0] and unreached:
        return False, f"never reached: {unreached[0]}"
    return search.holds, "holds" if search.holds else "no fault found"


def run(search: Search) -> Outcome:
    """Translate, compile, search."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="shardmap-models-") as directory:
        try:
            said = ""
            trouble = translate(search, directory)
            if not trouble:
                said = command(["./pan", f"-m{DEPTH}", "-w22"], directory)
        except subprocess.TimeoutExpired:
            trouble = f"not done after {SECONDS} seconds"
        expected, verdict = (False, trouble) if trouble else judge(search, said)
    return Outcome(
        search,
        expected,
        verdict,
        int(number(r"(\d+) states, stored", said)),
        number(r"([\d.]+)\ttotal actual memory usage", said),
        time.monotonic() - started,
    )


def trail(model: Model, form: str) -> int:
    """Print how a form goes wrong, on a shortest path."""
    search = Search(model, form, size_of_broken(model, form), False)
    with tempfile.TemporaryDirectory(prefix="shardmap-models-") as directory:
        trouble = translate(search, directory)
        if not trouble:
            # Breadth first: no shorter path is left.
            command(["cc", "-O1", "-w", *PAN, "-DBFS", "-o", "pan", "pan.c"], directory)
            command(["./pan", f"-m{DEPTH}", "-w22"], directory)
            if not list(Path(directory).glob("*.trail")):
                trouble = "no fault found"
        print(trouble or command(["spin", "-t", "-p", "-g", "-l", *search.switches, f"{model.name}.pml"], directory))
    return 1 if trouble else 0


def missing_tools() -> list[str]:
    """Say what is not installed."""
    hints = {"spin": "apt-get install spin", "cc": "apt-get install gcc"}
    return [f"{tool} is not installed: {hint}" for tool, hint in hints.items() if shutil.which(tool) is None]


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Check the models of the protocol with SPIN.")
    parser.add_argument("--only", metavar="NAME", choices=[model.name for model in MODELS], help="one model")
    parser.add_argument("--quick", action="store_true", help="small sizes: under a minute on two processors")
    parser.add_argument("--jobs", type=int, default=2, help="searches at a time (2: up to 4 GB unless --quick)")
    parser.add_argument("--trail", metavar="SWITCHES", help="with --only: print how this broken form goes wrong")
    options = parser.parse_args()
    missing = missing_tools()
    if missing:
        print(*missing, sep="\n", file=sys.stderr)
        return 2
    models = [model for model in MODELS if options.only in (None, model.name)]
    if options.trail is not None:
        if options.only is None:
            parser.error("--trail needs --only")
        return trail(models[0], options.trail)
    searches = [search for model in models for search in searches_of(model, options.quick)]
    failed = 0
    started = time.monotonic()
    print(f"{'model':<10} {'form':<23} {'size':<29} {'states':>10} {'MB':>5} {'s':>6}  verdict")
    with ThreadPoolExecutor(options.jobs) as pool:
        for outcome in pool.map(run, searches):
            failed += not outcome.expected
            form = outcome.search.form or ("right" if outcome.search.holds else "")
            print(
                f"{outcome.search.model.name:<10} {form:<23} {outcome.search.size:<29} {outcome.states:>10,} "
                f"{outcome.megabytes:>5.0f} {outcome.seconds:>6.1f}  "
                f"{'' if outcome.expected else 'UNEXPECTED: '}{outcome.verdict}",
                flush=True,
            )
    print(f"{len(searches)} searches, {failed} unexpected, {time.monotonic() - started:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
