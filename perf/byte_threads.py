"""Native threads on one ByteMap, without the GIL: million operations a second by the share of writes.

``python -m perf.byte_threads [--quick] [--threads 1,2] [--writes 0,10,50,100] [--entries 1000000] [--repeat N]``

Each thread runs one call of the core that does all its operations without the interpreter, in batches as pipelined
commands come (``cysrc/bytes/drive.pyx``): random keys of a million, 16 bytes each, looked up and copied, or set to 64
bytes. How threads are started and timed is in ``perf/team.py``. "private maps" is the control: the same, each thread on
a map of its own with as many entries. It shows how far this machine, just now, lets threads scale that share nothing
but its memory.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import count
from typing import Any

from perf import keys, peers, plot, report
from perf.session import verdict
from perf.team import Found, numbers
from perf.team_session import TeamSession, parser
from perf.thread_rows import ThreadRow

__all__ = ["main"]

CONTROL = "private maps"
MEASURED = (peers.BYTEMAP, CONTROL)

#: Of a hundred operations.
WRITES = [0, 10, 50, 100]

#: Million operations a second of two threads together; and their scaling over that of the control.
RATE_TARGET, RATE_THREADS = 8.0, 2
SCALING_TARGET = 0.9

_VALUE = b"v" * 64
#: About what one entry takes.
_BYTES_AN_ENTRY = 150


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 if it ran."""
    options = parser(__doc__)
    options.add_argument("--entries", type=int, metavar="N", help="entries of each map (default: 1000000)")
    options.add_argument("--operations", type=int, metavar="N", help="of each thread in a round (default: 1000000)")
    options.add_argument("--writes", type=numbers, default=WRITES, metavar="PERCENT,...", help="shares of writes")
    session = TeamSession("byte_threads", options, arguments)
    entries = session.options.entries or session.size(20_000, 1_000_000)
    operations = session.options.operations or session.size(50_000, 1_000_000)
    session.start(
        (3, 9),
        what=f"{entries:,} entries, {operations:,} operations a thread; ",
        needs=entries * _BYTES_AN_ENTRY * (1 + max(session.options.threads)),
    )
    threads = session.settings.threads
    # A map that is filled is all that it takes to be a peer.
    present = {
        peers.BYTEMAP: peers.Peer(peers.BYTEMAP, lambda: _filled(entries)),
        CONTROL: peers.Peer(CONTROL, dict),
    }
    results = session.measure(_rows(session.options.writes, entries, operations), present, maps={})
    plotted = plot.bars(
        f"Native threads on one ByteMap of {entries:,} entries, {session.about['interpreter']}",
        "million operations a second, all threads together (higher is better)",
        [f"{name} · {n} thread{'s' * (n > 1)}" for name in results for n in threads],
        {name: [found.rate(name, n) for found in results.values() for n in threads] for name in MEASURED},
    )
    shown = [_shown(results, threads, entries)]
    return session.publish(shown, results, plotted, entries=entries, operations=operations)


def _rows(writes: Sequence[int], entries: int, operations: int) -> Iterator[ThreadRow]:
    seeds = count(keys.SEED)
    own = cache(lambda index: _filled(entries))

    def row(percent: int) -> ThreadRow:
        def arguments(index: int, threads: int) -> Mapping[str, Any]:
            from shardmap._core import _drive

            work = {"keys": entries, "operations": operations, "writes": percent}
            return {"drive": _drive, **work, "seed": next(seeds)}

        def control(index: int, threads: int) -> tuple[Any, Mapping[str, Any]]:
            return own(index), arguments(index, threads)

        statement = (
            "if drive(m, keys, operations, writes, seed) != operations:\n    raise RuntimeError('keys are missing')"
        )
        return ThreadRow(
            f"{percent}% writes",
            "",
            dict.fromkeys(MEASURED, statement),
            arguments,
            lambda threads: operations,
            subject=peers.BYTEMAP,
            private=CONTROL,
            control=control,
        )

    return map(row, writes)


def _filled(entries: int) -> Any:
    """A ByteMap with all keys that the core's loop may choose."""
    from shardmap import ByteMap

    made = ByteMap(capacity=entries)
    made.set_many((b"key:%012d" % number, _VALUE) for number in range(entries))
    return made


def _shown(results: Mapping[str, Found], threads: Sequence[int], entries: int) -> report.Table:
    listed = " / ".join(map(str, threads))
    made = report.Table(
        f"Native threads on one ByteMap of {entries:,} entries: million operations a second together, with {listed} "
        "threads",
        [
            "work",
            *MEASURED,
            "scaling",
            "control's scaling",
            f"{RATE_THREADS} threads ≥ {RATE_TARGET:g} M/s",
            f"scaling ≥ {SCALING_TARGET:g} × control's",
        ],
    )
    for name, found in results.items():
        rates = [" / ".join(f"{found.rate(peer, n) or 0:.2f}" for n in threads) for peer in MEASURED]
        made.add(name, *rates, *_scalings(found, max(threads), min(threads)), _fast(found), _scales(found, threads))
    made.notes.append(
        f"Scaling: throughput with {max(threads)} threads over that with {min(threads)}. Control: a map for each "
        "thread, of as many entries, so that all of them take more memory."
    )
    return made


def _scalings(found: Found, threads: int, base: int) -> Iterator[str]:
    for peer in MEASURED:
        scaling = found.scaling(peer, threads, base)
        yield f"{scaling:.2f}" if scaling and threads != base else ""


def _fast(found: Found) -> str:
    rates = found.rates[peers.BYTEMAP]
    rate = found.rate(peers.BYTEMAP, RATE_THREADS) if RATE_THREADS in rates else None
    return "not measured" if rate is None else f"{verdict(rate >= RATE_TARGET)} {rate:.2f}"


def _scales(found: Found, threads: Sequence[int]) -> str:
    ratio = found.scaling_over_control(max(threads), min(threads))
    if ratio is None or len(threads) == 1:
        return "not measured"
    return f"{verdict(ratio >= SCALING_TARGET)} {ratio:.2f}"


if __name__ == "__main__":
    sys.exit(main())
