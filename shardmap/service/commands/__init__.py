"""The commands that Python answers, a module for each family; importing this registers all of them."""

from shardmap.service.commands import (
    client,
    command,
    config,
    info,
    latency,
    memory,
    persistence,
    script,
    slowlog,
)
from shardmap.service.commands.registry import CommandError, Request, Then, find

__all__ = [
    "CommandError",
    "Request",
    "Then",
    "client",
    "command",
    "config",
    "find",
    "info",
    "latency",
    "memory",
    "persistence",
    "script",
    "slowlog",
]
