"""``python -m perf [options]``: all the benchmarks of a report, one process each, with the same options."""

from __future__ import annotations

import argparse
import subprocess
import sys

OBJECTS = ("bench", "threads", "scaling", "bulk", "pause", "pause_threads", "memory")
BYTES = ("byte_bench", "byte_threads", "byte_memory", "byte_snapshot", "byte_sweep", "byte_eviction")


def main() -> int:
    """Run them all; the number of those that failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller and fewer: shows that it works, no more")
    parser.add_argument("--output", metavar="DIR", help="where results go (default: perf/results/local)")
    options = parser.parse_args()
    passed_on = ["--quick"] * options.quick + (["--output", options.output] if options.output else [])
    return sum(
        subprocess.run([sys.executable, "-m", f"perf.{name}", *passed_on], check=False).returncode != 0
        for name in (*OBJECTS, *BYTES)
    )


if __name__ == "__main__":
    sys.exit(main())
