"""The exceptions that shardmap adds to Python's own."""

from __future__ import annotations

__all__ = ["ConfigError", "DeadlockError"]


class ConfigError(ValueError):
    """A setting has a value that is not allowed; the message names the setting, the value and what is allowed."""


class DeadlockError(RuntimeError):
    """Waiting for a key would never end: the threads' ``compute`` callbacks wait for each other's keys in a circle.

    It is raised in one of these threads; that one's reservation is released, which lets the others go on.
    """
