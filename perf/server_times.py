"""How long a client waits for one request of a service: under a steady load, and while the table grows.

Requests come from ``perf/paced.c``. The machine's own hiccups are in all figures, of all servers alike.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from perf import paced, plot, report, service
from perf.distribution import SHARE_LABELS
from perf.histogram import SHOWN, Histogram
from perf.server_plan import CLIENTS, OPERATIONS, Bench, Part, names
from perf.service import OURS, Service, short_name
from perf.session import verdict

__all__ = ["growth", "latency"]

#: The load: the share of its time that Redis needs for the requests, if each costs what it costs at a low rate.
LOAD, LOW_RATE = 0.7, 20_000.0
#: The longest stall over Redis's.
STALL_RATIO = 0.2

#: Of each round one, by operation and server.
Times = Mapping[tuple[str, str], Sequence[Histogram]]


def latency(bench: Bench) -> Part:
    """One request at a time on each connection, at the rate that is a load of 70% for Redis."""
    times: defaultdict[tuple[str, str], list[Histogram]] = defaultdict(list)
    found = []
    with service.all_running(bench.kinds, bench.server_cpus) as running, paced.compiled(bench.client_cpus) as client:
        called = names(running)
        for one in running.values():
            one.fill_keys(bench.keys)
        # Where there is no Redis, another one.
        measure = next((kind for kind in bench.kinds if short_name(kind) == "redis"), bench.kinds[-1])

        def run(kind: str, operation: str, rate: float = 0) -> paced.Timed:
            port = running[kind].port
            return client.run(port, CLIENTS, requests=bench.timed, operation=operation, keys=bench.keys, rate=rate)

        rates = {operation: _loading(running[measure], partial(run, measure, operation)) for operation in OPERATIONS}
        for operation, kind in bench.turns([(operation, kind) for operation in OPERATIONS for kind in bench.kinds]):
            timed = run(kind, operation, rates[operation])
            times[operation, kind].append(timed.times)
            found.append(
                {"operation": operation, "server": called[kind], "rate": timed.rate, **timed.times.described()}
            )
    made = report.Table(
        f"One request at a time, at {LOAD:.0%} load for {short_name(measure).title()}: microseconds",
        ["operation, server", "requests a second", *(f"{share:g}%" for share in SHOWN), "longest", "99% ≤ Redis's"],
    )
    for operation, kind in [(operation, kind) for operation in OPERATIONS for kind in bench.kinds]:
        rounds = times[operation, kind]
        limit = _middle(times[operation, measure], 99) if kind == OURS and measure != OURS else None
        held = "" if limit is None else verdict(_middle(rounds, 99) <= limit)
        made.add(f"{operation.upper()}, {called[kind]}", f"{rates[operation]:,.0f}", *_percentiles(rounds), held)
    return made, found, _curves("latency at pipeline 1", times, "get")


def _loading(server: Service, run: Callable[[float], paced.Timed]) -> float:
    """The requests a second that are this load for the server; ``run`` sends at a rate.

    By its processor time, which other programs do not stretch. At higher rates a request costs less, since several are
    there at once, so the true load is a little lower.
    """
    before = server.processor_time()
    timed = run(LOW_RATE)
    return LOAD * timed.times.count / (server.processor_time() - before)


def _middle(rounds: Sequence[Histogram], share: float) -> float:
    """The median over the rounds of a percentile, in microseconds."""
    return statistics.median(one.percentile(share) for one in rounds) * 1e6


def _percentiles(rounds: Sequence[Histogram]) -> list[str]:
    longest = statistics.median(one.longest for one in rounds) * 1e6
    return [*(f"{_middle(rounds, share):.0f}" for share in SHOWN), f"{longest:.0f}"]


def _curves(what: str, times: Times, operation: str) -> bytes | None:
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


def growth(bench: Bench) -> Part:
    """Every single SET from nothing to millions of keys."""
    times: defaultdict[tuple[str, str], list[Histogram]] = defaultdict(list)
    silences: defaultdict[str, list[Sequence[float]]] = defaultdict(list)
    found = []
    with service.all_running(bench.kinds, bench.server_cpus) as running, paced.compiled(bench.client_cpus) as client:
        called = names(running)
        for kind in bench.turns(bench.kinds):
            port = running[kind].port
            one = client.run(port, CLIENTS, requests=bench.grown, operation="set", keys=bench.grown, ordered=True)
            times["set", kind].append(one.times)
            silences[kind].append(one.silences)
            figures = {"longest_at": one.longest_at, "silences": one.silences, **one.times.described()}
            found.append({"server": called[kind], "rate": one.rate, **figures})
            running[kind].empty()
    made = report.Table(
        f"One SET, growing from nothing to {bench.grown:,} keys: microseconds",
        ["server", *(f"{share:g}%" for share in SHOWN), "longest", "stall", f"that ≤ {STALL_RATIO:g} × Redis's"],
    )
    stall = {kind: _stall(rounds) for kind, rounds in silences.items()}
    redis = next((stall[kind] for kind in bench.kinds if short_name(kind) == "redis"), None)
    for kind in bench.kinds:
        held = ""
        if kind == OURS and redis is not None:
            held = f"{verdict(stall[kind] <= STALL_RATIO * redis)} {stall[kind] / redis:.2f}"
        made.add(called[kind], *_percentiles(times["set", kind]), f"{stall[kind] * 1e6:.0f}", held)
    made.notes += [
        "Servers on one processor, and the client on another: a longest time is the machine's, too.",
        (
            "stall: the longest time without a reply to any client, where each round has one as long within the same "
            "10,000 requests, as a server has when it grows, and a machine hardly ever."
        ),
    ]
    return made, found, _curves("growing from nothing", times, "set")


def _stall(rounds: Sequence[Sequence[float]]) -> float:
    """The longest silence that there is in every round at the same place, in seconds.

    Keys come in the same order in each round, so what a server does at a number of keys is there each time, and what
    the machine does is not. What a server does by the clock is there if it does so often enough.
    """
    return max(min(place) for place in zip(*rounds, strict=True))
