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
from shardmap.diff import Diff
from shardmap.errors import ConfigError, DeadlockError
from shardmap.map import ShardMap
from shardmap.sentinel import MISSING, MissingType
from shardmap.stats import Stats

__all__ = [
    "MISSING",
    "ConfigError",
    "DeadlockError",
    "Diff",
    "MissingType",
    "ShardMap",
    "Stats",
    "__version__",
    "fnv1a_64",
]

__version__ = "0.1.0"

# Objects that maps have displaced and not released yet end before the interpreter does.
atexit.register(_close)
