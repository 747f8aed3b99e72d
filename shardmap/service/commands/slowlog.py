"""SLOWLOG: the commands that took long."""

from __future__ import annotations

from shardmap.service.commands.registry import CommandError, Request, command, integer
from shardmap.service.state import State

__all__ = ["get", "len_", "reset"]

#: What GET returns unless it is told.
DEFAULT = 10


@command("SLOWLOG GET", "[<count>]", most=1)
def get(state: State, request: Request) -> list[list[object]]:
    """Return top <count> entries from the slowlog (default: 10, -1 means all)."""
    count = DEFAULT
    if request.arguments:
        count = integer(request.arguments[0])
        if count < -1:
            raise CommandError("ERR count should be greater than or equal to -1")
    entries = state.core.slow_log()
    return [
        [number, int(when), microseconds, arguments, address.encode(), name.encode()]
        for number, when, microseconds, arguments, address, name in entries[: None if count == -1 else count]
    ]


@command("SLOWLOG LEN", most=0)
def len_(state: State, _: Request) -> int:
    """Return the length of the slowlog."""
    return len(state.core.slow_log())


@command("SLOWLOG RESET", most=0)
def reset(state: State, _: Request) -> str:
    """Reset the slowlog."""
    state.core.slow_log_reset()
    return "OK"
