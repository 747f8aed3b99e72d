"""add and count: decimal integers of 64 bits as Redis reads and writes them, and nothing else."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from bytemaps import LONG, AnyMap, pass_away
from concurrency import new_random

LEAST, MOST = -(2**63), 2**63 - 1
#: All edges: of digits, of the words that a compiler may use, of 64 bits.
NUMBERS = sorted(
    {
        sign * base + near
        for base in [0, *(10**power for power in range(19)), *(2**power for power in (7, 8, 15, 31, 32, 53, 62, 63))]
        for sign in (1, -1)
        for near in (-1, 0, 1)
    }
)
NUMBERS = [number for number in NUMBERS if LEAST <= number <= MOST]
NO_NUMBERS = [
    b"", b"-", b"--1", b"-0", b"-00", b"00", b"01", b"-01", b" 1", b"1 ", b"1\n", b"\t1", b"+1", b"+0", b"1.0", b"1.", b".5",
    b"1e3", b"0x10", b"1_000", b"1,000", b"1\0", b"\0001", b"\0", b"nan", b"inf", b"None", b"one", b"1-", b"1-1",
    "\u0661".encode(), "\uff11".encode(), b"\xb2", b"/", b":", b"1/", b"1:", b"-a",
    b"9223372036854775808", b"-9223372036854775809", b"9223372036854775810", b"10000000000000000000",
    b"18446744073709551615", b"18446744073709551616", b"18446744073709551617", b"99999999999999999999",
    b"-10000000000000000000", b"-99999999999999999999", b"00000000000000000001", b"000000000000000000000",
    b"1" * 20, b"-" + b"1" * 20, b"1" * 21, b"-" * 20, b"1" * 1000, bytes(40_000),
]  # fmt: skip


def test_add(m: AnyMap) -> None:
    assert m.add(b"k") == 1
    assert m.add(b"k") == 2
    assert m.add(b"k", 40) == 42
    assert m.add(b"k", -43) == -1
    assert m.add(b"k", 0) == -1
    assert m.add(b"absent", 0) == 0
    assert m == {b"k": b"-1", b"absent": b"0"}
    assert type(m.add(b"k")) is int


@pytest.mark.parametrize("delta", [0, 1, -1, 7, MOST, LEAST, MOST - 1, LEAST + 1, 2**62, -(2**62)])
def test_all_edges(m: AnyMap, delta: int) -> None:
    for number in NUMBERS:
        text = b"%d" % number
        m[b"k"] = text
        if LEAST <= number + delta <= MOST:
            assert m.add(b"k", delta) == number + delta
            assert m[b"k"] == b"%d" % (number + delta)
        else:
            with pytest.raises(OverflowError):
                m.add(b"k", delta)
            assert m[b"k"] == text
        m.pop(b"k")
        assert m.add(b"k", number) == number
        assert m[b"k"] == text


def test_random_sums(m: AnyMap) -> None:
    rng = new_random()
    expected = 0
    for _ in range(3000):
        delta = rng.randrange(-(2 ** rng.randrange(1, 64)), 2 ** rng.randrange(1, 64)) // 2
        if LEAST <= expected + delta <= MOST:
            expected += delta
            assert m.add(b"k", delta) == expected
    assert m[b"k"] == b"%d" % expected


@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: repr(value[:24]))
def test_what_is_no_number(m: AnyMap, value: bytes) -> None:
    m.set(b"k", value, ttl=LONG)
    for delta in (0, 1, MOST):
        with pytest.raises(ValueError, match="not a decimal integer"):
            m.add(b"k", delta)
    with pytest.raises(ValueError, match="not a decimal integer"):
        m.count([b"k"])
    assert m == {b"k": value}
    assert m.ttl(b"k") > 0


@pytest.mark.parametrize("bad", [MOST + 1, LEAST - 1, 2**64, -(2**64), 10**30])
def test_deltas_beyond_64_bits(m: AnyMap, bad: int) -> None:
    m[b"k"] = b"5"
    for key in (b"k", b"absent"):
        with pytest.raises(OverflowError):
            m.add(key, bad)
    assert m == {b"k": b"5"}


@pytest.mark.parametrize("bad", [None, 1.0, 1.5, float("nan"), "1", b"1", [1], 1j])
def test_deltas_that_are_no_integers(m: AnyMap, bad: Any) -> None:
    """A float is one of them, whole or not: its fraction would be lost."""
    m[b"k"] = b"5"
    for key in (b"k", b"absent"):
        with pytest.raises(TypeError):
            m.add(key, bad)
    assert m == {b"k": b"5"}


def test_whatever_is_an_integer_is_a_delta(m: AnyMap) -> None:
    class Index:
        def __index__(self) -> int:
            m[b"k"] = b"10"  # before the addition begins
            return 5

    assert m.add(b"k", Index()) == 15
    assert m.add(b"k", True) == 16


def test_the_time_to_live_goes_on(m: AnyMap) -> None:
    m.set(b"k", b"99", ttl=LONG)
    for delta in (1, -1, 10**10, -(10**10), 0):
        m.add(b"k", delta)
        assert 0 < m.ttl(b"k") <= LONG
    m.count([b"k"] * 5)
    assert 0 < m.ttl(b"k") <= LONG
    assert m[b"k"] == b"104"
    m.persist(b"k")
    m.add(b"k")
    assert m.ttl(b"k") is None
    m.add(b"fresh")
    assert m.ttl(b"fresh") is None


def test_an_expired_number_counts_as_absent(m: AnyMap) -> None:
    m[b"k"] = b"41"
    m[b"text"] = b"text"
    pass_away(m, [b"k", b"text"])
    assert m.add(b"k") == 1
    assert m.add(b"text") == 1
    assert m.ttl(b"k") is m.ttl(b"text") is None


def test_keys_of_counters(m: AnyMap) -> None:
    """So long that key and number have no memory of their own, whatever the bound."""
    for size in (0, 1, 100, 489, 490):
        key = b"k" * size
        assert m.add(key, LEAST) == LEAST
        assert m[key] == b"%d" % LEAST
        assert m.add(key, MOST) == -1
    for size in (491, 1000, 100_000):
        with pytest.raises(ValueError, match="490"):
            m.add(b"k" * size)
    assert len(m) == 5


def test_a_number_that_somebody_looks_at(m: AnyMap) -> None:
    m[b"k"] = b"1"
    view = m.get_view(b"k")
    assert m.add(b"k") == 2
    assert (bytes(view), m[b"k"]) == (b"1", b"2")
    large = b"7" * 10
    m[b"k"] = large
    assert m.add(b"k") == 7777777778


# -- count ------------------------------------------------------------------------------------------------------------

INPUTS: dict[str, Callable[[list[bytes]], Any]] = {
    "list": list,
    "tuple": tuple,
    "generator": lambda items: (item for item in items),
    "deque": collections.deque,
    "bytearrays": lambda items: map(bytearray, items),
    "memoryviews": lambda items: [memoryview(item) for item in items],
    "dict": dict.fromkeys,
    "set": set,
}


@pytest.mark.parametrize("kind", INPUTS)
def test_count(m: AnyMap, kind: str) -> None:
    rng = new_random()
    items = [b"%d" % int(rng.expovariate(0.05)) for _ in range(3000)]
    expected = collections.Counter(bytes(item) for item in INPUTS[kind](items))
    assert m.count(INPUTS[kind](items)) is None
    assert m == {key: b"%d" % number for key, number in expected.items()}
    m.count(INPUTS[kind](items))
    assert m == {key: b"%d" % (2 * number) for key, number in expected.items()}


def test_count_of_nothing(m: AnyMap) -> None:
    empties: list[Any] = [[], (), iter([]), {}, ""]
    for empty in empties:
        m.count(empty)
    assert m == {}
    for bad in (None, 7):
        with pytest.raises(TypeError):
            m.count(bad)


def test_count_of_itself(m: AnyMap) -> None:
    m.count(b"%d" % number for number in range(50))
    m.count(m)
    m.count(m.keys())
    assert m == {b"%d" % number: b"3" for number in range(50)}


def test_count_keeps_what_came_before_an_error(m: AnyMap) -> None:
    def interrupted() -> Iterator[bytes]:
        yield from [b"a"] * 1000
        yield b"b"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        m.count(interrupted())
    assert m == {b"a": b"1000", b"b": b"1"}
    with pytest.raises(TypeError):
        m.count([b"a"] * 10 + [b"c", None, b"d"])
    assert m == {b"a": b"1010", b"b": b"1", b"c": b"1"}


def test_count_adds_all_others_when_one_is_no_counter(m: AnyMap) -> None:
    m[b"text"] = b"text"
    m[b"full"] = b"%d" % MOST
    with pytest.raises((ValueError, OverflowError)):
        m.count([b"a", b"text", b"b", b"full", b"a", b"c"])
    assert m == {b"a": b"2", b"b": b"1", b"c": b"1", b"text": b"text", b"full": b"%d" % MOST}


def test_count_of_more_keys_than_it_collects(m: AnyMap) -> None:
    keys = [b"%d" % number for number in range(66_000)]
    m.count(keys)
    m.count(keys[:10])
    assert len(m) == 66_000
    assert m.get_many(keys) == [b"2"] * 10 + [b"1"] * 65_990
