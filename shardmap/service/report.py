"""/state.json: what the live page shows, in one object."""

from __future__ import annotations

import time
from typing import Any

from shardmap.service.info import REDIS_VERSION
from shardmap.service.state import State, groups, resident_memory

__all__ = ["report"]

#: Cells of the heat map; with more shards, each is for several.
MOST_CELLS = 1024


def report(state: State) -> dict[str, Any]:
    """Everything, as JSON has it. Counters only grow but for RESETSTAT: whoever reads twice has rates."""
    from shardmap import __version__  # noqa: PLC0415  # The package imports this when it is whole.

    shards = state.shards()
    cells = [group for _, group in groups(shards, MOST_CELLS)]
    memory = state.byte_map.memory()
    stats = state.byte_map.stats()
    totals = state.totals(shards)
    snapshots = state.snapshots
    return {
        "version": __version__,
        "redis_version": REDIS_VERSION,
        "time": time.time(),
        "uptime": state.uptime,
        "addresses": list(state.addresses),
        "loading": state.loading,
        "threads": state.threads,
        "entries": stats["entries"],
        "expires": stats["deadlines"],
        "backlog": stats["kept"],
        "memory": {
            **memory._asdict(),
            "rss": resident_memory(),
            "peak": max(state.sampler.peak_memory, memory.reserved),
            "policy": state.settings.eviction,
        },
        "totals": totals._asdict(),
        "clients_max": state.settings.max_clients,
        "statistics": state.core.statistics(),
        "shards": {
            "number": len(shards),
            "per_cell": len(cells[0]) if cells else 1,
            "entries": [sum(shard.entries for shard in cell) for cell in cells],
            "lookups": [sum(shard.hits + shard.misses for shard in cell) for cell in cells],
            "contended": [sum(shard.contended for shard in cell) for cell in cells],
        },
        "commands": [
            {
                "name": each.name,
                "calls": each.calls,
                "microseconds": each.microseconds,
                "failed": each.failed,
                "histogram": each.histogram,
            }
            for each in state.commands()
        ],
        "snapshot": {
            "path": snapshots.path,
            "last": snapshots.last_save if snapshots.saves else None,
            "seconds": snapshots.last_seconds,
            "error": snapshots.last_error,
            "in_progress": snapshots.in_progress,
        },
        "history": state.sampler.history(),
    }
