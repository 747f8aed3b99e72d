"""INFO."""

from __future__ import annotations

from shardmap.service.commands.registry import Request, command
from shardmap.service.info import chosen, render
from shardmap.service.state import State

__all__ = ["info"]


@command("INFO", "[<section> [<section> ...]]")
def info(state: State, request: Request) -> bytes:
    """Return information and statistics about the server."""
    names = [argument[:64].decode("utf-8", "replace") for argument in request.arguments]
    return render(state, chosen(names)).encode("utf-8", "surrogateescape")
