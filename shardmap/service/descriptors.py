"""Room for as many connections as clients are allowed: each takes a descriptor, and the system limits them."""

from __future__ import annotations

import logging
import resource

__all__ = ["make_room"]

#: For listeners, the loops' own, snapshots, the page, and what an application around the server has open.
RESERVED = 128

_log = logging.getLogger(__name__)


def make_room(max_clients: int) -> int:
    """Raise the process's limit for so many clients, as far as it may; for how many there is room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max_clients + RESERVED
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return max_clients
    reached = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (reached, hard))
    except (OSError, ValueError):
        reached = soft
    room = max(1, reached - RESERVED)
    if room < max_clients:
        _log.warning(
            "max_clients=%d needs %d open files and the limit is %d: at most %d clients (ulimit -n raises it)",
            max_clients,
            wanted,
            reached,
            room,
        )
    return min(room, max_clients)
