"""What several test modules need besides `concurrency`: another Python process, resident memory, settled garbage."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import shardmap

#: A child that has not ended after so many seconds hangs.
CHILD_SECONDS = 300

linux_only = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")


def run_python(
    code: str, *arguments: str, env: dict[str, str] | None = None, options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run *code* in a new interpreter that imports the very package under test and the helpers of these tests."""
    here = os.pathsep.join(
        [str(Path(shardmap.__file__).parents[1]), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    ).rstrip(os.pathsep)
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", *options, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": here, **(env or {})},
        capture_output=True,
        text=True,
        timeout=CHILD_SECONDS,
        cwd="/",
    )


def run_python_ok(code: str, *arguments: str, env: dict[str, str] | None = None, options: tuple[str, ...] = ()) -> str:
    """As `run_python`; the child must succeed. What it printed."""
    done = run_python(code, *arguments, env=env, options=options)
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def resident() -> int:
    """Bytes of physical memory that this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def drain(m: Any) -> None:
    """Let the map release what it has displaced and kept for readers, if it keeps such things at all."""
    if hasattr(m, "drain"):
        m.drain()


def settle(m: Any = None) -> None:
    """Let everything that is garbage, or displaced and not released yet, be released."""
    for _ in range(2):
        gc.collect()
        drain(m)
