"""Where keys go: whatever pattern the keys have, they spread over the shards, and in a shard over its buckets.

A key's hash is often a plain number (``hash(n) == n``), and numbers that come from programs are patterned: strides,
multiples of powers of two, addresses. The seeds here are fixed, so each of these tests always gives the same result.
"""

from __future__ import annotations

import functools
import math
import random
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from shardmap import ShardMap

KEYS = 20_000
SHARDS = 64
SEEDS = range(100, 112)
#: More overflow buckets than this for one of the table mean that keys crowd, whatever the control says.
MANY = 0.3

#: Patterns of at most KEYS different ints whose hashes are the numbers themselves, and some other kinds of keys.
PATTERNS: dict[str, Iterable[Any]] = {
    "sequential": range(KEYS),
    "negative": range(-2, -KEYS, -1),
    **{f"stride {n}": range(0, KEYS * n, n) for n in (2, 3, 7, 10, 12, 63, 64, 65, 100, 127, 1000)},
    **{f"multiples of 2**{k}": range(0, KEYS << k, 1 << k) for k in (1, 4, 6, 8, 12, 16, 20, 24, 32, 40, 44)},
    **{f"multiples of 2**{k} plus 1": range(1, KEYS << k, 1 << k) for k in (6, 16, 32)},
    "multiples of the shards, in blocks": [SHARDS * (n % 100) + (n // 100 << 32) for n in range(KEYS)],
    "squares": [n * n for n in range(KEYS)],
    "two bit fields": [(n % 141) | (n // 141) << 40 for n in range(KEYS)],
    "addresses": range(0x7F0000000000, 0x7F0000000000 + 48 * KEYS, 48),
    "multiples of the golden ratio": [n * 0x9E3779B97F4A7C15 % (2**61 - 1) for n in range(KEYS)],
    "multiples of its inverse": [n * pow(0x9E3779B97F4A7C15, -1, 2**64) % (2**61 - 1) for n in range(KEYS)],
    "multiples of the FNV prime": [n * 0x100000001B3 for n in range(KEYS)],
    "multiples of its inverse mod 2**64": [n * pow(0x100000001B3, -1, 2**64) % (2**61 - 1) for n in range(KEYS)],
    "halves": [n / 2 for n in range(KEYS)],
    "pairs": [(n // 141, n % 141) for n in range(KEYS)],
}


def chi_square(counts: Iterable[int], cells: int) -> float:
    """About as much as there are cells for random keys; cells times keys at worst."""
    tally = list(counts)
    expected = sum(tally) / cells
    return sum((count - expected) ** 2 / expected for count in tally) + (cells - len(tally)) * expected


def assert_spread(counts: Iterable[int], cells: int, what: object) -> None:
    """A light hash leaves a little of a pattern; what matters is that no shard serves much more than its share."""
    tally = list(counts)
    assert chi_square(tally, cells) < 6 * cells + 20, what
    if sum(tally) >= 200 * cells:
        assert max(tally) < 2 * sum(tally) / cells, what


@pytest.mark.parametrize("pattern", PATTERNS)
def test_over_the_shards(pattern: str) -> None:
    keys = list(PATTERNS[pattern])
    for seed in SEEDS:
        m: ShardMap[Any, int] = ShardMap(shards=SHARDS, hash_seed=seed)
        assert_spread(Counter(map(m.shard_of, keys)).values(), SHARDS, f"seed {seed}")


@pytest.mark.parametrize("shards", [2, 4, 32, 1024])
def test_over_other_numbers_of_shards(shards: int) -> None:
    for seed in SEEDS:
        m: ShardMap[int, int] = ShardMap(shards=shards, hash_seed=seed)
        for k in (0, 1, int(math.log2(shards)), 20, 40):
            counts = Counter(m.shard_of(number << k) for number in range(KEYS))
            assert_spread(counts.values(), shards, f"seed {seed}, multiples of 2**{k}")


def overflow(keys: Iterable[Any], seed: int, shards: int) -> float:
    """Overflow buckets for one bucket of the table, in a map of these keys."""
    m: ShardMap[Any, None] = ShardMap(shards=shards, hash_seed=seed)
    m.set_many((key, None) for key in keys)
    m._check()
    stats = m.stats()
    return stats["overflow_buckets"] / stats["buckets"]


@functools.cache
def usual_overflow(seed: int, shards: int) -> float:
    """The control: as many keys with random hashes. Even they need some overflow buckets where the table is full."""
    rng = random.Random(1)
    return overflow([rng.randrange(2**61 - 1) for _ in range(KEYS)], seed, shards)


@pytest.mark.parametrize("shards", [1, 16])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_over_the_buckets(pattern: str, shards: int) -> None:
    keys = list(PATTERNS[pattern])
    for seed in SEEDS:
        found, usual = overflow(keys, seed, shards), usual_overflow(seed, shards)
        assert found <= min(2 * usual + 0.05, MANY), (
            f"seed {seed}: {found:.3f} overflow buckets a bucket, usual {usual:.3f}"
        )


@pytest.mark.parametrize("k", [0, 6, 16, 32])
def test_keys_of_one_shard_spread_over_its_buckets(k: int) -> None:
    """The bits that choose the shard are of no use for choosing the bucket."""
    rng = random.Random(2)
    candidates = rng.sample(range(2**60), 100_000)
    for seed in list(SEEDS)[:5]:
        m: ShardMap[int, None] = ShardMap(shards=16, hash_seed=seed)
        keys = [n << k for n in range(100_000) if m.shard_of(n << k) == 5]
        control = [n for n in candidates if m.shard_of(n) == 5]
        found, usual = overflow(keys, seed, 16), overflow(control, seed, 16)
        assert found <= min(2 * usual + 0.05, MANY), f"seed {seed}: {found:.3f} overflow buckets, usual {usual:.3f}"


def test_a_seed_repeats_and_another_differs() -> None:
    keys = range(0, 64_000, 64)

    def places(seed: int) -> list[int]:
        m: ShardMap[int, int] = ShardMap(shards=SHARDS, hash_seed=seed)
        return [m.shard_of(key) for key in keys]

    for seed in (0, 1, 2**63, 2**64 - 1):
        assert places(seed) == places(seed)
    for one, other in [(0, 1), (0, 2**63), (1, 2**32 + 1), (2**64 - 2, 2**64 - 1)]:
        same = sum(a == b for a, b in zip(places(one), places(other), strict=True))
        # By chance one key in SHARDS stays where it was.
        assert same < 3 * len(keys) / SHARDS, (one, other)


def test_iteration_order_repeats_with_the_seed() -> None:
    def order(seed: int) -> list[int]:
        return list(ShardMap(((n, n) for n in range(1000)), shards=8, hash_seed=seed))

    assert order(5) == order(5)
    assert order(5) != order(6)


def test_maps_without_a_seed_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHARDMAP_HASH_SEED", raising=False)
    keys = range(1000)
    places: list[Callable[[int], int]] = [ShardMap[int, int](shards=SHARDS).shard_of for _ in range(2)]
    assert [places[0](key) for key in keys] != [places[1](key) for key in keys]


@pytest.mark.parametrize("known_seed", range(6))
def test_chosen_keys_of_one_map_spread_in_another(known_seed: int) -> None:
    """Keys picked because they meet in one shard of a map with a known seed are harmless in maps with others."""
    known: ShardMap[int, int] = ShardMap(shards=SHARDS, hash_seed=known_seed)
    flood = [n for n in range(200_000) if known.shard_of(n) == 0]
    for seed in range(10, 60):
        other: ShardMap[int, int] = ShardMap(shards=SHARDS, hash_seed=seed)
        fullest = max(Counter(map(other.shard_of, flood)).values())
        assert fullest < 4 * len(flood) / SHARDS, f"seed {seed}: {fullest} of {len(flood)} keys in one shard"
