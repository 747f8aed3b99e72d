"""The exceptions that shardmap adds to Python's own."""

from __future__ import annotations

__all__ = ["ConfigError", "DeadlockError", "SnapshotError"]


class ConfigError(ValueError):
    """A setting has a value that is not allowed; the message names the setting, the value and what is allowed."""


class DeadlockError(RuntimeError):
    """Waiting for a key would never end: the threads' ``compute`` callbacks wait for each other's keys in a circle.

    It is raised in one of these threads; that one's reservation is released, which lets the others go on.
    """


class SnapshotError(ValueError):
    """A file is no snapshot, or a damaged one. Nothing has been loaded from it."""

    def __init__(self, path: str, offset: int, reason: str) -> None:
        super().__init__(path, offset, reason)
        #: The file.
        self.path = path
        #: Where in it, in bytes.
        self.offset = offset
        #: What is wrong there.
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: at byte {self.offset}: {self.reason}"
