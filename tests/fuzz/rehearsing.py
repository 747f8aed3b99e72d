"""A rehearsal of the service on a store, for those targets that ask what clients send."""

from __future__ import annotations

from typing import Any

from shardmap import ByteMap
from shardmap._core import CoreServer, Rehearsal

__all__ = ["rehearsal"]


def rehearsal(byte_map: ByteMap, *, max_bulk: int, max_arguments: int) -> Any:
    """With these limits of an argument's bytes and a command's arguments; without a password or deadlines."""
    core = CoreServer(byte_map, threads=1)
    core.configure(
        password=b"",
        max_clients=10,
        max_bulk=max_bulk,
        max_arguments=max_arguments,
        max_query=1 << 20,
        max_output=1 << 20,
        idle_timeout=0,
        request_timeout=0,
        slow_log_threshold=0,
        slow_log_length=4,
    )
    return Rehearsal(core)
