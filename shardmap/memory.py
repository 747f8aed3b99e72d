"""What ``ByteMap.memory()`` reports."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Memory"]


class Memory(NamedTuple):
    """Native memory of a byte map, in bytes; shards are read one after the other."""

    #: Keys and values.
    content: int
    #: What entries take: with their headers, each rounded up to whole words; large ones in whole cache lines.
    used: int
    #: What the map has from the system: regions for entries, tables, headers. This is what ``max_memory`` bounds.
    reserved: int
    #: Of that: tables, without the headers of shards.
    tables: int
    #: Of that: free for entries to come.
    free: int
    #: What is free but too small for any entry of the sizes in use, over what is reserved.
    fragmentation: float
    #: What an entry takes beyond its key and value: the map's whole memory in use, over the number of entries.
    overhead_per_entry: float
    #: The bound, or 0.
    max_memory: int
