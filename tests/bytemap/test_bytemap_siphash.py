"""Where keys go: SipHash-1-3 inside a shard, FNV-1a between shards.

SipHash is checked against a plain Python one for any number of rounds, which is itself checked with the vectors that
the authors publish for SipHash-2-4, and against CPython's own SipHash-1-3, where that is what CPython hashes with.
"""

from __future__ import annotations

import sys
from typing import Any

import pytest
from bytemaps import VARIANTS
from concurrency import new_random
from support import run_python_ok

from shardmap import ByteMap, fnv1a_64
from shardmap._core import _siphash

WORD = 2**64 - 1


def siphash(data: bytes, first: int, second: int, *, each: int, last: int) -> int:
    """SipHash-each-last as the paper (Aumasson and Bernstein, 2012) defines it."""
    v0, v1 = first ^ 0x736F6D6570736575, second ^ 0x646F72616E646F6D
    v2, v3 = first ^ 0x6C7967656E657261, second ^ 0x7465646279746573

    def rotated(word: int, bits: int) -> int:
        return (word << bits | word >> (64 - bits)) & WORD

    def rounds(count: int) -> None:
        nonlocal v0, v1, v2, v3
        for _ in range(count):
            v0, v2 = (v0 + v1) & WORD, (v2 + v3) & WORD
            v1, v3 = rotated(v1, 13) ^ v0, rotated(v3, 16) ^ v2
            v0 = rotated(v0, 32)
            v2, v0 = (v2 + v1) & WORD, (v0 + v3) & WORD
            v1, v3 = rotated(v1, 17) ^ v2, rotated(v3, 21) ^ v0
            v2 = rotated(v2, 32)

    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) % 256])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        v3 ^= word
        rounds(each)
        v0 ^= word
    v2 ^= 0xFF
    rounds(last)
    return v0 ^ v1 ^ v2 ^ v3


#: The key and the messages of the authors' vectors: 00 01 02 ...; outputs as octets, for messages of 0 to 15 octets.
KEY = (0x0706050403020100, 0x0F0E0D0C0B0A0908)
VECTORS_2_4 = [
    "310e0edd47db6f72", "fd67dc93c539f874", "5a4fa9d909806c0d", "2d7efbd796666785",
    "b7877127e09427cf", "8da699cd64557618", "cee3fe586e46c9cb", "37d1018bf50002ab",
    "6224939a79f5f593", "b0e4a90bdf82009e", "f3b9dd94c5bb5d7a", "a7ad6b22462fb3f4",
    "fbe50e86bc8f1e75", "903d84c02756ea14", "eef27a8e90ca23f7", "e545be4961ca29a1",
]  # fmt: skip


def test_the_python_version_with_the_published_vectors() -> None:
    for length, expected in enumerate(VECTORS_2_4):
        found = siphash(bytes(range(length)), *KEY, each=2, last=4)
        assert found.to_bytes(8, "little").hex() == expected
    # The example of the paper's appendix A.
    assert siphash(bytes(range(15)), *KEY, each=2, last=4) == 0xA129CA6149BE45E5


def test_against_the_python_version() -> None:
    rng = new_random()
    for length in [*range(140), 255, 256, 257, 1000, 4096]:
        for data in (rng.randbytes(length), bytes(length), b"\xff" * length):
            key = rng.choice([KEY, (0, 0), (WORD, WORD), (rng.getrandbits(64), rng.getrandbits(64))])
            assert _siphash(data, *key) == siphash(data, *key, each=1, last=3), (data, key)


@pytest.mark.skipif(sys.hash_info.algorithm != "siphash13", reason="this CPython hashes otherwise")
def test_against_cpython() -> None:
    """With PYTHONHASHSEED=0 CPython's key is zero. Its hashes are signed, -1 becomes -2, and nothing hashes to 0."""
    lengths = [*range(1, 100), 1000]
    code = f"print(*(hash(bytes(n * 7 % 256 for n in range(length))) % 2**64 for length in {lengths}))"
    found = run_python_ok(code, env={"PYTHONHASHSEED": "0"})
    for length, expected in zip(lengths, map(int, found.split()), strict=True):
        assert _siphash(bytes(n * 7 % 256 for n in range(length)), 0, 0) == expected


def test_every_bit_counts() -> None:
    """Of the message, its length and the key: of two hashes about half of the bits differ, so never few."""
    rng = new_random()
    for length in range(1, 70):
        data = rng.randbytes(length)
        first = _siphash(data, *KEY)
        for bit in range(8 * length):
            other = (int.from_bytes(data, "little") ^ 1 << bit).to_bytes(length, "little")
            assert (first ^ _siphash(other, *KEY)).bit_count() >= 8
        for bit in range(64):
            assert (first ^ _siphash(data, KEY[0] ^ 1 << bit, KEY[1])).bit_count() >= 8
            assert (first ^ _siphash(data, KEY[0], KEY[1] ^ 1 << bit)).bit_count() >= 8
        assert first != _siphash(data + b"\0", *KEY)


# -- shards -----------------------------------------------------------------------------------------------------------


def shard_by_definition(key: bytes, shards: int) -> int:
    """FNV-1a, its two halves folded together, those again."""
    route = fnv1a_64(key)
    route ^= route >> 32
    return (route ^ route >> 16) & 0xFFFF & (shards - 1)


@pytest.mark.parametrize("shards", [1, 2, 4, 32, 1024, 65536])
def test_shard_of(shards: int) -> None:
    rng = new_random()
    for seed in (0, rng.getrandbits(64)):
        m: Any = ByteMap(shards=shards, hash_seed=seed)
        for length in [*range(131), 500, 5000]:
            key = rng.randbytes(length)
            assert m.shard_of(key) == shard_by_definition(key, shards)
            assert m.shard_of(memoryview(key)) == m.shard_of(key)


def test_keys_are_where_shard_of_says() -> None:
    rng = new_random()
    for make in VARIANTS.values():
        m = make()
        m.update((rng.randbytes(rng.randrange(40)), b"") for _ in range(500))
        for index, partition in enumerate(m.partitions(m._shards)):
            assert {m.shard_of(key) for key, _ in partition} <= {index}


def test_shards_are_the_same_in_every_process() -> None:
    code = """
from shardmap import ByteMap
m = ByteMap(shards=1024)
print(*(m.shard_of(b"key %d" % number) for number in range(300)))
"""
    here = ByteMap(shards=1024, hash_seed=1)
    expected = [here.shard_of(b"key %d" % number) for number in range(300)]
    for seed in ("0", "12345"):
        found = run_python_ok(code, env={"PYTHONHASHSEED": seed, "SHARDMAP_HASH_SEED": seed})
        assert list(map(int, found.split())) == expected


def test_keys_are_spread_evenly() -> None:
    for make_key in (lambda n: b"user:%d" % n, lambda n: n.to_bytes(8, "little"), lambda n: b"%032x" % n):
        m: Any = ByteMap(((make_key(number), b"") for number in range(16_384)), shards=64)
        stats = m.stats()
        # 256 each on average, with a standard deviation of 16.
        assert 256 - 8 * 16 < stats["least_in_shard"] <= stats["most_in_shard"] < 256 + 8 * 16


def test_the_seed_decides_the_place_in_a_shard() -> None:
    """Iteration goes by the keyed hash: the same order for one seed, another one for the next."""
    orders = {}
    for seed in (0, 1, 2**64 - 1):
        orders[seed] = list(ByteMap({b"%d" % number: b"" for number in range(100)}, shards=1, hash_seed=seed))
        again = ByteMap({b"%d" % number: b"" for number in reversed(range(100))}, shards=1, hash_seed=seed)
        again.reserve(5000)
        assert set(again) == set(orders[seed])
    assert orders[0] != orders[1] != orders[2**64 - 1]


def test_keys_that_meet_in_a_shard_are_found_fast_enough() -> None:
    """A flood of keys with one route gets into one shard, and there into all its buckets: no chain is long."""
    m: Any = ByteMap(shards=32)
    flood = [key for key in (b"%d" % number for number in range(60_000)) if m.shard_of(key) == 7]
    m.update(dict.fromkeys(flood, b""))
    stats = m.stats()
    assert stats["most_in_shard"] == len(flood) > 1000
    assert stats["tables"] < len(flood) * 32
