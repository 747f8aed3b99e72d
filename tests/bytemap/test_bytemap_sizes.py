"""Keys and values of every size: empty ones, all lengths around the words that are compared and hashed at once, large
values in memory of their own, octets of all kinds."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from bytemaps import AnyMap
from concurrency import GIL_ENABLED, new_random

from shardmap import ByteMap

#: Around the sizes where copies leave the lock (16 KiB), records get memory of their own (32 KiB with the header and
#: the key; less in a map with a bound), the heap's regions end (16 KiB), and pages are mapped (128 KiB).
LARGE = sorted(
    {power + near for power in (1 << 14, 1 << 15, 1 << 17) for near in (-65, -40, -24, -17, -16, -9, -8, -1, 0, 1, 64)}
    | {490, 511, 512, 1023, 1024, 16300, 16336, 16344, 16352, 32700, 1 << 20, (1 << 20) + 1}
)


def test_empty_keys_and_values(m: AnyMap) -> None:
    for _ in range(2):
        m[b""] = b""
        assert m[b""] == b""
        assert b"" in m
        assert (list(m), list(m.values()), m) == ([b""], [b""], {b"": b""})
        m[b"k"] = b""
        m[b""] = b"v"
        assert m == {b"k": b"", b"": b"v"}
        assert m.compare_and_set(b"k", b"", b"w")
        assert m.swap(bytearray(), memoryview(b"")) == b"v"
        assert m.compare_and_delete(b"", b"")
        assert m.pop(b"k") == b"w"
        assert m == {}


def test_keys_of_all_lengths(m: AnyMap) -> None:
    """Each beside keys that differ in one bit of one octet: each octet counts, and so does the length."""
    rng = new_random()
    expected: dict[bytes, bytes] = {}
    for length in range(131):
        key = rng.randbytes(length)
        expected[key] = b"own %d" % length
        for at in range(length):
            near = bytearray(key)
            near[at] ^= 1 << rng.randrange(8)
            expected[bytes(near)] = b"near %d %d" % (length, at)
    m.update(expected)
    assert len(m) == len(expected) > 8000
    assert m == expected
    assert m.get_many(expected) == list(expected.values())
    for key, value in expected.items():
        assert m[bytearray(key)] == value


def test_prefixes(m: AnyMap) -> None:
    for octet in (b"\0", b"\xff", b"a"):
        m.clear()
        for length in range(131):
            assert octet * length not in m
            m[octet * length] = b"%d" % length
        assert len(m) == 131
        for length in range(131):
            assert m.pop(octet * length) == b"%d" % length
            assert octet * length not in m


def test_zeros_inside(m: AnyMap) -> None:
    keys = [bytes(octets) for length in range(5) for octets in itertools.product(b"\0\1\xff", repeat=length)]
    m.set_many((key, key + b"\0" + key) for key in keys)
    assert len(m) == len(keys) == 121
    for key in keys:
        assert m[key] == key + b"\0" + key
    assert sorted(m) == sorted(keys)


def test_where_key_ends_and_value_begins(m: AnyMap) -> None:
    """Both are stored in one piece; pairs with the same octets in all are different entries."""
    whole = bytes(range(40))
    m.set_many((whole[:at], whole[at:]) for at in range(41))
    assert m == {whole[:at]: whole[at:] for at in range(41)}
    for at in range(41):
        assert m[whole[:at]] == bytes(m.get_view(whole[:at])) == whole[at:]


def test_long_keys(m: AnyMap) -> None:
    rng = new_random()
    for size in (200, 489, 490, 491, 1000, 16383, 16384, 40000, 1 << 20):
        key = rng.randbytes(size)
        near = key[:-1] + bytes([key[-1] ^ 1])
        m[key] = b"v"
        m[near] = b"near"
        assert (m[key], m[near]) == (b"v", b"near")
        m[key] = b"w" * 100
        assert m.popitem()[0] in (key, near)
        m._check()
        assert len(m) == 1
        m.clear()


@pytest.mark.parametrize("size", LARGE)
def test_large_values(size: int) -> None:
    """In all the ways that values come out and go in, next to small ones."""
    rng = new_random()
    value, other = rng.randbytes(size), rng.randbytes(size)
    for m in (ByteMap(shards=1), ByteMap(shards=2, max_memory="16mb")):
        exercise_large(m, value, other)


def exercise_large(m: Any, value: bytes, other: bytes) -> None:
    m[b"small"] = b"s"
    m[b"k"] = value
    assert m[b"k"] == value
    assert m.get(b"k") == value
    assert m.get_many([b"k", b"small"]) == [value, b"s"]
    assert m.setdefault(b"k", other) == value
    assert bytes(m.get_view(b"k")) == value
    assert m.snapshot() == dict(m.items()) == {b"small": b"s", b"k": value}
    m._check()
    m[b"k"] = other
    assert m.swap(b"k", value) == other
    assert m.compare_and_set(b"k", other, b"no") is False
    assert m.compare_and_set(b"k", value, other)
    assert m.expire(b"k", 1000)
    assert m.persist(b"k")
    m.set(b"k", value, ttl=1000)
    m.set(b"k", value, ttl=1000)
    assert m.ttl(b"k") > 900
    assert m.compare_and_delete(b"k", other) is False
    assert m.compare_and_delete(b"k", value)
    assert m.insert(b"k", other, ttl=1000)
    assert m.pop(b"k") == other
    assert m.setdefault(b"k", value) == value
    m._check()
    del m[b"small"]
    assert m.popitem() == (b"k", value)
    m._check()
    assert m.stats()["large"] == m.stats()["used"] == m.memory().content == 0


def test_many_sizes_side_by_side(m: AnyMap) -> None:
    """Blocks of all sizes come and go; what is next to them must not change."""
    rng = new_random()
    expected: dict[bytes, bytes] = {}
    for step in range(3000):
        key = b"%d" % rng.randrange(150)
        if rng.random() < 0.3:
            assert m.pop(key, None) == expected.pop(key, None)
        else:
            m[key] = expected[key] = rng.randbytes(int(rng.expovariate(1 / 200)))
        if step % 500 == 0:
            m._check()
            assert m == expected
    m._check()
    assert m == expected


@pytest.mark.skipif(not GIL_ENABLED, reason="the allocator of this build writes to every page: gigabytes")
def test_too_many_octets() -> None:
    """A length beyond 31 bits is refused before an octet is looked at: the pages of these zeros are never touched."""
    try:
        huge = bytes(1 << 31)
    except MemoryError:
        pytest.skip("no address space for 2 GiB")
    m: AnyMap = ByteMap({b"k": b"v"})
    writes: tuple[Callable[[], Any], ...] = (
        lambda: m.__setitem__(b"k", huge),
        lambda: m.__setitem__(huge, b"v"),
        lambda: m.insert(b"new", huge),
        lambda: m.replace(b"k", huge),
        lambda: m.setdefault(b"new", huge),
        lambda: m.swap(b"k", huge),
        lambda: m.compare_and_set(b"k", b"v", huge),
        lambda: m.update({b"k": huge}),
    )
    for write in writes:
        with pytest.raises(ValueError, match="allowed are up to 2147483647"):
            write()
    assert m == {b"k": b"v"}
    m._check()
