"""The fuzzers (tests/fuzz) for a moment: that they work, and find nothing quickly."""

from __future__ import annotations

from pathlib import Path

import pytest
from concurrency import new_random, scaled
from support import run_python_ok

FUZZER = Path(__file__).parent / "fuzz" / "fuzz.py"

CHILD = """
import runpy, sys

sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.skipif(not FUZZER.exists(), reason="this is a copy of some of the tests")
@pytest.mark.parametrize("target", ["snapshot", "parser", "server"])
def test_a_short_run(target: str, tmp_path: Path) -> None:
    seed = str(new_random().getrandbits(32))
    options = ["--target", target, "--seconds", str(scaled(2)), "--seed", seed, "--inputs", str(tmp_path)]
    print(run_python_ok(CHILD, str(FUZZER), *options))
    assert list(tmp_path.iterdir()) == []
