"""``byte_map[k]`` by a thread of the application, while the service in the same process is under full load.

The application is a process of its own, this file with ``--application``: a map, a `shardmap.Server` on it with one
loop, and a thread that does what it is told on its standard input. ``redis-benchmark`` loads the service meanwhile, as
hard as it can. Throughput is of a loop without clocks; latencies are of one with, which adds what two looks at the
clock take.
"""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import time
from collections import defaultdict

from perf import affinity, report
from perf.histogram import Histogram
from perf.server_cost import started
from perf.server_plan import Bench, Part
from shardmap import ByteMap, Server

__all__ = ["inside"]

VALUE = b"v" * 64
#: Of the service's load.
PIPELINE = 16
#: What the service is asked for meanwhile.
LOADS = ("none", "get", "set")
OPERATIONS = ("byte_map[k]", "byte_map[k] = v")
SHARES = (50.0, 99.0, 99.9)
#: Operations between two looks at whether the time is over.
BATCH = 2000
SECONDS, QUICK_SECONDS = 2.0, 0.2


def inside(bench: Bench) -> Part:
    """Each operation under each load."""
    found: defaultdict[tuple[str, str], list[dict[str, float]]] = defaultdict(list)
    seconds = SECONDS if bench.rounds > 1 else QUICK_SECONDS
    command = [sys.executable, "-m", "perf.server_inside", "--application", str(bench.keys), str(seconds)]
    with affinity.on(bench.server_cpus | bench.client_cpus):
        application = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with application:
        assert application.stdin is not None
        assert application.stdout is not None
        port = int(application.stdout.readline())
        for load, operation in bench.turns([(load, operation) for load in LOADS for operation in OPERATIONS]):
            # More requests than there is time for: it is ended.
            client = None if load == "none" else started(port, bench, load, PIPELINE, 1 << 30, bench.client_cpus)
            print(operation, file=application.stdin, flush=True)
            found[load, operation].append(json.loads(application.stdout.readline()))
            if client is not None:
                client.kill()
                client.communicate()
        application.stdin.close()
    made = report.Table(
        f"A thread of the application, {bench.keys:,} keys in random order, while the service is loaded",
        ["load, operation", "operations a second", *(f"{share:g}% (µs)" for share in SHARES), "longest (ms)"],
    )
    for (load, operation), rounds in sorted(found.items()):
        middle = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
        made.add(
            f"{load.upper() if load != 'none' else 'no load'}, {operation}",
            f"{middle['rate']:,.0f}",
            *(f"{middle[f'{share:g}']:.1f}" for share in SHARES),
            f"{middle['longest'] / 1e3:.2f}",
        )
    made.notes.append("Application, service and client share the processors, of which there may be two.")
    return (
        made,
        [{"load": load, "operation": operation, "rounds": found[load, operation]} for load, operation in found],
        None,
    )


def application(keys: int, seconds: float) -> None:
    """Serve, and measure what is asked for, line by line."""
    byte_map = ByteMap((b"key:%012d" % number, VALUE) for number in range(keys))
    with Server(byte_map, port=0, threads=1) as server:
        print(server.port, flush=True)
        for line in sys.stdin:
            print(json.dumps(measured(byte_map, line.strip(), keys, seconds)), flush=True)


def measured(byte_map: ByteMap, operation: str, keys: int, seconds: float) -> dict[str, float]:
    """Operations a second; microseconds of single ones."""
    times = Histogram()
    done, ends = 0, time.perf_counter() + seconds / 2
    spent = 0.0
    while time.perf_counter() < ends:
        asked = _keys(keys)
        begin = time.perf_counter()
        if operation == "byte_map[k]":
            for key in asked:
                byte_map[key]
        else:
            for key in asked:
                byte_map[key] = VALUE
        spent += time.perf_counter() - begin
        done += BATCH
    ends = time.perf_counter() + seconds / 2
    while time.perf_counter() < ends:
        for taken in _timed(byte_map, operation, _keys(keys)):
            times.record(taken / 1e9)
    shares = {f"{share:g}": times.percentile(share) * 1e6 for share in SHARES}
    return {"rate": done / spent, **shares, "longest": times.longest * 1e6}


def _keys(keys: int) -> list[bytes]:
    return [b"key:%012d" % random.randrange(keys) for _ in range(BATCH)]


def _timed(byte_map: ByteMap, operation: str, asked: list[bytes]) -> list[int]:
    """Nanoseconds of each."""
    clock = time.perf_counter_ns
    times = []
    for key in asked:
        begin = clock()
        if operation == "byte_map[k]":
            byte_map[key]
        else:
            byte_map[key] = VALUE
        times.append(clock() - begin)
    return times


if __name__ == "__main__":
    application(int(sys.argv[2]), float(sys.argv[3]))
