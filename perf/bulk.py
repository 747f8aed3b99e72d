"""Bulk lookups in a large map: ``get_many`` over 5 million entries against ``[d[k] for k in keys]``.

``python -m perf.bulk [--quick] [--entries 5000000] [--keys 500000] [--threads 1,2] [--repeat N]``

The keys are random ones of the map's, all different, in random order, new objects for each thread and each measurement;
each thread looks up so many of them in one call (or one comprehension). All maps are in this one process, filled with
the same keys and values, and take turns; how each measurement is made is in ``perf/team.py``. cereggii looks up many
keys with ``batch_getitem``, which takes a dict that has them as its keys: making that dict is part of the row of fresh
keys, as the list is what a program has, and no part of the row of hashed keys, where it is given one.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from perf import keys as make_keys
from perf import machine, peers, plot, report
from perf.team import Found, Settings, measure, numbers
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
    parser = report.parser(__doc__)
    parser.add_argument("--entries", type=int, metavar="N", help="entries of each map (default: 5000000)")
    parser.add_argument("--keys", type=int, metavar="N", help="keys that each thread looks up (default: 500000)")
    parser.add_argument("--threads", type=numbers, default=[1, 2], metavar="N,...", help="numbers of threads (1,2)")
    parser.add_argument("--seed", type=int, default=1, help="of the order within each round")
    options = parser.parse_args(arguments)
    entries = options.entries or (100_000 if options.quick else 5_000_000)
    looked_up = options.keys or (20_000 if options.quick else 500_000)
    settings = Settings(options.threads, options.repeat or (2 if options.quick else 5), options.seed)
    about = machine.describe()
    report.show(machine.header(about))
    report.show(
        f"maps of {entries:,} entries, {looked_up:,} keys a thread; seeds: keys {make_keys.SEED}, order "
        f"{settings.seed}; garbage collector off while measuring; medians of {settings.rounds} rounds; wall time\n"
    )
    _warn(entries * BYTES_AN_ENTRY + looked_up * max(settings.threads) * BYTES_A_KEY)
    present = peers.find()
    maps: dict[str, Any] = {}
    results: dict[str, Found] = {}
    for row in _rows(entries, looked_up):
        if options.rows and not any(text in row.name for text in options.rows):
            continue
        print(row.name, file=sys.stderr, flush=True)
        results[row.name] = measure(row, present, settings, maps)
    if not results:
        parser.error("no row has that in its name")
    shown = _shown(results, present, settings.threads, entries)
    report.show(shown.text())
    result = {
        "kind": "bulk",
        "machine": about,
        "load_average_after": list(os.getloadavg()),
        "settings": {**vars(settings), "entries": entries, "keys": looked_up, "key_seed": make_keys.SEED, "gc": "off"},
        "rows": [{"name": name, **found.as_json()} for name, found in results.items()],
    }
    report.write(report.paths(options, "bulk"), [shown], result, _plot(results, about, settings.threads, entries))
    return 0


def _warn(needed: int) -> None:
    """Say so if the machine has less memory than the maps need: swapping measures something else."""
    free = machine.free_memory()
    if free is not None and free < needed:
        print(
            f"this takes about {needed / 1e9:.1f} GB, and {free / 1e9:.1f} are free: consider --entries",
            file=sys.stderr,
        )


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
