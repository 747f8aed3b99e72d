"""Keys for the benchmarks: made from a seed, so that a run can be repeated.

A key that a program looks up comes from its input: an object of its own, equal to the map's key and not identical to
it, and never hashed before. ``copies`` makes such keys. Looking up the map's own key objects (as literals are, being
interned) skips both the hashing and the comparison, so it is measured beside it and called "own keys".
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

__all__ = [
    "SEED",
    "byte_copies",
    "byte_strings",
    "consecutive",
    "copies",
    "integers",
    "scattered",
    "shuffled",
    "strings",
]

SEED = 20261121

_T = TypeVar("_T")


def strings(count: int, seed: int = SEED) -> list[str]:
    """Distinct random strings of 16 hexadecimal digits."""
    return [f"{number:016x}" for number in random.Random(seed).sample(range(1 << 62), count)]


def scattered(count: int, first: int = 0) -> list[str]:
    """Distinct strings of 16 digits in no order, millions of them, made without leaving garbage behind.

    They are multiples of an odd number, modulo 2**64, from the ``first``th on: other firsts, other keys.
    """
    return [f"{index * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF:016x}" for index in range(first, first + count)]


def integers(count: int, seed: int = SEED) -> list[int]:
    """Distinct random integers below 2**60, each its own hash."""
    return random.Random(seed).sample(range(1 << 60), count)


def consecutive(count: int) -> list[int]:
    """0, 1, 2 ...: what suits a ``dict`` best, whose index has them side by side."""
    return list(range(count))


def copies(keys: Sequence[str]) -> list[str]:
    """Equal strings that are not identical and that nobody has hashed yet."""
    return [key.encode().decode() for key in keys]


def byte_strings(count: int, seed: int = SEED) -> list[bytes]:
    """``strings``, as bytes: sixteen of them each."""
    return [key.encode() for key in strings(count, seed)]


def byte_copies(keys: Sequence[bytes]) -> list[bytes]:
    """``copies``, of bytes."""
    return [bytes(bytearray(key)) for key in keys]


def shuffled(items: Sequence[_T], seed: int = SEED) -> list[_T]:
    """The same objects in another order."""
    mixed = list(items)
    random.Random(seed).shuffle(mixed)
    return mixed
