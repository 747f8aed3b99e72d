"""The three hash functions of the snapshot format in plain Python, each from its own publication.

XXH64 (Collet, xxhash_spec.md), SipHash-1-3 (Aumasson and Bernstein, 2012, with one round for each word and three at the
end) and FNV-1a. Nothing here comes from the core, which the tests compare with this.
"""

from __future__ import annotations

import struct

__all__ = ["hash_of", "shard_of", "siphash13", "xxh64"]

_M = (1 << 64) - 1
_P1, _P2, _P3, _P4, _P5 = (
    0x9E3779B185EBCA87,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
    0x85EBCA77C2B2AE63,
    0x27D4EB2F165667C5,
)


def _rotated(word: int, bits: int) -> int:
    return (word << bits | word >> (64 - bits)) & _M


def _lane(lane: int, word: int) -> int:
    return _rotated((lane + word * _P2) & _M, 31) * _P1 & _M


def _lanes(data: bytes, size: int) -> int:
    """What the stripes of 32 bytes come to."""
    lanes = [(_P1 + _P2) & _M, _P2, 0, -_P1 & _M]
    for words in struct.iter_unpack("<4Q", data[:size]):
        lanes = [_lane(lane, word) for lane, word in zip(lanes, words, strict=True)]
    total = sum(_rotated(lane, bits) for lane, bits in zip(lanes, (1, 7, 12, 18), strict=True)) & _M
    for lane in lanes:
        total = ((total ^ _lane(0, lane)) * _P1 + _P4) & _M
    return total


def xxh64(data: bytes) -> int:
    """With seed 0."""
    at = len(data) // 32 * 32
    total = ((_lanes(data, at) if at else _P5) + len(data)) & _M
    while at + 8 <= len(data):
        total = (_rotated(total ^ _lane(0, *struct.unpack_from("<Q", data, at)), 27) * _P1 + _P4) & _M
        at += 8
    if at + 4 <= len(data):
        (word,) = struct.unpack_from("<I", data, at)
        total = (_rotated(total ^ word * _P1 & _M, 23) * _P2 + _P3) & _M
        at += 4
    for octet in data[at:]:
        total = _rotated(total ^ octet * _P5 & _M, 11) * _P1 & _M
    total = (total ^ total >> 33) * _P2 & _M
    total = (total ^ total >> 29) * _P3 & _M
    return total ^ total >> 32


def _round(a: int, b: int, c: int, d: int) -> tuple[int, int, int, int]:
    a, c = (a + b) & _M, (c + d) & _M
    b, d = _rotated(b, 13) ^ a, _rotated(d, 16) ^ c
    a, c = (_rotated(a, 32) + d) & _M, (c + b) & _M
    return a, _rotated(b, 17) ^ c, _rotated(c, 32), _rotated(d, 21) ^ a


def siphash13(data: bytes, first: int, second: int) -> int:
    """With a key of two words."""
    a, b = first ^ 0x736F6D6570736575, second ^ 0x646F72616E646F6D
    c, d = first ^ 0x6C7967656E657261, second ^ 0x7465646279746573
    padded = data + bytes(-(len(data) + 1) % 8) + bytes([len(data) & 0xFF])
    for (word,) in struct.iter_unpack("<Q", padded):
        a, b, c, d = _round(a, b, c, d ^ word)
        a ^= word
    c ^= 0xFF
    for _ in range(3):
        a, b, c, d = _round(a, b, c, d)
    return a ^ b ^ c ^ d


def shard_of(key: bytes, shards: int) -> int:
    """FNV-1a, folded."""
    state = 0xCBF29CE484222325
    for octet in key:
        state = (state ^ octet) * 0x100000001B3 & _M
    state ^= state >> 32
    return (state ^ state >> 16) & (shards - 1)


def hash_of(key: bytes, sip: tuple[int, int]) -> int:
    """The 32 bits that order records."""
    return siphash13(key, *sip) >> 16 & 0xFFFFFFFF
