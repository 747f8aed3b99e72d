"""The maps that are measured, and how each of them spells an operation.

A statement is Python source in which ``m`` is the map and ``lock`` a ``threading.Lock``; ``spelled`` gives the same
statement to all peers, under the lock for "dict + Lock". An operation that a peer does not have is left out for it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata
from typing import Any

__all__ = [
    "ALL",
    "BYTEMAP",
    "BYTES",
    "CEREGGII",
    "DICT",
    "FT_UTILS",
    "LOCKED",
    "SHARDMAP",
    "Peer",
    "fill",
    "find",
    "spelled",
    "versions",
]

DICT = "dict"
LOCKED = "dict + Lock"
SHARDMAP = "ShardMap"
BYTEMAP = "ByteMap"
CEREGGII = "cereggii"
FT_UTILS = "ft_utils"

#: The columns of every table of maps of objects, in this order.
ALL = (DICT, LOCKED, SHARDMAP, CEREGGII, FT_UTILS)

#: Those of every table of maps of bytes.
BYTES = (DICT, LOCKED, BYTEMAP)

#: Where the class of a peer is: module, name in it, distribution that brings it.
_CLASSES = {
    SHARDMAP: ("shardmap", "ShardMap", "shardmap"),
    BYTEMAP: ("shardmap", "ByteMap", "shardmap"),
    CEREGGII: ("cereggii", "AtomicDict", "cereggii"),
    FT_UTILS: ("ft_utils.concurrency", "ConcurrentDict", "ft-utils"),
}

#: Their names as those of arguments.
_SHORT = {
    "dict": DICT,
    "locked": LOCKED,
    "shardmap": SHARDMAP,
    "bytemap": BYTEMAP,
    "cereggii": CEREGGII,
    "ft_utils": FT_UTILS,
}


@dataclass(frozen=True)
class Peer:
    """One measured map; ``make`` is None where it cannot be imported, and ``absence`` says why."""

    name: str
    make: Callable[[], Any] | None
    absence: str = ""


def find(names: Iterable[str] = ALL) -> dict[str, Peer]:
    """The peers of these names, by name."""
    return {name: _find(name) for name in names}


def _find(name: str) -> Peer:
    if name not in _CLASSES:
        return Peer(name, dict)
    module, attribute, distribution = _CLASSES[name]
    try:
        return Peer(name, getattr(importlib.import_module(module), attribute))
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        return Peer(name, None, "not installed" if missing == module.partition(".")[0] else f"not built: {error}")
    except ImportError as error:
        return Peer(name, None, f"does not import: {distribution}: {error}")


def versions() -> dict[str, str]:
    """The versions of the peers' distributions."""
    found = {}
    for module, _, distribution in _CLASSES.values():
        try:
            found[distribution] = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            try:
                found[distribution] = str(getattr(importlib.import_module(module), "__version__", "unknown"))
            except ImportError:
                found[distribution] = "not installed"
    return found


def fill(empty: Any, entries: Iterable[tuple[Any, Any]]) -> Any:
    """Put entries into an empty map, in the one way that all peers have."""
    for key, value in entries:
        empty[key] = value
    return empty


def spelled(statement: str, /, **exceptions: str) -> dict[str, str]:
    """The statement for every peer; ``exceptions`` by the peers' short names. An empty one leaves the peer out."""
    everyone = dict.fromkeys(_SHORT.values(), statement) | {LOCKED: f"with lock:\n    {statement}"}
    everyone |= {_SHORT[short]: source for short, source in exceptions.items()}
    return {name: source for name, source in everyone.items() if source}
