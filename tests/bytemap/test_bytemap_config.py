"""Options and environment variables of byte maps: what is allowed, what beats what, what the errors say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from bytemaps import pairs
from support import run_python, run_python_ok

from shardmap import ByteMap, ConfigError, config

VARIABLES = (
    "SHARDMAP_SHARDS", "SHARDMAP_HASH_SEED", "SHARDMAP_MAX_MEMORY", "SHARDMAP_EVICTION", "SHARDMAP_GC_INTERVAL"
)  # fmt: skip
MIB = 1 << 20


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


def refused(make: Callable[[], object], *parts: str) -> None:
    """The call raises a ConfigError whose message has all these parts."""
    with pytest.raises(ConfigError) as caught:
        make()
    for part in parts:
        assert part in str(caught.value)


# -- max_memory -------------------------------------------------------------------------------------------------------

SIZES = [
    ("0", 0), ("65536", 65536), ("64kb", 65536), ("512kb", 512 * 1024), ("2mb", 2 * MIB), ("2MB", 2 * MIB),
    (" 2 mb ", 2 * MIB), ("2mb\n", 2 * MIB), ("1gb", 1 << 30), ("1tb", 1 << 40), ("70k", 70_000), ("2m", 2_000_000),
    ("1g", 10**9), ("1t", 10**12), ("100000b", 100_000), ("100000", 100_000), ("000002mb", 2 * MIB),
    ("4194304tb", 1 << 62), ("0mb", 0),
]  # fmt: skip
NO_SIZES = [
    "", " ", "abc", "mb", "1.5gb", "1,5gb", "-1", "-1mb", "+1mb", "1 000 000", "1e6", "0x100000", "1_000_000", "2mib",
    "2 m b", "2mbb", "2pb", "2kk", "½mb", "\uff12mb", "None", "2mb;", "9" * 5000, "9" * 5000 + "mb",
]  # fmt: skip
BAD_SIZES = [1, 1024, 65535, (1 << 62) + 1, 1 << 64, 10**30, -1, -65536]


@pytest.mark.parametrize(("text", "expected"), SIZES)
def test_good_sizes(monkeypatch: pytest.MonkeyPatch, text: str, expected: int) -> None:
    m = ByteMap(max_memory=text)
    assert m.memory().max_memory == expected
    monkeypatch.setenv("SHARDMAP_MAX_MEMORY", text)
    assert ByteMap().memory().max_memory == expected
    assert ByteMap(max_memory=expected).memory().max_memory == expected
    m[b"k"] = b"v"
    assert m == {b"k": b"v"}


@pytest.mark.parametrize("text", NO_SIZES, ids=lambda text: repr(text)[:20])
def test_what_is_no_size(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    parts = (repr(text)[:40], "number with kb, mb, gb or tb", "512mb")
    refused(lambda: ByteMap(max_memory=text), "max_memory=", *parts)
    monkeypatch.setenv("SHARDMAP_MAX_MEMORY", text)
    for make in (ByteMap, lambda: ByteMap(pairs(1)), config.check_environment):
        refused(make, "SHARDMAP_MAX_MEMORY=", *parts)


@pytest.mark.parametrize("size", BAD_SIZES)
def test_sizes_out_of_range(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    refused(lambda: ByteMap(max_memory=size), f"max_memory={size}", "0 (no bound) or 65536 to 4611686018427387904")
    if size > 0:
        monkeypatch.setenv("SHARDMAP_MAX_MEMORY", str(size))
        refused(ByteMap, f"SHARDMAP_MAX_MEMORY='{size}'", "0 (no bound) or 65536")


@pytest.mark.parametrize("bad", [1e6, 2.0 * MIB, True, False, b"2mb", [MIB], object()], ids=repr)
def test_sizes_of_the_wrong_type(bad: Any) -> None:
    with pytest.raises(TypeError, match="max_memory"):
        ByteMap(max_memory=bad)


def test_no_bound_by_default() -> None:
    m = ByteMap()
    assert (m.memory().max_memory, m._limit) == (0, 0)
    m.update((b"%d" % number, bytes(100_000)) for number in range(100))
    assert len(m) == 100


# -- eviction ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "number"), [("noeviction", 0), ("allkeys-lru", 1), ("volatile-ttl", 2)])
def test_good_policies(monkeypatch: pytest.MonkeyPatch, text: str, number: int) -> None:
    for spelling in (text, text.upper(), f" {text}\n"):
        assert ByteMap(eviction=spelling)._policy == number
        monkeypatch.setenv("SHARDMAP_EVICTION", spelling)
        assert ByteMap()._policy == number
    assert ByteMap(eviction="noeviction")._policy == 0


@pytest.mark.parametrize("text", ["", "lru", "allkeys_lru", "allkeys-lfu", "volatile-lru", "none", "0"])
def test_bad_policies(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    allowed = "allowed is noeviction, allkeys-lru, volatile-ttl"
    refused(lambda: ByteMap(eviction=text), f"eviction={text!r}", allowed)
    monkeypatch.setenv("SHARDMAP_EVICTION", text)
    for make in (ByteMap, lambda: ByteMap.fromkeys([b"k"]), config.check_environment):
        refused(make, f"SHARDMAP_EVICTION={text!r}", allowed)


@pytest.mark.parametrize("bad", [0, 1, b"noeviction", True, ["noeviction"]])
def test_policies_of_the_wrong_type(bad: Any) -> None:
    with pytest.raises(TypeError, match="eviction must be a string"):
        ByteMap(eviction=bad)


# -- shards and bounds ------------------------------------------------------------------------------------------------


def test_a_small_bound_means_fewer_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    for size, shards in [(64, 1), (127, 1), (128, 2), (255, 2), (256, 4), (2048, 32), (1 << 20, 32)]:
        m = ByteMap(max_memory=size * 1024)
        assert m._shards == shards
        m[b"k"] = b"v"
        assert m.memory().reserved <= size * 1024


@pytest.mark.parametrize(("size", "shards"), [(64, 1), (128, 2), (256, 4), (4096, 64)])
def test_the_least_bound_for_so_many_shards(size: int, shards: int) -> None:
    """It is enough for some entries in each of them."""
    m = ByteMap(max_memory=size * 1024, shards=shards)
    m.update((b"%d" % number, b"v") for number in range(40 * shards))
    assert m.stats()["least_in_shard"] > 0
    assert len(m) == 40 * shards
    assert m.memory().reserved <= size * 1024
    m._check()


def test_a_bound_too_small_for_the_shards_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = ("max_memory=131072 with shards=64", "allowed is max_memory=4194304 or more", "shards=2 or fewer")
    refused(lambda: ByteMap(max_memory="128kb", shards=64), *parts)
    monkeypatch.setenv("SHARDMAP_SHARDS", "64")
    refused(lambda: ByteMap(max_memory="128kb"), *parts)
    assert ByteMap(max_memory="128kb", shards=2)._shards == 2
    monkeypatch.delenv("SHARDMAP_SHARDS")
    monkeypatch.setenv("SHARDMAP_MAX_MEMORY", "128kb")
    refused(lambda: ByteMap(shards=64), *parts)
    assert ByteMap(max_memory=0, shards=64)._shards == 64


@pytest.mark.parametrize("bad", [3, 0, -1, 65537, 1 << 40])
def test_bad_shards(bad: int) -> None:
    refused(lambda: ByteMap(shards=bad), f"shards={bad}", "power of two from 1 to 65536", "nearest")


@pytest.mark.parametrize("shards", [1, 2, 64, 65536])
def test_good_shards(shards: int) -> None:
    m = ByteMap(pairs(100), shards=shards)
    assert m._shards == shards
    assert m == dict(pairs(100))
    m._check()


@pytest.mark.parametrize("option", ["shards", "hash_seed", "capacity"])
@pytest.mark.parametrize("bad", ["4", 4.0, True, b"4", [4]])
def test_options_of_the_wrong_type(option: str, bad: Any) -> None:
    with pytest.raises(TypeError, match=option):
        ByteMap(**{option: bad})


def test_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    def order(**options: Any) -> list[bytes]:
        return list(ByteMap(pairs(100), shards=1, **options))

    for seed in (0, 1, 2**64 - 1):
        assert order(hash_seed=seed) == order(hash_seed=seed)
        monkeypatch.setenv("SHARDMAP_HASH_SEED", str(seed))
        assert order() == order(hash_seed=seed)
    monkeypatch.delenv("SHARDMAP_HASH_SEED")
    assert order() != order()
    for bad in (-1, 2**64):
        refused(lambda: ByteMap(hash_seed=bad), f"hash_seed={bad}", "0 to 2**64 - 1")


@pytest.mark.parametrize("capacity", [0, 1, 100, 20_000])
def test_capacity_spares_the_growth(capacity: int) -> None:
    m = ByteMap(capacity=capacity, shards=8, hash_seed=1)
    before = m.stats()
    m.update((b"%d" % number, b"") for number in range(capacity))
    after = m.stats()
    assert (before["growths"], after["growths"]) == (0, 0)
    assert after["entries"] == capacity
    assert after["buckets"] == before["buckets"] or capacity == 0
    m._check()


@pytest.mark.parametrize("bad", [-1, 2**48, 2**63, 10**30])
def test_bad_capacity(bad: int) -> None:
    refused(lambda: ByteMap(capacity=bad), f"capacity={bad}", "2**48")


# -- precedence, and when the environment is read ---------------------------------------------------------------------


def test_an_argument_beats_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARDMAP_MAX_MEMORY", "4mb")
    monkeypatch.setenv("SHARDMAP_EVICTION", "volatile-ttl")
    m = ByteMap(max_memory="2mb", eviction="allkeys-lru")
    assert (m._limit, m._policy) == (2 * MIB, 1)
    assert (ByteMap()._limit, ByteMap()._policy) == (4 * MIB, 2)
    assert ByteMap(max_memory=0)._limit == 0
    for variable in ("SHARDMAP_MAX_MEMORY", "SHARDMAP_EVICTION"):
        monkeypatch.setenv(variable, "nonsense")
    assert ByteMap(max_memory="2mb", eviction="noeviction")._limit == 2 * MIB


def test_the_environment_is_read_for_each_map(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARDMAP_MAX_MEMORY", "2mb")
    first = ByteMap()
    monkeypatch.setenv("SHARDMAP_MAX_MEMORY", "4mb")
    assert (first._limit, ByteMap()._limit) == (2 * MIB, 4 * MIB)


@pytest.mark.parametrize(
    ("variable", "text"),
    [("SHARDMAP_MAX_MEMORY", "lots"), ("SHARDMAP_MAX_MEMORY", "1"), ("SHARDMAP_MAX_MEMORY", ""),
     ("SHARDMAP_MAX_MEMORY", "9" * 5000), ("SHARDMAP_EVICTION", "lru"), ("SHARDMAP_EVICTION", "")],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_a_bad_variable_stops_the_program_at_import(variable: str, text: str) -> None:
    done = run_python("import shardmap; print('went on')", env={variable: text})
    assert done.returncode == 1
    assert "went on" not in done.stdout
    last_line = done.stderr.strip().splitlines()[-1]
    for part in ("ConfigError", variable, text[:40], "allowed"):
        assert part in last_line


def test_good_variables_at_import() -> None:
    code = "import shardmap; m = shardmap.ByteMap(); print(m._shards, m._limit, m._policy)"
    env = {"SHARDMAP_SHARDS": "16", "SHARDMAP_MAX_MEMORY": "64mb", "SHARDMAP_EVICTION": "allkeys-lru"}
    assert run_python_ok(code, env=env) == f"16 {64 * MIB} 1\n"


# -- what memory() says -----------------------------------------------------------------------------------------------


def test_memory_of_an_empty_map() -> None:
    memory = ByteMap(shards=1).memory()
    assert (memory.content, memory.used, memory.tables, memory.free) == (0, 0, 0, 0)
    assert (memory.fragmentation, memory.overhead_per_entry, memory.max_memory) == (0, 0, 0)
    assert 0 < memory.reserved < 4096


def test_memory_of_small_entries() -> None:
    """The overhead of an entry: 16 bytes of its header, its part of the table, and rounding to eight bytes."""
    m = ByteMap(((b"%08d" % number, bytes(16)) for number in range(20_000)), shards=4)
    memory = m.memory()
    assert memory.content == 20_000 * 24
    assert memory.used == 20_000 * 40
    assert memory.overhead_per_entry == (memory.used + memory.tables - memory.content) / 20_000
    assert 16 < memory.overhead_per_entry < 40
    assert memory.reserved >= memory.used + memory.tables + memory.free
    assert 0 <= memory.fragmentation < 0.02
    assert memory.reserved - memory.used - memory.tables - memory.free < memory.reserved // 10


def test_memory_counts_key_and_value() -> None:
    m = ByteMap(shards=1)
    for key, value, content in [
        (b"", b"", 0),
        (b"ab", b"cde", 5),
        (b"ab", b"c" * 70_000, 70_002),
        (b"", b"xyz", 70_005),
    ]:
        m[key] = value
        assert m.memory().content == content
    m[b"ab"] = b""
    assert m.memory().content == 5


def test_fragmentation_shows() -> None:
    """Every other of many entries is deleted; only larger ones stay, which none of the holes could hold."""
    m = ByteMap(shards=1)
    for number in range(5000):
        m[b"small %d" % number] = bytes(20)
        m[b"large %d" % number] = bytes(200)
    assert m.memory().fragmentation < 0.02
    m.delete_many([b"small %d" % number for number in range(5000)])
    assert m.memory().fragmentation > 0.1
    m._check()
