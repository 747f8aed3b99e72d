"""Bulk lookups in a large map: ``get_many`` over 5 million entries against ``[d[k] for k in keys]``.

``python -m perf.bulk [--quick] [--entries 5000000] [--keys 500000] [--threads 1,2] [--repeat N]``

The keys are random ones of the map's, all different, in random order, new objects for each thread and each measurement;
each thread looks up so many of them in one call (or one comprehension). All maps are in this one process, filled with
the same keys and values, and take turns; how each measurement is made is in ``perf/team.py``. cereggii looks up many
keys with ``batch_getitem``, which takes a dict that has them as its keys: making that dict is part of the row of fresh
keys, as the list is what a program has, and no part of the row of hashed keys, where it is given one.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from perf import keys as make_keys
from perf import peers, plot, report
from perf.team import Found
from perf.team_session import TeamSession, parser
from perf.thread_rows import ThreadRow

__all__ = ["main"]

#: What those do that have no operation for many keys.
BASELINE = "[m[k] for k in keys]"

#: About what one entry takes in all maps together, with its key and its value, and a key that a thread looks up.
BYTES_AN_ENTRY, BYTES_A_KEY = 450, 250

_FIRST_VALUE = 1_000_000


@dataclass(frozen=True)
class Entries:
    """Keys and values that many maps are filled with, without a tuple for each pair."""

    keys: Sequence[str]
    values: Sequence[int]

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return zip(self.keys, self.values, strict=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 if it ran."""
    options = parser(__doc__)
    options.add_argument("--entries", type=int, metavar="N", help="entries of each map (default: 5000000)")
    options.add_argument("--keys", type=int, metavar="N", help="keys that each thread looks up (default: 500000)")
    session = TeamSession("bulk", options, arguments)
    entries = session.options.entries or session.size(100_000, 5_000_000)
    looked_up = session.options.keys or session.size(20_000, 500_000)
    session.start(
        (2, 5),
        what=f"maps of {entries:,} entries, {looked_up:,} keys a thread; ",
        needs=entries * BYTES_AN_ENTRY + looked_up * max(session.options.threads) * BYTES_A_KEY,
    )
    threads = session.settings.threads
    present = peers.find()
    results = session.measure(_rows(entries, looked_up), present, maps={})
    shown = _shown(results, present, threads, entries)
    plotted = _plot(results, session.about, threads, entries)
    return session.publish([shown], results, plotted, entries=entries, keys=looked_up)


def _rows(entries: int, looked_up: int) -> Iterator[ThreadRow]:
    keys = make_keys.scattered(entries)
    filled = Entries(keys, list(range(_FIRST_VALUE, _FIRST_VALUE + entries)))

    @cache
    def chosen(index: int) -> Sequence[str]:
        # All different, so that a dict of them has as many.
        return random.Random(make_keys.SEED + index).sample(keys, looked_up)

    def fresh(index: int, threads: int) -> Mapping[str, Any]:
        return {"keys": make_keys.copies(chosen(index))}

    def hashed(index: int, threads: int) -> Mapping[str, Any]:
        mine = fresh(index, threads)["keys"]
        return {"keys": mine, "batch": dict.fromkeys(mine)}

    def row(name: str, statements: Mapping[str, str], arguments: Any) -> ThreadRow:
        return ThreadRow(name, "", statements, arguments, lambda threads: looked_up, filled)

    one_by_one = peers.spelled(f"got = {BASELINE}")
    bulk = one_by_one | {peers.SHARDMAP: "got = m.get_many(keys)"}
    yield row("get_many, fresh keys", bulk | {peers.CEREGGII: "got = m.batch_getitem(dict.fromkeys(keys))"}, fresh)
    yield row("get_many, keys hashed before", bulk | {peers.CEREGGII: "got = m.batch_getitem(batch)"}, hashed)
    yield row(f"{BASELINE}, fresh keys", one_by_one, fresh)


def _shown(
    results: Mapping[str, Found], present: Mapping[str, peers.Peer], threads: Sequence[int], entries: int
) -> report.Table:
    listed = " / ".join(str(n) for n in threads)
    made = report.Table(
        f"Nanoseconds a key in maps of {entries:,} entries (× dict's), with {listed} threads: wall time over the keys "
        "of one thread",
        ["lookup", *peers.ALL, "ShardMap ÷ best peer"],
    )
    for name, found in results.items():
        best = [found.advantage(n) for n in threads]
        made.add(
            name,
            *(_cell(found, present[peer], threads) for peer in peers.ALL),
            " / ".join("" if one is None else f"×{1 / one:.2f}" for one in best),
        )
    made.notes.append(
        f"dict, dict + Lock, ft_utils: {BASELINE}. cereggii: batch_getitem, with the making of its dict in the row of "
        "fresh keys and without it in the row of hashed ones. Less than 1 is faster."
    )
    made.notes += [f"{name}: {peer.absence}" for name, peer in present.items() if peer.make is None]
    return made


def _cell(found: Found, peer: peers.Peer, threads: Sequence[int]) -> str:
    if peer.make is None:
        return peer.absence.partition(":")[0]
    times = [(_nanoseconds(found, peer.name, n), _nanoseconds(found, peers.DICT, n)) for n in threads]
    return " / ".join(f"{mine:.0f} (×{mine / base:.2f})" for mine, base in times if mine and base)


def _nanoseconds(found: Found, peer: str, threads: int) -> float | None:
    """What one key takes one thread: with two threads that do not hinder each other it is what it is with one."""
    rate = found.rate(peer, threads)
    return threads * 1e3 / rate if rate else None


def _plot(results: Mapping[str, Found], about: Mapping[str, Any], threads: Sequence[int], entries: int) -> bytes | None:
    bars = [(name, found, n) for name, found in results.items() for n in threads]
    return plot.bars(
        f"Bulk lookups in {entries:,} entries, {about['interpreter']}",
        "million keys a second, all threads together (higher is better)",
        [f"{name} · {n} thread{'s' * (n > 1)}" for name, _, n in bars],
        {peer: [found.rate(peer, n) for _, found, n in bars] for peer in peers.ALL},
    )


if __name__ == "__main__":
    sys.exit(main())
