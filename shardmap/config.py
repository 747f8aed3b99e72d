"""Settings: an argument beats the environment, the environment beats the default.

============================ ==================================================== =====================================
variable                     meaning                                              default
============================ ==================================================== =====================================
``SHARDMAP_SHARDS``          shards of a new map: a power of two                  ``max(32, next_pow2(4 * cpus))``
``SHARDMAP_HASH_SEED``       where keys go: an integer from 0 to 2**64 - 1        random for each map
============================ ==================================================== =====================================

The environment is read whenever a map is made without the argument, and checked once when the package is imported, so
that a bad value stops a program at its start instead of at its first map.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping

from shardmap.errors import ConfigError

__all__ = ["MAX_SEED", "MAX_SHARDS", "check_environment", "hash_seed", "shards"]

SHARDS_VARIABLE = "SHARDMAP_SHARDS"
SEED_VARIABLE = "SHARDMAP_HASH_SEED"

#: 2**16 shards: far beyond any machine's threads, and 12 MiB of shard headers at the first write.
MAX_SHARDS = 1 << 16
#: Fewer than 32 shards collide often even with a handful of threads.
MIN_DEFAULT_SHARDS = 32
#: With four shards a processor, two random writers meet in about one write of eight on two processors.
SHARDS_PER_CPU = 4
MAX_SEED = (1 << 64) - 1


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
    return secrets.randbits(64)


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
