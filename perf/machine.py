"""What a figure depends on: the machine, the interpreter, the versions, and how busy the machine was."""

from __future__ import annotations

import datetime
import os
import platform
import sys
from pathlib import Path
from typing import Any

from perf import peers

__all__ = ["cores", "describe", "free_memory", "free_threaded", "header", "interpreter_tag"]


def free_threaded() -> bool:
    """Whether this process runs without the GIL (now: an import may have switched it on again)."""
    return not getattr(sys, "_is_gil_enabled", lambda: True)()


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def interpreter_tag() -> str:
    """``cp311``, ``cp314t``: short, for file names."""
    return f"cp{sys.version_info.major}{sys.version_info.minor}{'t' if free_threaded() else ''}"


def describe() -> dict[str, Any]:
    """Everything that a result file says about where it was measured."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "processor": _processor(),
        "cores": cores(),
        "system": platform.platform(),
        "huge_pages": _read("/sys/kernel/mm/transparent_hugepage/enabled"),
        "interpreter": f"{platform.python_implementation()} {platform.python_version()}"
        f" ({'free-threaded' if free_threaded() else 'GIL'})",
        "compiler": platform.python_compiler(),
        "tag": interpreter_tag(),
        "hash_seed": os.environ.get("PYTHONHASHSEED", "random"),
        "versions": peers.versions(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def header(machine: dict[str, Any]) -> str:
    """The same for a reader, in a few lines."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    load = " ".join(f"{load:.2f}" for load in machine["load_average"])
    return "\n".join(
        (
            f"{machine['interpreter']}, {machine['compiler']}; {versions}",
            f"{machine['processor']}, {machine['cores']} cores, {machine['system']}",
            f"{machine['date']}, load average {load}, PYTHONHASHSEED {machine['hash_seed']}",
        )
    )


def free_memory() -> int | None:
    """Bytes that this machine can give to a process now, None where it does not say."""
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _processor() -> str:
    for line in _read("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""
