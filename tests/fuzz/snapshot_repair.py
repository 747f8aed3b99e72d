"""Mutations of snapshots that keep their checksums right: what they break is behind the first check that a reader makes.

`mutated` changes bytes and numbers at random, the numbers to such as mean something elsewhere in the file, and moves
whole parts; `repaired` makes every checksum right for what is there, and most of the times the numbers that a change of
the length has made wrong.
"""

from __future__ import annotations

import random
import struct

from shardmap._core import _xxh64

__all__ = ["mutated", "repaired"]

_MASK = (1 << 64) - 1
#: Where header, trailer and descriptor have numbers: place and bytes.
_HEADER = [(8, 4), (12, 4), (16, 8), (24, 8), (32, 8), (40, 4), (44, 4), (48, 8)]
_TRAILER = [(0, 8), (8, 8), (16, 8), (24, 8), (48, 8)]
_DESCRIPTOR = [(0, 8), (8, 8), (16, 8), (24, 4), (28, 4), (32, 8), (40, 8), (56, 8)]


def mutated(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """One to four changes of a snapshot, some of which take a part of the other one."""
    made = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 4])):
        rng.choice(_CHANGES)(made, other, rng)
    return repaired(made, rng)


def repaired(made: bytearray, rng: random.Random) -> bytes:
    """Right checksums, if there is room for header and trailer."""
    if len(made) < 128 or rng.random() < 0.02:
        return bytes(made)
    trailer = len(made) - 64
    made[:8], made[trailer + 40 : trailer + 48] = b"SHARDMAP", b"SHARDEND"
    if rng.random() < 0.9:
        _put(made, trailer + 24, 8, len(made))
    directory, sections = struct.unpack_from("<2Q", made, trailer)
    if directory + 64 * sections != trailer and rng.random() < 0.8:
        sections = min(sections, (trailer - 64) // 64, 1000)
        directory = trailer - 64 * sections
        struct.pack_into("<2Q", made, trailer, directory, sections)
    if 64 <= directory <= trailer:
        total = 0
        for at in range(directory, trailer - 63, 64):
            total += _repair_section(made, at)
        if rng.random() < 0.8:
            _put(made, trailer + 16, 8, total)
        _put(made, trailer + 32, 8, _xxh64(made[directory:trailer]))
    _put(made, 56, 8, _xxh64(made[:56]))
    _put(made, trailer + 56, 8, _xxh64(made[trailer : trailer + 56]))
    return bytes(made)


def _repair_section(made: bytearray, at: int) -> int:
    """Its checksum, if it lies within the file; its entries."""
    offset, size, entries, _, slots = struct.unpack_from("<3Q2I", made, at)
    end = offset + size + (4 * slots + 7) // 8 * 8
    if end <= len(made):
        _put(made, at + 48, 8, _xxh64(made[offset:end]))
    number: int = entries
    return number


def _put(made: bytearray, at: int, size: int, number: int) -> None:
    made[at : at + size] = (number & ((1 << 8 * size) - 1)).to_bytes(size, "little")


def _number(made: bytearray, rng: random.Random) -> int:
    """A number that is one somewhere, or near it, or at an edge of what numbers can be."""
    base = rng.choice([
        0, 8, 64, len(made), len(made) - 64, 1 << 16, 1 << 29, 1 << 31, 1 << 32, 1 << 60, 1 << 63, 1 << 64,
        rng.getrandbits(64), rng.getrandbits(8),
        int.from_bytes(made[(at := rng.randrange(0, len(made), 4)) : at + 8], "little"),
    ])  # fmt: skip
    return (base + rng.choice([0, 0, 0, 1, -1, 8, -8, 64, -64])) & _MASK


def _parts(made: bytearray) -> tuple[int, list[int]]:
    """Where the trailer is, and the descriptors."""
    trailer = max(0, len(made) - 64)
    if len(made) < 128:
        return trailer, []
    directory, sections = struct.unpack_from("<2Q", made, trailer)
    if directory + 64 * sections != trailer:
        return trailer, []
    return trailer, list(range(directory, trailer, 64))


def _change_number(made: bytearray, other: bytes, rng: random.Random) -> None:
    """One of header, trailer, descriptors."""
    trailer, descriptors = _parts(made)
    places = [(at + place, size) for at in descriptors[:20] for place, size in _DESCRIPTOR]
    places += [(trailer + place, size) for place, size in _TRAILER] + _HEADER
    at, size = rng.choice(places)
    if at + size <= len(made):
        _put(made, at, size, _number(made, rng))


def _change_word(made: bytearray, other: bytes, rng: random.Random) -> None:
    """Anywhere, so in records and indexes mostly."""
    if len(made) >= 8:
        size = rng.choice([4, 4, 8])
        _put(made, rng.randrange(0, len(made) - 7, 4), size, _number(made, rng))


def _change_bytes(made: bytearray, other: bytes, rng: random.Random) -> None:
    for _ in range(rng.choice([1, 1, 4, 16])):
        if made:
            at = rng.randrange(len(made))
            made[at] = rng.choice([made[at] ^ 1 << rng.randrange(8), rng.getrandbits(8), 0, 255])


def _insert(made: bytearray, other: bytes, rng: random.Random) -> None:
    """Words of the other one, or of this; every place behind them is another then."""
    source = rng.choice([bytes(made), other, bytes(64), b"\xff" * 64])
    start = rng.randrange(0, len(source) + 1, 8)
    at = rng.randrange(0, len(made) + 1, 8)
    made[at:at] = source[start : start + 8 * rng.choice([1, 2, 8, 30])]


def _remove(made: bytearray, other: bytes, rng: random.Random) -> None:
    at = rng.randrange(0, len(made) + 1, 8)
    del made[at : at + 8 * rng.choice([1, 1, 2, 8, 30])]


def _copy(made: bytearray, other: bytes, rng: random.Random) -> None:
    """Over what is there."""
    source = rng.choice([bytes(made), other])
    start, at = rng.randrange(0, len(source) + 1, 8), rng.randrange(0, len(made) + 1, 8)
    size = min(8 * rng.choice([1, 2, 8, 8, 30]), len(made) - at, len(source) - start)
    made[at : at + size] = source[start : start + size]


def _swap_descriptors(made: bytearray, other: bytes, rng: random.Random) -> None:
    _, descriptors = _parts(made)
    if descriptors:
        a, b = rng.choice(descriptors), rng.choice(descriptors)
        made[a : a + 64], made[b : b + 64] = made[b : b + 64], made[a : a + 64]


def _repeat_descriptor(made: bytearray, other: bytes, rng: random.Random) -> None:
    trailer, descriptors = _parts(made)
    if descriptors:
        at = rng.choice(descriptors)
        made[at:at] = made[at : at + 64]
        struct.pack_into("<Q", made, trailer + 64 + 8, len(descriptors) + 1)


_CHANGES = [
    _change_number, _change_number, _change_number, _change_word, _change_word, _change_bytes, _insert, _remove, _copy,
    _swap_descriptors, _repeat_descriptor,
]  # fmt: skip
