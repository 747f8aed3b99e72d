"""Memory: bytes an entry, by the maps' own account and by what the system gives the process.

``python -m perf.memory [--quick] [--entries 1000000] [--repeat N]``

Resident size: each map is filled in a process of its own, whose keys and values exist before; what its resident size
grows by is the map's structure, with what the allocator rounds up, and the peak is what it needed on the way (a table
that is copied exists twice). By its own account: ``sys.getsizeof``, for ShardMap also ``stats()["bytes"]``. The curve
is by their own account, at sizes that rise by a sixth: both structures take memory in steps, so one size proves little.
"""

from __future__ import annotations

import argparse
import gc
import math
import statistics
import sys
from collections.abc import Callable, Sequence
from typing import Any

from perf import keys as make_keys
from perf import machine, peers, plot, process, report

__all__ = ["main"]

MEASURED = (peers.DICT, peers.SHARDMAP, peers.CEREGGII, peers.FT_UTILS)

#: Those that say what they use; the others' ``sys.getsizeof`` knows nothing of their tables.
ACCOUNTED = (peers.DICT, peers.SHARDMAP)

#: ShardMap may take this many times dict's bytes, and an empty one so many bytes.
ENTRY_TARGET, EMPTY_TARGET = 1.1, 4096

_FIRST_VALUE = 1_000_000
#: Enough to average over pages; cereggii takes one of a process's 1,024 thread-specific keys for each map.
_EMPTY_MAPS = 500


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 if it ran."""
    parser = report.parser(__doc__)
    parser.add_argument("--entries", type=int, metavar="N", help="entries of the maps (default: 1000000)")
    parser.add_argument("--child", metavar="PEER", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    entries = options.entries or (50_000 if options.quick else 1_000_000)
    if options.child:
        return process.answer(_fill(options.child, entries))
    repetitions = options.repeat or (1 if options.quick else 3)
    about = machine.describe()
    report.show(machine.header(about))
    report.show(f"{repetitions} repetitions, each map in a process of its own\n")
    found: dict[str, list[dict[str, float]]] = {}
    for _ in range(repetitions):
        for peer in MEASURED:
            print(peer, file=sys.stderr, flush=True)
            found.setdefault(peer, []).append(process.ask("memory", "--entries", entries, "--child", peer))
    curve = _curve(100_000 if options.quick else 2_000_000)
    shown = [_shown(found, entries), _shown_curve(curve)]
    for one in shown:
        report.show(one.text())
    result = {
        "kind": "memory",
        "machine": about,
        "settings": {"entries": entries, "repetitions": repetitions},
        "peers": found,
        "curve": curve,
    }
    svg = plot.lines(
        f"Bytes an entry, without keys and values, {about['interpreter']}",
        "entries",
        "bytes an entry",
        {peer: [(_log(size), used) for size, used in points] for peer, points in curve.items()},
        [(_log(size), f"{size:,}") for size in (10_000, 30_000, 100_000, 300_000, 1_000_000, 2_000_000)],
    )
    report.write(report.paths(options, "memory"), shown, result, svg)
    return 0


def _fill(name: str, entries: int) -> dict[str, float]:
    """In the child: fill one map and see what the process grew by; nothing if there is no such map."""
    make = peers.find([name])[name].make
    if make is None:
        return {}
    keys = make_keys.scattered(entries)
    values = list(range(_FIRST_VALUE, _FIRST_VALUE + entries))
    make()
    gc.collect()
    process.forget_peak()
    before = process.resident()
    m = make()
    for key, value in zip(keys, values, strict=True):
        m[key] = value
    gc.collect()
    found: dict[str, float] = {
        "resident": (process.resident() - before) / entries,
        "peak": (process.peak() - before) / entries,
    }
    several: list[Any] = [None] * _EMPTY_MAPS
    before = process.resident()
    for number in range(_EMPTY_MAPS):
        several[number] = make()
    found["empty_resident"] = (process.resident() - before) / _EMPTY_MAPS
    if name in ACCOUNTED:
        found |= {"own": sys.getsizeof(m) / entries, "empty_own": sys.getsizeof(make())}
    if name == peers.SHARDMAP:
        found["stats"] = m.stats()["bytes"] / entries
    return found


def _curve(most: int) -> dict[str, list[tuple[int, float]]]:
    """Bytes an entry by the maps' own account while they grow."""
    keys = make_keys.strings(most)
    sizes = [10_000]
    while sizes[-1] * 7 // 6 <= most:
        sizes.append(sizes[-1] * 7 // 6)
    makes: dict[str, Callable[[], Any] | None] = {name: peer.make for name, peer in peers.find(ACCOUNTED).items()}
    curve: dict[str, list[tuple[int, float]]] = {}
    for name, make in makes.items():
        if make is None:
            continue
        m, begin = make(), 0
        curve[name] = []
        for size in sizes:
            peers.fill(m, ((key, None) for key in keys[begin:size]))
            begin = size
            curve[name].append((size, sys.getsizeof(m) / size))
    return curve


def _shown(found: dict[str, list[dict[str, float]]], entries: int) -> report.Table:
    made = report.Table(
        f"Memory of {entries:,} str -> int entries without keys and values: bytes an entry",
        ["map", "own account", "stats()", "resident", "resident at the peak", "empty map, own", "empty, resident"],
    )
    middle: dict[str, dict[str, float]] = {}
    for peer, runs in found.items():
        if not runs[0]:
            made.add(peer, *["not installed"] * 6)
            continue
        middle[peer] = {what: statistics.median(run[what] for run in runs) for what in runs[0]}
        cells = [middle[peer].get(what) for what in ("own", "stats", "resident", "peak", "empty_own", "empty_resident")]
        made.add(peer, *("n/a" if cell is None else f"{cell:,.1f}" for cell in cells))
    mine, theirs = middle.get(peers.SHARDMAP), middle.get(peers.DICT)
    if mine and theirs:
        for what, text in (("own", "by their own account"), ("resident", "by resident size")):
            ratio = mine[what] / theirs[what]
            verdict = "yes" if ratio <= ENTRY_TARGET else "NO"
            made.notes.append(f"ShardMap / dict {text}: {ratio:.2f} (target {ENTRY_TARGET}: {verdict})")
        verdict = "yes" if max(mine["empty_own"], mine["empty_resident"]) <= EMPTY_TARGET else "NO"
        made.notes.append(f"An empty ShardMap takes at most {EMPTY_TARGET} bytes: {verdict}")
    return made


def _shown_curve(curve: dict[str, list[tuple[int, float]]]) -> report.Table:
    made = report.Table("Bytes an entry while growing, by their own account", ["entries", *curve, "ShardMap / dict"])
    for points in zip(*curve.values(), strict=True):
        used = {name: one for name, (_, one) in zip(curve, points, strict=True)}
        ratio = used[peers.SHARDMAP] / used[peers.DICT] if peers.SHARDMAP in used else None
        made.add(f"{points[0][0]:,}", *(f"{one:.1f}" for one in used.values()), f"{ratio:.2f}" if ratio else "")
    for name, sizes in curve.items():
        made.notes.append(f"{name}: mean over these sizes {statistics.mean(one for _, one in sizes):.1f}")
    return made


def _log(size: int) -> float:
    return math.log10(size)


if __name__ == "__main__":
    sys.exit(main())
