"""Fuzzing of snapshots with nothing but Python: seeds, mutations that keep checksums right, and all ways to read them.

    python tests/fuzz/fuzz_snapshot.py --seconds 60 [--seed 1] [--inputs DIRECTORY]

Some of the inputs that are still snapshots are mutated further, and each that is refused for a reason that none was
refused for before. One that fails is written to the directory and ends the run; one that crashes the process is there
too, as ``last``. ``snapshot_fuzzer.c`` does the same guided by the core's coverage, for those who have clang.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from snapshot_repair import mutated  # noqa: E402
from snapshot_target import one_input  # noqa: E402

SEEDS = HERE / "seeds" / "snapshot"
#: Inputs that are mutated further.
MOST = 2000


def main() -> int:
    """Run for so long; 1 if an input fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    parser.add_argument("--inputs", type=Path, default=Path("build/fuzz"))
    options = parser.parse_args()
    options.inputs.mkdir(parents=True, exist_ok=True)
    print(f"seed {options.seed}", flush=True)
    return fuzz(random.Random(options.seed), options.seconds, options.inputs)


def fuzz(rng: random.Random, seconds: float, inputs: Path) -> int:
    """See main()."""
    corpus = [path.read_bytes() for path in sorted(SEEDS.iterdir())]
    number = right = 0
    outcomes = {""}
    last = os.open(inputs / "last", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    begun = time.monotonic()
    end = begun + seconds
    while number % 256 or time.monotonic() < end:
        data = mutated(rng.choice(corpus), rng.choice(corpus), rng)
        number += 1
        # What a crash leaves behind.
        os.pwrite(last, data, 0)
        os.ftruncate(last, len(data))
        try:
            outcome = one_input(data)
        except BaseException:
            path = inputs / f"failure-{number}"
            path.write_bytes(data)
            print(f"input {number} fails: {path}", flush=True)
            raise
        right += not outcome
        if outcome not in outcomes or (not outcome and len(data) < 4096 and rng.random() < 0.1):
            outcomes.add(outcome)
            if len(corpus) < MOST:
                corpus.append(data)
            else:
                corpus[rng.randrange(len(corpus))] = data
    took = time.monotonic() - begun
    print(f"{number} inputs, {number / took:.0f} a second, {right} of them snapshots, {len(outcomes)} kinds of refusal")
    os.unlink(inputs / "last")
    return 0


if __name__ == "__main__":
    sys.exit(main())
