"""Byte maps for tests: variants whose rare paths are the usual ones, and what lets a time to live pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from concurrency import new_random

from shardmap import ByteMap, config

__all__ = ["LONG", "SHORT", "VARIANTS", "AnyMap", "outlive", "pairs", "pass_away", "policy", "stressed"]

#: Tests misuse the map on purpose, so they ask for no types; ``tests/typing`` has samples that do.
AnyMap: TypeAlias = Any

#: Seconds that no test lives to see the end of, and as few as a time to live can have.
LONG = 5000.0
SHORT = 0.001


def policy(name: str) -> int:
    """The core's number of an eviction policy."""
    return config.EVICTION_POLICIES.index(name)


def stressed(slots: int, *, shards: int = 1, limit: int = 0, eviction: str = "noeviction") -> AnyMap:
    """A map whose buckets have only *slots* slots and overflow at once, and whose tables are always on the move."""
    made: AnyMap = ByteMap.__new__(ByteMap)
    made._configure(shards, new_random().getrandbits(64), limit, policy(eviction), 0, slots, 1, True)
    return made


#: The maps that tests run on, by name.
VARIANTS: dict[str, Callable[[], AnyMap]] = {
    "default": lambda: ByteMap(hash_seed=new_random().getrandbits(64)),
    "one-shard": lambda: ByteMap(shards=1, hash_seed=new_random().getrandbits(64)),
    "stressed": lambda: stressed(2, shards=4),
    "stressed-one-shard": lambda: stressed(1),
    # Room enough for every test; but what is large is so from 1 KiB on.
    "bounded": lambda: ByteMap(max_memory="16mb", shards=256, hash_seed=new_random().getrandbits(64)),
}


def pairs(count: int) -> list[tuple[bytes, bytes]]:
    """So many different keys, each with a value of its own."""
    return [(b"key %d" % number, b"value %d" % number) for number in range(count)]


def outlive() -> None:
    """Return when whatever got `SHORT` to live is due; the core counts in whole milliseconds."""
    time.sleep(3 * SHORT)


def pass_away(m: AnyMap, keys: Iterable[Any]) -> None:
    """Let the time of these keys, which are present, be over."""
    for key in keys:
        assert m.expire(key, SHORT)
    outlive()
