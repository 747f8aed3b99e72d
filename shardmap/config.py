"""Settings: an argument beats the environment, the environment beats the default.

============================ ==================================================== =====================================
variable                     meaning                                              default
============================ ==================================================== =====================================
``SHARDMAP_SHARDS``          shards of a new map: a power of two                  ``max(32, next_pow2(4 * cpus))``
``SHARDMAP_HASH_SEED``       where keys go: an integer from 0 to 2**64 - 1        random for each map
``SHARDMAP_MAX_MEMORY``      bound of a new byte map, as ``512mb``; 0: none       0
``SHARDMAP_EVICTION``        what goes when it is reached                         ``noeviction``
``SHARDMAP_GC_INTERVAL``     seconds between sweeps of expired entries; 0: never  30
============================ ==================================================== =====================================

Sizes are written as Redis writes them: ``kb``, ``mb``, ``gb`` and ``tb`` are powers of 1024, ``k``, ``m``, ``g`` and
``t`` of 1000.

The environment is read whenever a map is made without the argument, and checked once when the package is imported, so
that a bad value stops a program at its start instead of at its first map.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from shardmap.errors import ConfigError

__all__ = [
    "EVICTION_POLICIES",
    "MAX_SEED",
    "MAX_SHARDS",
    "byte_shards",
    "check_environment",
    "eviction",
    "gc_interval",
    "hash_seed",
    "max_memory",
    "parse_size",
    "set_gc_interval",
    "shards",
]

SHARDS_VARIABLE = "SHARDMAP_SHARDS"
SEED_VARIABLE = "SHARDMAP_HASH_SEED"
MEMORY_VARIABLE = "SHARDMAP_MAX_MEMORY"
EVICTION_VARIABLE = "SHARDMAP_EVICTION"
INTERVAL_VARIABLE = "SHARDMAP_GC_INTERVAL"

#: 2**16 shards: far beyond any machine's threads, and 12 MiB of shard headers at the first write.
MAX_SHARDS = 1 << 16
#: Fewer than 32 shards collide often even with a handful of threads.
MIN_DEFAULT_SHARDS = 32
#: With four shards a processor, two random writers meet in about one write of eight on two processors.
SHARDS_PER_CPU = 4
MAX_SEED = (1 << 64) - 1

#: The core's numbers of them are their places here.
EVICTION_POLICIES = ("noeviction", "allkeys-lru", "volatile-ttl")
#: Of a bound, for each shard: its header, a first region for entries and a table, and twice as much again.
MIN_SHARD_MEMORY = 64 * 1024
#: Far beyond any machine.
MAX_MEMORY = 1 << 62
DEFAULT_GC_INTERVAL = 30.0
#: A year.
MAX_GC_INTERVAL = 366 * 86400.0
#: What a server was given or told; it beats the environment.
_gc_interval: float | None = None

_UNITS = {"": 1, "b": 1}
_UNITS.update({unit: 1000**power for power, unit in enumerate("kmgt", 1)})
_UNITS.update({unit + "b": 1024**power for power, unit in enumerate("kmgt", 1)})
_SIZE = re.compile(r"\s*(\d{1,40})\s*([a-z]*)\s*", re.IGNORECASE | re.ASCII)


def shards(argument: int | None) -> int:
    """The number of shards for a new map.

    Raises :class:`TypeError` for an argument that is not an integer and :class:`ConfigError` for a number that is not
    a power of two from 1 to 65536, be it the argument or ``SHARDMAP_SHARDS``.
    """
    if argument is not None:
        return _check_shards("shards", _as_int("shards", argument))
    text = os.environ.get(SHARDS_VARIABLE)
    if text is not None:
        return _check_shards(SHARDS_VARIABLE, _parse(SHARDS_VARIABLE, text, "a power of two from 1 to 65536"))
    return min(MAX_SHARDS, max(MIN_DEFAULT_SHARDS, _next_power_of_two(SHARDS_PER_CPU * (os.cpu_count() or 1))))


def hash_seed(argument: int | None) -> int:
    """The hash seed for a new map: the argument, ``SHARDMAP_HASH_SEED``, or 64 random bits.

    Raises :class:`TypeError` for an argument that is not an integer and :class:`ConfigError` for a number outside of
    0 to 2**64 - 1.
    """
    if argument is not None:
        return _check_seed("hash_seed", _as_int("hash_seed", argument))
    text = os.environ.get(SEED_VARIABLE)
    if text is not None:
        return _check_seed(SEED_VARIABLE, _parse(SEED_VARIABLE, text, "an integer from 0 to 2**64 - 1"))
    return int.from_bytes(os.urandom(8), "little")


def capacity(argument: int) -> int:
    """The number of entries to make room for; :class:`ConfigError` when it is negative or beyond any memory."""
    number = _as_int("capacity", argument)
    if not 0 <= number < 1 << 48:
        raise ConfigError(f"capacity={number}: allowed is 0 or the number of entries to make room for, below 2**48")
    return number


def check_environment(environment: Mapping[str, str] = os.environ) -> None:
    """Raise :class:`ConfigError` if a ``SHARDMAP_`` variable of the map has a value that is not allowed."""
    if SHARDS_VARIABLE in environment:
        shards(None)
    if SEED_VARIABLE in environment:
        hash_seed(None)
    if MEMORY_VARIABLE in environment:
        max_memory(None)
    if EVICTION_VARIABLE in environment:
        eviction(None)
    if INTERVAL_VARIABLE in environment:
        gc_interval()


# -- byte maps ------------------------------------------------------------------------------------------------------


def max_memory(argument: int | str | None) -> int:
    """The bound of a new byte map in bytes, 0 for none: the argument, ``SHARDMAP_MAX_MEMORY``, or 0.

    Raises :class:`TypeError` for an argument that is neither an integer nor a string, and :class:`ConfigError` for a
    size that cannot be read, or is neither 0 nor 64 KiB at least.
    """
    if argument is None:
        text = os.environ.get(MEMORY_VARIABLE)
        return 0 if text is None else _check_memory(MEMORY_VARIABLE, text, parse_size(MEMORY_VARIABLE, text))
    if isinstance(argument, str):
        return _check_memory("max_memory", argument, parse_size("max_memory", argument))
    return _check_memory("max_memory", argument, _as_int("max_memory", argument))


def eviction(argument: str | None) -> int:
    """The eviction policy of a new byte map, as its place in ``EVICTION_POLICIES``.

    Raises :class:`ConfigError` for a name that is none.
    """
    name, text = ("eviction", argument) if argument is not None else (EVICTION_VARIABLE, None)
    if text is None:
        text = os.environ.get(EVICTION_VARIABLE, EVICTION_POLICIES[0])
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a string, not {type(text).__name__}")
    if text.strip().lower() not in EVICTION_POLICIES:
        raise ConfigError(f"{name}={text!r}: allowed is {', '.join(EVICTION_POLICIES)}")
    return EVICTION_POLICIES.index(text.strip().lower())


def set_gc_interval(seconds: float | None) -> None:
    """Let :func:`gc_interval` answer this, or what the environment says again (None)."""
    global _gc_interval  # noqa: PLW0603  # One for the process, as the thread that sweeps is.
    _gc_interval = seconds


def gc_interval() -> float:
    """Seconds between two sweeps of expired entries, 0 for none: what was set, ``SHARDMAP_GC_INTERVAL``, or 30."""
    if _gc_interval is not None:
        return _gc_interval
    text = os.environ.get(INTERVAL_VARIABLE)
    if text is None:
        return DEFAULT_GC_INTERVAL
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= MAX_GC_INTERVAL:
        raise ConfigError(f"{INTERVAL_VARIABLE}={text!r}: allowed are seconds from 0 (never) to {MAX_GC_INTERVAL:.0f}")
    return seconds


def byte_shards(argument: int | None, limit: int) -> int:
    """The number of shards for a new byte map with this bound, or without one if that is 0.

    A small bound means fewer shards, unless their number is asked for: then it is a :class:`ConfigError`.
    """
    number = shards(argument)
    most = max(1, limit // MIN_SHARD_MEMORY)
    if limit == 0 or number <= most:
        return number
    if argument is None and SHARDS_VARIABLE not in os.environ:
        return 1 << (most.bit_length() - 1)
    raise ConfigError(
        f"max_memory={limit} with shards={number}: each shard takes {MIN_SHARD_MEMORY} bytes at least; "
        f"allowed is max_memory={number * MIN_SHARD_MEMORY} or more, or shards={1 << (most.bit_length() - 1)} or fewer"
    )


def parse_size(name: str, text: str) -> int:
    """Bytes, of a number with or without a unit; *name* is for the message of the :class:`ConfigError`."""
    match = _SIZE.fullmatch(text)
    unit = _UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise ConfigError(f"{name}={text!r}: allowed are bytes, or a number with kb, mb, gb or tb, as 512mb")
    return int(match[1]) * unit


def _check_memory(name: str, given: object, size: int) -> int:
    if size == 0 or MIN_SHARD_MEMORY <= size <= MAX_MEMORY:
        return size
    raise ConfigError(f"{name}={given!r}: allowed is 0 (no bound) or {MIN_SHARD_MEMORY} to {MAX_MEMORY} bytes")


def _as_int(name: str, value: object) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}")
    return int(value.__index__())


def _parse(name: str, text: str, allowed: str) -> int:
    try:
        return int(text.strip(), 0)
    except ValueError:
        raise ConfigError(f"{name}={text!r}: allowed is {allowed}") from None


def _check_shards(name: str, number: int) -> int:
    if 1 <= number <= MAX_SHARDS and number & (number - 1) == 0:
        return number
    raise ConfigError(f"{name}={number}: allowed is a power of two from 1 to {MAX_SHARDS}; nearest: {_nearest(number)}")


def _nearest(number: int) -> str:
    if number < 1:
        return "1"
    if number > MAX_SHARDS:
        return str(MAX_SHARDS)
    above = _next_power_of_two(number)
    return f"{above // 2} or {above}"


def _check_seed(name: str, number: int) -> int:
    if 0 <= number <= MAX_SEED:
        return number
    raise ConfigError(f"{name}={number}: allowed is an integer from 0 to 2**64 - 1")


def _next_power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()
