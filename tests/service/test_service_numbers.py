"""Numbers in strings: integers to their edges, floats as Redis writes them."""

from __future__ import annotations

from typing import Any

import pytest
from scripts import DELIVERIES, NOT_AN_INTEGER, Between, converse, error, script
from wire import OK, ReplyError, Wire

NOT_A_FLOAT = error("ERR value is not a valid float")
OVERFLOW = error("ERR increment or decrement would overflow")
DECREMENT_OVERFLOW = error("ERR decrement would overflow")
INFINITE = error("ERR increment would produce NaN or Infinity")

MOST, LEAST = 9223372036854775807, -9223372036854775808

SCRIPTS = [
    script(
        "incr-decr",
        ("INCR n", 1),
        ("INCR n", 2),
        ("GET n", b"2"),
        ("DECR n", 1),
        ("DECR m", -1),
        ("INCRBY n 41", 42),
        ("DECRBY n 50", -8),
        ("INCRBY n -2", -10),
        ("DECRBY n -11", 1),
        ("INCRBY zero 0", 0),
        ("EXISTS zero", 1),
        ("INCR", error("ERR wrong number of arguments for 'incr' command")),
        ("INCR n 1", error("ERR wrong number of arguments for 'incr' command")),
        ("INCRBY n", error("ERR wrong number of arguments for 'incrby' command")),
        ("DECRBY n x", NOT_AN_INTEGER),
    ),
    script(
        "edges",
        (f"SET n {MOST - 1}", OK),
        ("INCR n", MOST),
        ("INCR n", OVERFLOW),
        ("GET n", str(MOST).encode()),
        ("INCRBY n 1", OVERFLOW),
        (f"DECRBY n {LEAST}", DECREMENT_OVERFLOW),
        ("INCRBY n -1", MOST - 1),
        (f"SET n {LEAST + 1}", OK),
        ("DECR n", LEAST),
        ("DECR n", OVERFLOW),
        ("GET n", str(LEAST).encode()),
        (f"INCRBY n {LEAST}", OVERFLOW),
        (f"INCRBY n {MOST}", -1),
        (f"INCRBY n {MOST + 1}", NOT_AN_INTEGER),
        (f"INCRBY n {LEAST - 1}", NOT_AN_INTEGER),
        ("GET n", b"-1"),
    ),
    script(
        "keeps-the-time-to-live",
        ("SET n 1 EX 100", OK),
        ("INCR n", 2),
        ("TTL n", Between(99, 100)),
        ("INCRBYFLOAT n 1.5", b"3.5"),
        ("TTL n", Between(99, 100)),
    ),
    script(
        "incrbyfloat",
        ("INCRBYFLOAT f 10.50", b"10.5"),
        ("INCRBYFLOAT f 0.1", b"10.6"),
        ("INCRBYFLOAT f -5", b"5.6"),
        ("SET f 5.0e3", OK),
        ("INCRBYFLOAT f 2.0e2", b"5200"),
        ("GET f", b"5200"),
        ("INCR f", 5201),
        ("SET f 3.0", OK),
        ("INCRBYFLOAT f 1", b"4"),
        ("SET f 0", OK),
        ("INCRBYFLOAT f 0.1", b"0.1"),
        ("INCRBYFLOAT f 0.2", b"0.3"),
        ("INCRBYFLOAT f -0.3", b"0"),
        ("SET f 1", OK),
        ("INCRBYFLOAT f 1e17", b"100000000000000001"),
        ("SET f 0", OK),
        ("INCRBYFLOAT f 1e-17", b"0.00000000000000001"),
        ("SET f 1234567890.123456789", OK),
        ("INCRBYFLOAT f 0", b"1234567890.12345678894780576"),
        ("SET f 0", OK),
        ("INCRBYFLOAT f 3.141592653589793238", b"3.14159265358979324"),
        ("INCRBYFLOAT f -0", b"3.14159265358979324"),
    ),
    script(
        "incrbyfloat-errors",
        ("SET f abc", OK),
        ("INCRBYFLOAT f 1", NOT_A_FLOAT),
        (r"SET f \s1", OK),
        ("INCRBYFLOAT f 1", NOT_A_FLOAT),
        (r"SET f 1\s", OK),
        ("INCRBYFLOAT f 1", NOT_A_FLOAT),
        ("SET f 1", OK),
        ("INCRBYFLOAT f x", NOT_A_FLOAT),
        ("INCRBYFLOAT f 1x", NOT_A_FLOAT),
        (r"INCRBYFLOAT f \e", NOT_A_FLOAT),
        (r"INCRBYFLOAT f \s1", NOT_A_FLOAT),
        ("INCRBYFLOAT f nan", NOT_A_FLOAT),
        ("INCRBYFLOAT f inf", INFINITE),
        ("INCRBYFLOAT f -inf", INFINITE),
        ("GET f", b"1"),
        ("INCRBYFLOAT f", error("ERR wrong number of arguments for 'incrbyfloat' command")),
    ),
]


@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize("steps", SCRIPTS)
def test_conversation(wire: Wire, steps: Any, delivery: str) -> None:
    converse(wire, steps, delivery)


#: Strings that look like integers; `INCR` takes only the one way to write a number.
NO_INTEGERS = [
    b"", b" ", b" 1", b"1 ", b"+1", b"01", b"-0", b"--1", b"-", b"+", b"1.0", b"1e3", b"0x10", b"one", b"1\0", b"\x001",
    b"1\n", b"1_000", b"9223372036854775808", b"-9223372036854775809", b"99999999999999999999999999", b"\xd9\xa1", b"0" * 30,
]  # fmt: skip


@pytest.mark.parametrize("value", NO_INTEGERS, ids=repr)
def test_what_is_no_integer_is_not_counted(wire: Wire, value: bytes) -> None:
    assert wire("SET", "n", value) == OK
    assert wire("INCR", "n") == NOT_AN_INTEGER
    assert wire("GET", "n") == value
    assert wire("INCRBY", "m", value) == NOT_AN_INTEGER
    assert wire("EXISTS", "m") == 0


@pytest.mark.parametrize(
    "value", [b"0", b"1", b"-1", b"10", b"-10", str(MOST - 1).encode(), str(LEAST).encode()], ids=repr
)
def test_integers_are_counted(wire: Wire, value: bytes) -> None:
    assert wire("SET", "n", value) == OK
    assert wire("INCR", "n") == int(value) + 1
    assert wire("INCRBY", "m", value) == int(value)


@pytest.mark.parametrize("text", ["1.5", "-1.5", "1e5", "1E5", "+1.5", ".5", "5.", "0x10", "0x1p4", "infinity", "1e-5000", "-0.0"])  # fmt: skip
def test_floats_that_redis_accepts(wire: Wire, text: str) -> None:
    """The same outcome as Redis's for each spelling, from a table of what Redis 7.0 answers."""
    expected = {
        "1.5": b"1.5", "-1.5": b"-1.5", "1e5": b"100000", "1E5": b"100000", "+1.5": b"1.5", ".5": b"0.5", "5.": b"5",
        "0x10": b"16", "0x1p4": b"16", "infinity": INFINITE, "1e-5000": NOT_A_FLOAT, "-0.0": b"0",
    }[text]  # fmt: skip
    reply = wire("INCRBYFLOAT", "f", text)
    assert not isinstance(expected, ReplyError) or isinstance(reply, ReplyError)
    assert reply == expected
