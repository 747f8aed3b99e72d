"""shardmap: a concurrent map for multithreaded Python.

>>> from shardmap import ShardMap
>>> hits = ShardMap()
>>> hits.add("/index")          # atomic, however many threads do it
1
>>> hits["/index"]
1
"""

import atexit

from shardmap._core import _close, fnv1a_64
from shardmap.bytemap import ByteMap
from shardmap.diff import Diff
from shardmap.errors import ConfigError, DeadlockError, SnapshotError
from shardmap.frozen import FrozenByteMap, open_snapshot
from shardmap.map import ShardMap
from shardmap.memory import Memory
from shardmap.sentinel import MISSING, MissingType
from shardmap.stats import Stats

__all__ = [
    "MISSING",
    "ByteMap",
    "ConfigError",
    "DeadlockError",
    "Diff",
    "FrozenByteMap",
    "Memory",
    "MissingType",
    "ShardMap",
    "SnapshotError",
    "Stats",
    "__version__",
    "fnv1a_64",
    "open_snapshot",
]

__version__ = "0.1.0"

# Objects that maps have displaced and not released yet end before the interpreter does.
atexit.register(_close)
