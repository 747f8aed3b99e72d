"""Fuzzing with nothing but Python: seeds, mutations, and a target that asks the core about each input.

    python tests/fuzz/fuzz.py --seconds 60 [--target snapshot|parser|server] [--seed 1] [--inputs DIRECTORY] [--guided]

``snapshot``: files, with checksums that are kept right, read in all ways. ``parser``: what clients send, as the
protocol's parser understands it, whole and in pieces. ``server``: the same, with replies, by the whole service. Without a target each of them has its share of the time.

Some of the inputs that are accepted are mutated further, and each that is refused for a reason that none was refused for
before. One that fails is written to the directory and ends the run; one that crashes the process is there too, as
``last``. With ``--guided``, which needs clang, libFuzzer makes the inputs, guided by the core's coverage, and sanitizers
look on (`guided.py`).
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

import guided  # noqa: E402
import parser_target  # noqa: E402
import server_repair  # noqa: E402
import server_target  # noqa: E402
import snapshot_repair  # noqa: E402
import snapshot_target  # noqa: E402

TARGETS = {
    "parser": (parser_target.one_input, server_repair.mutated),
    "snapshot": (snapshot_target.one_input, snapshot_repair.mutated),
    "server": (server_target.one_input, server_repair.mutated),
}
#: Inputs that are mutated further.
MOST = 2000


def main() -> int:
    """Run for so long; 1 if an input fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--target", choices=sorted(TARGETS), action="append")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    parser.add_argument("--inputs", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--guided", action="store_true", help="by coverage, with sanitizers; needs clang")
    options = parser.parse_args()
    options.inputs.mkdir(parents=True, exist_ok=True)
    print(f"seed {options.seed}", flush=True)
    targets = options.target or sorted(TARGETS)
    seconds = options.seconds / len(targets)
    for target in targets:
        if options.guided:
            number = guided.run(target, options.seed, seconds, options.inputs)
            print(f"{target}: {number} inputs, {number / seconds:.0f} a second, guided by coverage", flush=True)
        else:
            fuzz(target, random.Random(options.seed), seconds, options.inputs)
    return 0


def fuzz(target: str, rng: random.Random, seconds: float, inputs: Path) -> None:
    """See main()."""
    one_input, mutated = TARGETS[target]
    corpus = [path.read_bytes() for path in sorted((HERE / "seeds" / guided.mutations(target)).iterdir())]
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
            path = inputs / f"{target}-failure-{number}"
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
    print(
        f"{target}: {number} inputs, {number / took:.0f} a second, {right} of them right, {len(outcomes)} kinds of refusal",
        flush=True,
    )
    os.close(last)
    os.unlink(inputs / "last")


if __name__ == "__main__":
    sys.exit(main())
