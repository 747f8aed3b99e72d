"""What ``ShardMap.stats()`` reports."""

from __future__ import annotations

from typing import TypedDict

__all__ = ["Stats"]


class Stats(TypedDict):
    """One reading of a map's structure; shards are read one after the other, so concurrent writes may show in part."""

    #: Keys with a value.
    entries: int
    #: Shards that the map has, and those that were ever written to (the others have allocated nothing).
    shards: int
    shards_used: int
    #: Entries of the emptiest and of the fullest shard.
    shard_entries_min: int
    shard_entries_max: int
    #: One-line buckets in all tables, and the extra ones chained to full buckets.
    buckets: int
    overflow_buckets: int
    #: Entries over slots in the buckets of the tables, 0.0 to about 0.8.
    load: float
    #: Shards that are moving to another table now, and moves begun since the map was made.
    growing: int
    growths: int
    #: Keys reserved by a running callback, and threads that wait for one.
    reserved: int
    waiting: int
    #: Free-threaded builds only, else 0. Removed entries of this map whose places are not used again yet; and objects
    #: and tables that writes to all maps of the process have displaced, to be released when no reader can be looking
    #: at them any more.
    deleted: int
    retired: int
    #: Native memory: tables, entries and headers, in bytes, without the key and value objects.
    bytes: int
