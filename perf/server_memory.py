"""Resident size of services with a million values."""

from __future__ import annotations

import statistics
from collections import defaultdict

from perf import report, service
from perf.server_plan import Bench, Part, names
from perf.service import OURS
from perf.session import verdict

__all__ = ["memory"]

#: shardmap's is to be at most so many.
MEGABYTES = 123.0


def memory(bench: Bench) -> Part:
    """Each server fresh, filled through a pipeline."""
    sizes: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    called: dict[str, str] = {}
    for kind in bench.turns(bench.kinds):
        with service.running(kind, bench.server_cpus) as one:
            before = one.resident()
            one.fill_keys(bench.keys)
            sizes[kind].append((before, one.resident()))
            called |= names({kind: one})
    made = report.Table(
        f"Resident size with {bench.keys:,} entries of 16 and 64 bytes: MB (1,000,000 bytes)",
        ["server", "before", "filled", "bytes an entry", f"filled ≤ {MEGABYTES:g} MB"],
    )
    for kind in bench.kinds:
        empty, full = (statistics.median(pair[place] for pair in sizes[kind]) for place in (0, 1))
        held = verdict(full / 1e6 <= MEGABYTES) if kind == OURS else ""
        made.add(called[kind], f"{empty / 1e6:.1f}", f"{full / 1e6:.1f}", f"{(full - empty) / bench.keys:.1f}", held)
    return made, [{"server": called[kind], "sizes": pairs} for kind, pairs in sizes.items()], None
