"""Processor time of a service an operation, under ``redis-benchmark``, by the system's account.

The requests are the client's to count, the nanoseconds the system's: what the client and other programs take is in
neither. Servers run all along, and take turns.
"""

from __future__ import annotations

import csv
import shutil
import statistics
import subprocess
from collections import defaultdict

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
        for operation, pipeline, kind in bench.turns([(*row, kind) for row in rows for kind in bench.kinds]):
            cost, rate = _measured(running[kind], bench, operation, pipeline)
            spent[operation, pipeline][kind].append(cost)
            rates[operation, pipeline][kind].append(rate)
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


def _measured(one: Service, bench: Bench, operation: str, pipeline: int) -> tuple[float, float]:
    """Microseconds on a processor an operation, and requests a second."""
    requests = bench.requests[pipeline]
    before = one.processor_time()
    rate = _ended(started(one.port, bench, operation, pipeline, requests, bench.client_cpus))
    return (one.processor_time() - before) * 1e6 / requests, rate


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
        ratio = middle[2] / middle[1]
        made.add(operation.upper(), *cells, f"{ratio:.2f}", verdict(ratio <= THREADS_RATIO))
    made.notes.append("With two threads, servers and clients share two processors, and their caches.")
    found = [
        {"operation": name, "threads": n, "microseconds": cost, "rates": rates[name, n]}
        for (name, n), cost in costs.items()
    ]
    return made, found, None
