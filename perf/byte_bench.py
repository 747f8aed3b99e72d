"""ByteMap in one thread: nanoseconds an operation, and the ratio to dict in the same run.

``python -m perf.byte_bench [--quick] [--rows TEXT]... [--repeat N] [--entries 1000000] [--clock cpu|wall]``

All maps are measured in this one process, interleaved round by round; see ``perf/measure.py`` for how. ByteMap copies
values in and out, where a dict passes references on.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from perf import one_thread, peers
from perf.byte_rows import table
from perf.one_thread import Comparison
from perf.session import Session

__all__ = ["main"]

COMPARISON = Comparison(
    "ByteMap in one thread, 16-byte keys and 64-byte values: nanoseconds an operation (× the time of the baseline)",
    peers.BYTEMAP,
    peers.BYTES,
    "m.set(k, v) is m[k] = v for dict. Of add(k), dict has m[k] = b'%d' % (int(m.get(k, b'0')) + 1), and of get_many "
    "[m.get(k) for k in some], of 1,000 keys each time. Targets are of ByteMap's time over dict's.",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 if it ran."""
    parser = one_thread.parser(__doc__)
    parser.add_argument("--entries", type=int, metavar="N", help="entries of the larger maps (default: 1000000)")
    session = Session("byte_bench", parser, arguments)
    entries = session.options.entries or session.size(20_000, 1_000_000)
    return one_thread.run(session, COMPARISON, table(entries, session.size(20_000, 100_000)))


if __name__ == "__main__":
    sys.exit(main())
