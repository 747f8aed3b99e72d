"""One thread: nanoseconds an operation, and the ratio to dict in the same run.

``python -m perf.bench [--quick] [--rows TEXT]... [--repeat N] [--clock cpu|wall]``

All peers are measured in this one process, interleaved round by round; see ``perf/measure.py`` for how.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from perf import machine, one_thread, peers
from perf.one_thread import Comparison
from perf.rows import table
from perf.session import Session

__all__ = ["main"]

#: Free-threaded builds may be this much further from dict: there, reads take a lock.
FREE_THREADED_SLACK = 0.1

COMPARISON = Comparison(
    "One thread: nanoseconds an operation (× the time of the baseline)",
    peers.SHARDMAP,
    peers.ALL,
    "n/a: no such operation; hangs, fails: does not end with these keys, or in an error (perf/probe.py). "
    "For counting, the dict column is collections.Counter.update. "
    "Targets are of ShardMap's time over that of the named map.",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 if it ran."""
    session = Session("bench", one_thread.parser(__doc__), arguments)
    slack = FREE_THREADED_SLACK if machine.free_threaded() else 0.0
    sizes = (20_000, 20_000, 50_000) if session.quick else (200_000, 200_000, 1_000_000)
    return one_thread.run(session, COMPARISON, table(*sizes, slack))


if __name__ == "__main__":
    sys.exit(main())
