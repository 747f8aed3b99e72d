"""shardmap: a concurrent map for multithreaded Python.

>>> from shardmap import ShardMap
>>> hits = ShardMap()
>>> hits.add("/index")          # atomic, however many threads do it
1
>>> hits["/index"]
1
"""

from __future__ import annotations

import atexit
from typing import TYPE_CHECKING, Any

from shardmap._core import _close, fnv1a_64
from shardmap.bytemap import ByteMap
from shardmap.diff import Diff
from shardmap.errors import ConfigError, DeadlockError, SnapshotError
from shardmap.frozen import FrozenByteMap, open_snapshot
from shardmap.map import ShardMap
from shardmap.memory import Memory
from shardmap.sentinel import MISSING, MissingType
from shardmap.stats import Stats

if TYPE_CHECKING:
    from shardmap.service.server import Server

__all__ = [
    "MISSING",
    "ByteMap",
    "ConfigError",
    "DeadlockError",
    "Diff",
    "FrozenByteMap",
    "Memory",
    "MissingType",
    "Server",
    "ShardMap",
    "SnapshotError",
    "Stats",
    "__version__",
    "fnv1a_64",
    "open_snapshot",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """``Server`` is imported when it is first asked for: most programs use maps alone."""
    if name != "Server":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from shardmap.service.server import Server  # noqa: PLC0415

    globals()[name] = Server
    return Server


# Objects that maps have displaced and not released yet end before the interpreter does.
atexit.register(_close)
