"""Resident size of services with a million values."""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import asdict, dataclass

from perf import report, service
from perf.server_cost import started
from perf.server_plan import Bench, Part, names
from perf.service import OURS
from perf.session import verdict

__all__ = ["memory"]

#: shardmap's is to be at most so many, filled by ``redis-benchmark``.
MEGABYTES = 123.0
#: Its requests for each key: keys are drawn at random, so that seven of eight are there in the end.
DRAWS = 2
PIPELINE = 64


@dataclass(frozen=True)
class Sizes:
    """One server's, bytes: before, with every key, and as ``redis-benchmark`` leaves it, with so many keys."""

    empty: int
    full: int
    drawn: int
    drawn_keys: int


def memory(bench: Bench) -> Part:
    """Each server fresh, filled through a pipeline; and again, by ``redis-benchmark``."""
    sizes: defaultdict[str, list[Sizes]] = defaultdict(list)
    called: dict[str, str] = {}
    for kind in bench.turns(bench.kinds):
        with service.running(kind, bench.server_cpus) as one:
            called |= names({kind: one})
            empty = one.resident()
            one.fill_keys(bench.keys)
            full = one.resident()
        with service.running(kind, bench.server_cpus) as one:
            requests = DRAWS * bench.keys
            started(one.port, bench, "set", PIPELINE, requests, bench.client_cpus).communicate()
            sizes[kind].append(Sizes(empty, full, one.resident(), one.entries()))
    made = report.Table(
        "Resident size with entries of 16 and 64 bytes: MB (1,000,000 bytes)",
        [
            "server",
            "empty",
            f"{bench.keys:,} entries",
            "bytes an entry",
            f"after redis-benchmark -r {bench.keys} -n {DRAWS * bench.keys} (entries)",
            f"that ≤ {MEGABYTES:g} MB",
        ],
    )
    for kind in bench.kinds:
        middle = {name: statistics.median(getattr(one, name) for one in sizes[kind]) for name in Sizes.__annotations__}
        made.add(
            called[kind],
            f"{middle['empty'] / 1e6:.1f}",
            f"{middle['full'] / 1e6:.1f}",
            f"{(middle['full'] - middle['empty']) / bench.keys:.1f}",
            f"{middle['drawn'] / 1e6:.1f} ({middle['drawn_keys']:,.0f})",
            verdict(middle["drawn"] / 1e6 <= MEGABYTES) if kind == OURS else "",
        )
    found = [{"server": called[kind], "sizes": [asdict(one) for one in each]} for kind, each in sizes.items()]
    return made, found, None
