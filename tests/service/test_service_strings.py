"""Commands on one string: every option, every error, in Redis's words, however the command arrives."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from scripts import DELIVERIES, NOT_AN_INTEGER, Between, Wait, arity, bad_expiry, converse, error, script
from targets import ServerWith
from wire import OK, Wire

import shardmap

SYNTAX = error("ERR syntax error")
OFFSET = error("ERR offset is out of range")


SCRIPTS = [
    script(
        "set-get",
        ("GET k", None),
        ("SET k v", OK),
        ("GET k", b"v"),
        ("SET k w", OK),
        ("GET k", b"w"),
        ("get k", b"w"),
        ("gEt k", b"w"),
        ("GET K", None),
        ("GET", arity("get")),
        ("GET k k", arity("get")),
        ("SET k", arity("set")),
        ("SET", arity("set")),
    ),
    script(
        "empty-and-binary",
        (r"SET \e v", OK),
        (r"GET \e", b"v"),
        (r"SET k \e", OK),
        ("GET k", b""),
        ("STRLEN k", 0),
        ("EXISTS k", 1),
        (r"SET a\x00b\r\nc\xff \x00\x01\r\n\xfe*3$4", OK),
        (r"GET a\x00b\r\nc\xff", b"\0\x01\r\n\xfe*3$4"),
        (r"STRLEN a\x00b\r\nc\xff", 9),
        (r"GET a\x00b", None),
        ("GET a", None),
        (r"DEL a\x00b\r\nc\xff \e", 2),
        (r"SET with\sspace in\sside", OK),
        (r"GET with\sspace", b"in side"),
    ),
    script(
        "set-nx-xx",
        ("SET k v XX", None),
        ("EXISTS k", 0),
        ("SET k v NX", OK),
        ("SET k w NX", None),
        ("GET k", b"v"),
        ("SET k w XX", OK),
        ("GET k", b"w"),
        ("SET k w nx xx", SYNTAX),
        ("SET k w XX NX", SYNTAX),
        ("SET k w FOO", SYNTAX),
        ("SET k w EX", SYNTAX),
        ("SET k w NX NX", None),
    ),
    script(
        "set-get-option",
        ("SET k v GET", None),
        ("GET k", b"v"),
        ("SET k w GET", b"v"),
        ("SET k x XX GET", b"w"),
        ("SET k y GET EX 100", b"x"),
        ("TTL k", Between(99, 100)),
        ("SET k z KEEPTTL GET", b"y"),
        ("TTL k", Between(99, 100)),
        ("SET new v XX GET", None),
        ("EXISTS new", 0),
        ("SET k q NX GET", b"z"),
        ("GET k", b"z"),
        ("SET new v NX GET", None),
        ("GET new", b"v"),
    ),
    script(
        "set-expiry",
        ("SET k v EX 100", OK),
        ("TTL k", Between(99, 100)),
        ("SET k v PX 100000", OK),
        ("PTTL k", Between(99000, 100000)),
        ("SET k v EXAT 33177117420", OK),
        ("EXPIRETIME k", 33177117420),
        ("SET k v PXAT 33177117420123", OK),
        ("PEXPIRETIME k", 33177117420123),
        ("SET k v KEEPTTL", OK),
        ("PEXPIRETIME k", 33177117420123),
        ("SET k v", OK),
        ("TTL k", -1),
        ("SET k v KEEPTTL", OK),
        ("TTL k", -1),
        ("SET k v EXAT 1", OK),
        ("GET k", None),
        ("SET k v PXAT 1", OK),
        ("EXISTS k", 0),
        ("SET k v XX EX 5", None),
        ("SET k v NX PX 100000", OK),
        ("PTTL k", Between(99000, 100000)),
    ),
    script(
        "set-expiry-errors",
        ("SET k v EX 0", bad_expiry("set")),
        ("SET k v EX -1", bad_expiry("set")),
        ("SET k v PX 0", bad_expiry("set")),
        ("SET k v PX -9223372036854775808", bad_expiry("set")),
        ("SET k v EXAT 0", bad_expiry("set")),
        ("SET k v PXAT -5", bad_expiry("set")),
        ("SET k v EX x", NOT_AN_INTEGER),
        ("SET k v EX 1.5", NOT_AN_INTEGER),
        ("SET k v PX 9223372036854775808", NOT_AN_INTEGER),
        ("SET k v EX 9223372036854775807", bad_expiry("set")),
        ("SET k v EX 9223372036854775", bad_expiry("set")),
        ("SET k v PX 9223372036854775807", bad_expiry("set")),
        ("SET k v EXAT 9223372036854776", bad_expiry("set")),
        ("SET k v EX 10 PX 10", SYNTAX),
        ("SET k v EX 10 KEEPTTL", SYNTAX),
        ("SET k v KEEPTTL EX 10", SYNTAX),
        ("SET k v EXAT 10 PXAT 10", SYNTAX),
        ("SET k v PX", SYNTAX),
        ("SET k v PERSIST", SYNTAX),
        ("EXISTS k", 0),
    ),
    script(
        "set-expires",
        ("SET k v PX 200", OK),
        ("GET k", b"v"),
        Wait(0.3),
        ("GET k", None),
        ("EXISTS k", 0),
        ("TTL k", -2),
        ("SET k w NX", OK),
        ("TTL k", -1),
    ),
    script(
        "set-ifeq",
        ("SET k w IFEQ v", None),
        ("EXISTS k", 0),
        ("SET k v", OK),
        ("SET k w IFEQ x", None),
        ("GET k", b"v"),
        ("SET k w IFEQ v", OK),
        ("GET k", b"w"),
        ("SET k x IFEQ w GET", b"w"),
        ("SET k y IFEQ w GET", b"x"),
        ("GET k", b"x"),
        ("SET k z IFEQ x EX 100", OK),
        ("TTL k", Between(99, 100)),
        ("SET k z IFEQ z KEEPTTL", OK),
        ("TTL k", Between(99, 100)),
        ("SET k z IFEQ z", OK),
        ("TTL k", -1),
        (r"SET k \e", OK),
        (r"SET k full IFEQ \e", OK),
        ("SET k z IFEQ", SYNTAX),
        ("SET k z NX IFEQ v", SYNTAX),
        ("SET k z IFEQ v XX", SYNTAX),
        marks=[pytest.mark.valkey],
    ),
    script(
        "delifeq",
        ("DELIFEQ k v", 0),
        ("SET k v", OK),
        ("DELIFEQ k w", 0),
        ("EXISTS k", 1),
        ("DELIFEQ k v", 1),
        ("EXISTS k", 0),
        ("DELIFEQ k", arity("delifeq")),
        ("DELIFEQ k v w", arity("delifeq")),
        marks=[pytest.mark.valkey],
    ),
    script(
        "setnx-setex",
        ("SETNX k v", 1),
        ("SETNX k w", 0),
        ("GET k", b"v"),
        ("SETEX k 100 x", OK),
        ("TTL k", Between(99, 100)),
        ("GET k", b"x"),
        ("SETNX k y", 0),
        ("PSETEX k 100000 y", OK),
        ("PTTL k", Between(99000, 100000)),
        ("SETEX k 0 v", bad_expiry("setex")),
        ("SETEX k -1 v", bad_expiry("setex")),
        ("PSETEX k 0 v", bad_expiry("psetex")),
        ("SETEX k x v", NOT_AN_INTEGER),
        ("SETEX k 9223372036854775807 v", bad_expiry("setex")),
        ("GET k", b"y"),
        ("SETNX k", arity("setnx")),
        ("SETEX k 1", arity("setex")),
        ("PSETEX k 1", arity("psetex")),
    ),
    script(
        "getset-getdel",
        ("GETSET k v", None),
        ("GETSET k w", b"v"),
        ("EXPIRE k 100", 1),
        ("GETSET k x", b"w"),
        ("TTL k", -1),
        ("GETDEL k", b"x"),
        ("GETDEL k", None),
        ("EXISTS k", 0),
        ("GETSET k", arity("getset")),
        ("GETDEL", arity("getdel")),
        ("GETDEL a b", arity("getdel")),
    ),
    script(
        "getex",
        ("GETEX k", None),
        ("GETEX k EX 10", None),
        ("EXISTS k", 0),
        ("SET k v", OK),
        ("GETEX k", b"v"),
        ("TTL k", -1),
        ("GETEX k EX 100", b"v"),
        ("TTL k", Between(99, 100)),
        ("GETEX k", b"v"),
        ("TTL k", Between(99, 100)),
        ("GETEX k PX 50000", b"v"),
        ("PTTL k", Between(49000, 50000)),
        ("GETEX k EXAT 33177117420", b"v"),
        ("EXPIRETIME k", 33177117420),
        ("GETEX k PXAT 33177117420001", b"v"),
        ("PEXPIRETIME k", 33177117420001),
        ("GETEX k PERSIST", b"v"),
        ("TTL k", -1),
        ("GETEX k EX 0", bad_expiry("getex")),
        ("GETEX k PX -1", bad_expiry("getex")),
        ("GETEX k EX x", NOT_AN_INTEGER),
        ("GETEX k EX", SYNTAX),
        ("GETEX k PERSIST EX 10", SYNTAX),
        ("GETEX k EX 10 PERSIST", SYNTAX),
        ("GETEX k KEEPTTL", SYNTAX),
        ("GETEX k NX", SYNTAX),
        ("GETEX", arity("getex")),
        ("GETEX k PXAT 1", b"v"),
        ("GET k", None),
    ),
    script(
        "mget-mset",
        ("MGET a b", [None, None]),
        ("MSET a 1 b 2", OK),
        ("MGET a x b a", [b"1", None, b"2", b"1"]),
        ("MSET a 1 a 2 a 3", OK),
        ("GET a", b"3"),
        ("EXPIRE a 100", 1),
        ("MSET a 4", OK),
        ("TTL a", -1),
        ("MSETNX b 5 c 6", 0),
        ("EXISTS c", 0),
        ("MSETNX c 5 d 6", 1),
        ("MGET b c d", [b"2", b"5", b"6"]),
        ("MSETNX e 1 e 2", 1),
        ("GET e", b"2"),
        ("MSET a", arity("mset")),
        ("MSET a 1 b", arity("mset")),
        ("MSET", arity("mset")),
        ("MSETNX a 1 b", arity("msetnx")),
        ("MGET", arity("mget")),
    ),
    script(
        "append-strlen",
        ("STRLEN k", 0),
        ("APPEND k ab", 2),
        ("APPEND k cd", 4),
        (r"APPEND k \e", 4),
        ("GET k", b"abcd"),
        ("STRLEN k", 4),
        (r"APPEND e \e", 0),
        ("EXISTS e", 1),
        ("EXPIRE k 100", 1),
        ("APPEND k e", 5),
        ("TTL k", Between(99, 100)),
        ("SET n 12", OK),
        ("APPEND n 3", 3),
        ("INCR n", 124),
        ("APPEND k", arity("append")),
        ("STRLEN", arity("strlen")),
    ),
    script(
        "setrange",
        ("SETRANGE k 0 hello", 5),
        ("SETRANGE k 5 \\sworld", 11),
        ("SETRANGE k 6 WORLD", 11),
        ("GET k", b"hello WORLD"),
        ("SETRANGE pad 3 x", 4),
        ("GET pad", b"\0\0\0x"),
        (r"SETRANGE none 5 \e", 0),
        ("EXISTS none", 0),
        (r"SETRANGE k 0 \e", 11),
        (r"SETRANGE k 100 \e", 11),
        ("SETRANGE k -1 x", OFFSET),
        (r"SETRANGE k -1 \e", OFFSET),
        ("SETRANGE k x y", NOT_AN_INTEGER),
        ("SETRANGE k 536870912 x", error("ERR string exceeds maximum allowed size (proto-max-bulk-len)")),
        ("SETRANGE k 9223372036854775807 x", error("ERR string exceeds maximum allowed size (proto-max-bulk-len)")),
        ("GET k", b"hello WORLD"),
        ("EXPIRE k 100", 1),
        ("SETRANGE k 0 H", 11),
        ("TTL k", Between(99, 100)),
        ("SETRANGE k 0", arity("setrange")),
    ),
    script(
        "getrange",
        ("GETRANGE none 0 -1", b""),
        ("SET k abcdef", OK),
        ("GETRANGE k 0 -1", b"abcdef"),
        ("GETRANGE k 1 3", b"bcd"),
        ("GETRANGE k -3 -2", b"de"),
        ("GETRANGE k -100 2", b"abc"),
        ("GETRANGE k 4 100", b"ef"),
        ("GETRANGE k 6 10", b""),
        ("GETRANGE k 3 2", b""),
        ("GETRANGE k -1 -3", b""),
        ("GETRANGE k -2 -9", b""),
        ("GETRANGE k 0 -100", b"a"),
        ("GETRANGE k -9 -7", b"a"),
        ("GETRANGE k -9223372036854775808 9223372036854775807", b"abcdef"),
        (r"SET e \e", OK),
        ("GETRANGE e 0 -1", b""),
        ("GETRANGE k a 2", NOT_AN_INTEGER),
        ("GETRANGE k 0 9223372036854775808", NOT_AN_INTEGER),
        ("GETRANGE k 0", arity("getrange")),
    ),
]


@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize("steps", SCRIPTS)
def test_conversation(wire: Wire, steps: Any, delivery: str) -> None:
    converse(wire, steps, delivery)


@pytest.mark.parametrize("size", [1, 63, 64, 65, 1023, 4096, 65_535, 65_536, 1 << 20, (1 << 20) + 1])
def test_values_of_every_size_come_back(wire: Wire, size: int) -> None:
    value = bytes(range(256)) * (size // 256) + bytes(range(size % 256))
    assert wire("SET", "k", value) == OK
    assert wire("STRLEN", "k") == size
    assert wire("GET", "k") == value
    assert wire("GETRANGE", "k", size - 1, -1) == value[-1:]


@pytest.mark.parametrize("size", [1, 64, 255, 256, 65_536])
def test_keys_of_every_size_are_keys(wire: Wire, size: int) -> None:
    key = b"\0" * (size - 1) + b"k"
    assert wire("SET", key, "v") == OK
    assert wire("GET", key) == b"v"
    assert wire("GET", key[:-1] + b"l") is None
    assert wire("DEL", key, key) == 1


@pytest.mark.ours
def test_mset_makes_room() -> None:
    """Others go for its records, and never one of its own that is in no table yet."""
    random = Random(7)
    byte_map = shardmap.ByteMap(max_memory="1mb", eviction="allkeys-lru", shards=1)
    with shardmap.Server(byte_map, port=0, threads=1) as server, Wire(("127.0.0.1", server.port)) as wire:
        for turn in range(60):
            wire.pipeline([("SET", f"s:{turn}:{number}", "x" * random.randrange(8, 60)) for number in range(1000)])
            values = {f"m:{turn}:{number}": b"v" * random.randrange(2000, 9000) for number in range(60)}
            assert wire("MSET", *(word for pair in values.items() for word in pair)) == OK
            assert wire("MGET", *values) == list(values.values())
    byte_map._check()


@pytest.mark.ours
@pytest.mark.parametrize("size", [100, 5_000, 100_000])
def test_a_full_cache_takes_what_comes_in_transactions(server_with: ServerWith, size: int) -> None:
    """What holds locks makes room as well, also for what is too long for its shard's heap."""
    target = server_with(max_memory="8mb", eviction="allkeys-lru")
    value = "x" * size
    with target.connect() as wire:
        for turn in range(0, 20_000_000 // size, 10):
            keys = [f"k{turn + number}" for number in range(10)]
            if turn % 3 == 0:
                replies = wire.pipeline(["MULTI", *(("SET", key, value) for key in keys), "EXEC"])[-1]
            elif turn % 3 == 1:
                replies = [wire("MSET", *(word for key in keys for word in (key, value)))]
            else:
                replies = wire.pipeline([("SET", "source", value), *(("COPY", "source", key) for key in keys)])[:1]
            assert set(replies) == {OK}
    if target.byte_map is not None:
        target.byte_map._check()
