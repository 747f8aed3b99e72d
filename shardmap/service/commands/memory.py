"""MEMORY STATS, DOCTOR and PURGE; MEMORY USAGE is the core's."""

from __future__ import annotations

from shardmap.service.commands.registry import Request, command
from shardmap.service.state import State, resident_memory

__all__ = ["doctor", "purge", "stats"]

#: A share that is free and too small to be used, from which on it is worth a word.
MUCH_FRAGMENTATION = 0.25


@command("MEMORY STATS", most=0)
def stats(state: State, _: Request) -> dict[bytes, object]:
    """Return information about the memory usage of the server."""
    memory = state.byte_map.memory()
    entries = len(state.byte_map)
    clients = sum(client["qbuf"] + client["omem"] for client in state.core.clients())
    return {
        b"peak.allocated": max(state.sampler.peak_memory, memory.reserved),
        b"total.allocated": memory.reserved,
        b"startup.allocated": 0,
        b"replication.backlog": 0,
        b"clients.slaves": 0,
        b"clients.normal": clients,
        b"aof.buffer": 0,
        b"db.0": {b"overhead.hashtable.main": memory.tables, b"overhead.hashtable.expires": 0},
        b"overhead.total": memory.used + memory.tables - memory.content,
        b"keys.count": entries,
        b"keys.bytes-per-key": (memory.used + memory.tables) // entries if entries else 0,
        b"dataset.bytes": memory.content,
        b"dataset.percentage": 100.0 * memory.content / memory.reserved,
        b"peak.percentage": 100.0 * memory.reserved / max(state.sampler.peak_memory, memory.reserved),
        b"allocator.allocated": memory.used + memory.tables,
        b"allocator.active": memory.reserved - memory.free,
        b"allocator.resident": memory.reserved,
        b"allocator-fragmentation.ratio": memory.fragmentation,
        b"allocator-fragmentation.bytes": int(memory.fragmentation * memory.reserved),
        b"fragmentation": 1 / (1 - min(memory.fragmentation, 0.99)),
        b"fragmentation.bytes": int(memory.fragmentation * memory.reserved),
        b"resident.bytes": resident_memory(),
    }


@command("MEMORY DOCTOR", most=0)
def doctor(state: State, _: Request) -> bytes:
    """Return memory problems reports."""
    memory = state.byte_map.memory()
    found = []
    if memory.fragmentation > MUCH_FRAGMENTATION:
        found.append(
            f"{memory.fragmentation:.0%} of the memory is free in places too small for the entries in use: their sizes "
            "have changed. MEMORY PURGE gives back what it can."
        )
    if memory.max_memory and memory.reserved > 0.9 * memory.max_memory and state.settings.eviction == "noeviction":
        found.append("The bound is nearly reached, and the policy is noeviction: writes will fail with OOM.")
    if not found:
        return b"Nothing is wrong with the memory of this instance.\n"
    return ("\n".join(found) + "\n").encode()


@command("MEMORY PURGE", most=0, slow=True)
def purge(state: State, _: Request) -> str:
    """Give memory that is not needed back to the system."""
    state.byte_map.shrink()
    return "OK"
