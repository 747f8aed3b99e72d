"""Time to live: set, looked up, compared, taken back, and kept."""

from __future__ import annotations

import time
from typing import Any

import pytest
from scripts import DELIVERIES, NOT_AN_INTEGER, Between, Wait, arity, bad_expiry, converse, error, script
from wire import OK, Wire

NX_AND_OTHERS = error("ERR NX and XX, GT or LT options at the same time are not compatible")
GT_AND_LT = error("ERR GT and LT options at the same time are not compatible")

#: In the year 3021, as clients' tests use it.
FAR = 33177117420


SCRIPTS = [
    script(
        "expire-ttl-persist",
        ("TTL k", -2),
        ("PTTL k", -2),
        ("EXPIRETIME k", -2),
        ("PEXPIRETIME k", -2),
        ("EXPIRE k 10", 0),
        ("PERSIST k", 0),
        ("SET k v", OK),
        ("TTL k", -1),
        ("PTTL k", -1),
        ("EXPIRETIME k", -1),
        ("PEXPIRETIME k", -1),
        ("PERSIST k", 0),
        ("EXPIRE k 100", 1),
        ("TTL k", Between(99, 100)),
        ("PTTL k", Between(99000, 100000)),
        ("PERSIST k", 1),
        ("TTL k", -1),
        ("PEXPIRE k 100000", 1),
        ("PTTL k", Between(99000, 100000)),
        (f"EXPIREAT k {FAR}", 1),
        ("EXPIRETIME k", FAR),
        ("PEXPIRETIME k", FAR * 1000),
        (f"PEXPIREAT k {FAR}123", 1),
        ("PEXPIRETIME k", FAR * 1000 + 123),
        ("EXPIRETIME k", FAR),
        ("GET k", b"v"),
    ),
    script(
        "rounding",
        ("SET k v PX 1999", OK),
        ("TTL k", 2),
        ("PEXPIRE k 1400", 1),
        ("TTL k", 1),
        (f"PEXPIREAT k {FAR}999", 1),
        ("EXPIRETIME k", FAR + 1),
    ),
    script(
        "in-the-past",
        ("SET k v", OK),
        ("EXPIRE k 0", 1),
        ("EXISTS k", 0),
        ("SET k v", OK),
        ("EXPIRE k -1", 1),
        ("GET k", None),
        ("SET k v", OK),
        ("PEXPIRE k -5", 1),
        ("DBSIZE", 0),
        ("SET k v", OK),
        ("EXPIREAT k 1", 1),
        ("GET k", None),
        ("SET k v", OK),
        ("PEXPIREAT k 0", 1),
        ("TTL k", -2),
        ("EXPIRE k 0", 0),
    ),
    script(
        "nx-xx",
        ("SET k v", OK),
        ("EXPIRE k 100 XX", 0),
        ("TTL k", -1),
        ("EXPIRE k 100 NX", 1),
        ("EXPIRE k 200 NX", 0),
        ("TTL k", Between(99, 100)),
        ("EXPIRE k 200 xx", 1),
        ("TTL k", Between(199, 200)),
        ("EXPIRE none 10 NX", 0),
        ("PEXPIRE k 300000 XX", 1),
        ("TTL k", Between(299, 300)),
        (f"EXPIREAT k {FAR} NX", 0),
        (f"PEXPIREAT k {FAR}000 XX", 1),
        ("EXPIRETIME k", FAR),
    ),
    script(
        "gt-lt",
        ("SET k v", OK),
        ("EXPIRE k 100 GT", 0),
        ("TTL k", -1),
        ("EXPIRE k 100 LT", 1),
        ("TTL k", Between(99, 100)),
        ("EXPIRE k 50 GT", 0),
        ("EXPIRE k 200 LT", 0),
        ("TTL k", Between(99, 100)),
        ("EXPIRE k 200 GT", 1),
        ("TTL k", Between(199, 200)),
        ("EXPIRE k 50 lt", 1),
        ("TTL k", Between(49, 50)),
        ("EXPIRE k 100 XX GT", 1),
        ("EXPIRE k 50 XX LT", 1),
        ("PERSIST k", 1),
        ("EXPIRE k 50 XX LT", 0),
        (f"EXPIREAT k {FAR} LT", 1),
        (f"EXPIREAT k {FAR} GT", 0),
        (f"EXPIREAT k {FAR} LT", 0),
        (f"PEXPIREAT k {FAR}001 GT", 1),
        ("PEXPIRETIME k", FAR * 1000 + 1),
        ("EXPIRE k -1 GT", 0),
        ("EXPIRE k -1 LT", 1),
        ("EXISTS k", 0),
    ),
    script(
        "errors",
        ("SET k v", OK),
        ("EXPIRE k 10 NX XX", NX_AND_OTHERS),
        ("EXPIRE k 10 NX GT", NX_AND_OTHERS),
        ("EXPIRE k 10 LT NX", NX_AND_OTHERS),
        ("EXPIRE k 10 GT LT", GT_AND_LT),
        ("EXPIRE k 10 FOO", error("ERR Unsupported option FOO")),
        ("EXPIREAT k 10 NX FOO", error("ERR Unsupported option FOO")),
        ("EXPIRE k x", NOT_AN_INTEGER),
        ("EXPIRE k 1.5", NOT_AN_INTEGER),
        ("EXPIRE k 9223372036854775807", bad_expiry("expire")),
        ("EXPIRE k -9223372036854775808", bad_expiry("expire")),
        ("EXPIRE k 9223372036854775", bad_expiry("expire")),
        ("PEXPIRE k 9223372036854775807", bad_expiry("pexpire")),
        ("PEXPIRE k 9223372036854775808", NOT_AN_INTEGER),
        ("EXPIREAT k 9223372036854776", bad_expiry("expireat")),
        ("PEXPIREAT k x", NOT_AN_INTEGER),
        ("TTL k", -1),
        ("EXPIRE k", arity("expire")),
        ("PEXPIREAT k", arity("pexpireat")),
        ("TTL", arity("ttl")),
        ("PTTL k k", arity("pttl")),
        ("EXPIRETIME", arity("expiretime")),
        ("PEXPIRETIME", arity("pexpiretime")),
        ("PERSIST", arity("persist")),
    ),
    script(
        "expires",
        ("MSET a 1 b 2 c 3", OK),
        ("PEXPIRE a 200", 1),
        ("PEXPIRE b 200", 1),
        ("PERSIST b", 1),
        ("PEXPIRE c 200", 1),
        ("SET c 4", OK),
        Wait(0.3),
        ("MGET a b c", [None, b"2", b"4"]),
        ("TTL a", -2),
        ("EXPIRE a 10", 0),
        ("PERSIST a", 0),
        ("KEYS a", []),
    ),
    script(
        "what-keeps-it",
        ("SET k 1 EX 100", OK),
        ("APPEND k 0", 2),
        ("TTL k", Between(99, 100)),
        ("INCR k", 11),
        ("TTL k", Between(99, 100)),
        ("SETRANGE k 0 9", 2),
        ("TTL k", Between(99, 100)),
        ("GETSET k 1", b"91"),
        ("TTL k", -1),
    ),
]


@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize("steps", SCRIPTS)
def test_conversation(wire: Wire, steps: Any, delivery: str) -> None:
    converse(wire, steps, delivery)


def test_time_is_unix_time(wire: Wire) -> None:
    before = time.time()
    seconds, microseconds = wire("TIME")
    after = time.time()
    assert before - 0.01 <= int(seconds) + int(microseconds) / 1e6 <= after + 0.01
    assert 0 <= int(microseconds) < 1_000_000


def test_expiry_times_agree(wire: Wire) -> None:
    """PEXPIRETIME is now plus PTTL, and what EXPIREAT was given."""
    assert wire("SET k v PX 50000") == OK
    at, left = wire.pipeline(["PEXPIRETIME k", "PTTL k"])
    assert abs(at - left - time.time() * 1000) < 1000
    assert wire("EXPIREAT", "k", int(time.time()) + 70) == 1
    assert 68 <= wire("TTL k") <= 71


def test_a_thousand_entries_expire_when_they_should_and_not_before(wire: Wire) -> None:
    """Entries with a short life go, all of them; those beside them with a long one stay."""
    wire.pipeline(("SET", f"short:{number}", "v", "PX", 1 + number % 150) for number in range(1000))
    wire.pipeline(("SET", f"long:{number}", "v", "PX", 60_000 + number) for number in range(1000))
    time.sleep(0.2)
    assert wire("EXISTS", *(f"short:{number}" for number in range(1000))) == 0
    assert wire("EXISTS", *(f"long:{number}" for number in range(1000))) == 1000
    assert sorted(wire("KEYS *")) == sorted(b"long:%d" % number for number in range(1000))


def test_a_time_that_is_no_number_as_a_unix_time(wire: Wire) -> None:
    assert wire("SET k v") == OK
    assert wire("PEXPIRE", "k", (1 << 63) - 1 - 10**9) == error("ERR invalid expire time in 'pexpire' command")
    assert wire("TTL k") == -1
