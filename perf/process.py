"""Measurements in a process of their own, which answers in JSON, and what the system says of a process's memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["answer", "ask", "forget_peak", "peak", "resident"]


def ask(module: str, *arguments: object) -> Any:
    """What ``python -m perf.MODULE ARGUMENTS`` has given to ``answer``."""
    command = [sys.executable, "-m", f"perf.{module}", *map(str, arguments)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def answer(found: Any) -> int:
    """In the child: send what was found to who asked; the exit status."""
    json.dump(found, sys.stdout)
    return 0


def resident(process: int | str = "self") -> int:
    """Bytes of memory that a process has from the system now."""
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak() -> int:
    """The most bytes that this process had."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no VmHWM")


def forget_peak() -> None:
    """Make the peak begin at the present size (Linux: 5 written there does that)."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
