"""Processor time of a service an operation, under ``redis-benchmark``, by the system's account.

The requests are the client's to count, the nanoseconds the system's: what the client and other programs take is in
neither. Servers run all along, and take turns: a few in each round, so that what a shared machine does to one it does
to the others as well, and ratios are those of a round.
"""

from __future__ import annotations

import csv
import shutil
import statistics
import subprocess
from collections import defaultdict
from collections.abc import Mapping

from perf import affinity, plot, report, service
from perf.server_plan import CLIENTS, OPERATIONS, PIPELINES, Bench, Part, names
from perf.service import OURS, Service, short_name
from perf.session import verdict

__all__ = ["started", "threads", "throughput"]

#: shardmap's is to be at most: so many microseconds, and so many times that of these.
MICROSECONDS = {("get", 64): 0.50, ("set", 64): 0.60}
RATIOS = {
    ("get", 64): ("valkey", 0.9),
    ("set", 64): ("valkey", 0.6),
    ("get", 16): ("valkey", 0.9),
    ("set", 16): ("valkey", 0.7),
    ("get", 1): ("redis", 0.85),
    ("set", 1): ("redis", 0.85),
}
#: That of two threads over that of one.
THREADS_RATIO = 1.10
#: Turns of each server in a round.
TURNS = 4

#: By server, one figure of every round.
Figures = dict[str, list[float]]


def throughput(bench: Bench) -> Part:
    """Each operation with each pipeline on each server."""
    spent: defaultdict[tuple[str, int], Figures] = defaultdict(lambda: defaultdict(list))
    rates: defaultdict[tuple[str, int], Figures] = defaultdict(lambda: defaultdict(list))
    with service.all_running(bench.kinds, bench.server_cpus) as running:
        called = names(running)
        for one in running.values():
            one.fill_keys(bench.keys)
        rows = [(operation, pipeline) for pipeline in PIPELINES for operation in OPERATIONS]
        for row in bench.turns(rows):
            for kind, (cost, rate) in _side_by_side(running, bench, *row).items():
                spent[row][kind].append(cost)
                rates[row][kind].append(rate)
    made = report.Table(
        "Processor time of the server an operation: microseconds (thousand requests a second)",
        ["pipeline, operation", *(called[kind] for kind in bench.kinds), "shardmap ÷ Valkey, ÷ Redis", "target"],
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
        {
            "operation": operation,
            "pipeline": pipeline,
            "server": called[kind],
            "microseconds": costs,
            "rates": rates[operation, pipeline][kind],
        }
        for (operation, pipeline), figures in spent.items()
        for kind, costs in figures.items()
    ]
    drawn = plot.bars(
        "Processor time of the server an operation",
        "microseconds (lower is better)",
        [f"{operation.upper()}, pipeline {pipeline}" for operation, pipeline in rows],
        {short_name(kind): [statistics.median(spent[row][kind]) for row in rows] for kind in bench.kinds},
    )
    return made, found, drawn


def _side_by_side(
    running: Mapping[str, Service], bench: Bench, operation: str, pipeline: int
) -> dict[str, tuple[float, float]]:
    """Microseconds on a processor an operation, and requests a second, of each server."""
    requests = bench.requests[pipeline] // TURNS
    seconds: defaultdict[str, float] = defaultdict(float)
    took: defaultdict[str, float] = defaultdict(float)
    for _ in range(TURNS):
        for kind in bench.order.sample(list(running), len(running)):
            before = running[kind].processor_time()
            client = started(running[kind].port, bench, operation, pipeline, requests, bench.client_cpus)
            took[kind] += requests / _ended(client)
            seconds[kind] += running[kind].processor_time() - before
    total = requests * TURNS
    return {kind: (seconds[kind] * 1e6 / total, total / took[kind]) for kind in running}


def started(
    port: int,
    bench: Bench,
    operation: str,
    pipeline: int,
    requests: int,
    cpus: frozenset[int],
    clients: int = CLIENTS,
) -> subprocess.Popen[str]:
    """``redis-benchmark`` with one operation on that port, and on these processors."""
    program = shutil.which("redis-benchmark") or shutil.which("valkey-benchmark")
    if program is None:
        raise SystemExit("redis-benchmark is not here (apt install redis-tools)")
    words = ["-p", port, "-c", clients, "-n", requests, "-r", bench.keys, "-d", 64, "-P", pipeline, "-t", operation]
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


def _ratio(figures: Figures, rival: str) -> float | None:
    """The median of the rounds' ratios to the server of that name, if it is here."""
    for kind, costs in figures.items():
        if short_name(kind) == rival:
            return statistics.median(mine / theirs for mine, theirs in zip(figures[OURS], costs, strict=True))
    return None


def _ratios(figures: Figures) -> str:
    ratios = [_ratio(figures, name) for name in ("valkey", "redis")]
    return ", ".join("-" if ratio is None else f"{ratio:.2f}" for ratio in ratios)


def _kept(row: tuple[str, int], figures: Figures) -> str:
    """What is asked for, and whether it is so."""
    said = []
    if row in MICROSECONDS:
        held = statistics.median(figures[OURS]) <= MICROSECONDS[row]
        said.append(f"≤ {MICROSECONDS[row]:.2f} µs: {verdict(held)}")
    rival, most = RATIOS[row]
    ratio = _ratio(figures, rival)
    if ratio is None:
        said.append(f"{rival.title()} is not here")
    else:
        said.append(f"≤ {most:g} × {rival.title()}: {verdict(ratio <= most)}")
    return ", ".join(said)


def threads(bench: Bench) -> Part:
    """Two event loops on both processors with two clients, against one and one."""
    both = bench.server_cpus | bench.client_cpus
    costs: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
    rates: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
    pipeline, requests = PIPELINES[-1], bench.requests[PIPELINES[-1]]
    with service.running(OURS, bench.server_cpus, 1) as one, service.running(OURS, both, 2) as two:
        one.fill_keys(bench.keys)
        two.fill_keys(bench.keys)
        for operation, count in bench.turns([(operation, n) for operation in OPERATIONS for n in (1, 2)]):
            server = one if count == 1 else two
            cpus = bench.client_cpus if count == 1 else both
            before = server.processor_time()
            clients = [started(server.port, bench, operation, pipeline, requests, cpus) for _ in range(count)]
            rate = sum(_ended(client) for client in clients)
            costs[operation, count].append((server.processor_time() - before) * 1e6 / (requests * count))
            rates[operation, count].append(rate)
    made = report.Table(
        f"Two threads against one, pipeline {pipeline}: microseconds on a processor an operation (thousand requests a "
        "second)",
        ["operation", "1 thread, 1 client", "2 threads, 2 clients", "ratio", f"≤ {THREADS_RATIO:g}"],
    )
    for operation in OPERATIONS:
        middle = {count: statistics.median(costs[operation, count]) for count in (1, 2)}
        cells = [f"{middle[count]:.3f} ({statistics.median(rates[operation, count]) / 1e3:.0f})" for count in (1, 2)]
        # Within a round: the machine is another one from round to round.
        ratio = statistics.median(b / a for a, b in zip(costs[operation, 1], costs[operation, 2], strict=True))
        made.add(operation.upper(), *cells, f"{ratio:.2f}", verdict(ratio <= THREADS_RATIO))
    made.notes.append("With two threads, servers and clients share two processors, and their caches.")
    found = [
        {"operation": name, "threads": n, "microseconds": cost, "rates": rates[name, n]}
        for (name, n), cost in costs.items()
    ]
    return made, found, None
