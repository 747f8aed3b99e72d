"""Commands on keys: present, copied, renamed, typed, listed, and all of them deleted."""

from __future__ import annotations

from typing import Any

import pytest
from scripts import ANY, DELIVERIES, Between, In, arity, converse, error, script
from wire import OK, Simple, Wire

SYNTAX = error("ERR syntax error")
NO_SUCH_KEY = error("ERR no such key")
SAME = error("ERR source and destination objects are the same")


SCRIPTS = [
    script(
        "del-exists-touch",
        ("MSET a 1 b 2 c 3", OK),
        ("EXISTS a", 1),
        ("EXISTS a a x b", 3),
        ("TOUCH a x b b", 3),
        ("DEL a a x", 1),
        ("UNLINK b b c", 2),
        ("DEL a", 0),
        ("UNLINK a", 0),
        ("DBSIZE", 0),
        ("DEL", arity("del")),
        ("UNLINK", arity("unlink")),
        ("EXISTS", arity("exists")),
        ("TOUCH", arity("touch")),
    ),
    script(
        "type",
        ("TYPE k", Simple("none")),
        ("SET k v", OK),
        ("TYPE k", Simple("string")),
        ("TYPE", arity("type")),
    ),
    script(
        "rename",
        ("RENAME a b", NO_SUCH_KEY),
        ("SET a 1 EX 100", OK),
        ("SET b 2", OK),
        ("RENAME a b", OK),
        ("EXISTS a", 0),
        ("GET b", b"1"),
        ("TTL b", Between(99, 100)),
        ("RENAME b b", OK),
        ("GET b", b"1"),
        ("SET a 3", OK),
        ("RENAME a b", OK),
        ("TTL b", -1),
        ("RENAME x x", NO_SUCH_KEY),
        ("RENAME a", arity("rename")),
    ),
    script(
        "renamenx",
        ("RENAMENX a b", NO_SUCH_KEY),
        ("SET a 1 EX 100", OK),
        ("RENAMENX a b", 1),
        ("TTL b", Between(99, 100)),
        ("SET a 2", OK),
        ("RENAMENX a b", 0),
        ("MGET a b", [b"2", b"1"]),
        ("RENAMENX a a", 0),
        ("RENAMENX a", arity("renamenx")),
    ),
    script(
        "copy",
        ("COPY a b", 0),
        ("SET a 1 EX 100", OK),
        ("COPY a b", 1),
        ("TTL b", Between(99, 100)),
        ("MGET a b", [b"1", b"1"]),
        ("SET a 2", OK),
        ("COPY a b", 0),
        ("GET b", b"1"),
        ("COPY a b REPLACE", 1),
        ("GET b", b"2"),
        ("TTL b", -1),
        ("COPY a c DB 0", 1),
        ("COPY a c DB 0 REPLACE", 1),
        ("COPY a a", SAME),
        ("COPY a c DB 1", error("ERR DB index is out of range")),
        ("COPY a c DB x", error("ERR value is not an integer or out of range")),
        ("COPY a c DB", SYNTAX),
        ("COPY a c FOO", SYNTAX),
        ("COPY a", arity("copy")),
    ),
    script(
        "randomkey-dbsize",
        ("RANDOMKEY", None),
        ("DBSIZE", 0),
        ("SET a 1", OK),
        ("RANDOMKEY", b"a"),
        ("SET b 1", OK),
        ("RANDOMKEY", In(b"a", b"b")),
        ("DBSIZE", 2),
        ("DBSIZE x", arity("dbsize")),
        ("RANDOMKEY x", arity("randomkey")),
    ),
    script(
        "flush",
        ("MSET a 1 b 2", OK),
        ("FLUSHDB", OK),
        ("DBSIZE", 0),
        ("SET a 1", OK),
        ("FLUSHALL ASYNC", OK),
        ("DBSIZE", 0),
        ("SET a 1", OK),
        ("FLUSHDB SYNC", OK),
        ("EXISTS a", 0),
        ("FLUSHALL sync", OK),
        ("SET a 1", OK),
        ("FLUSHALL FOO", SYNTAX),
        ("FLUSHDB SYNC ASYNC", SYNTAX),
        ("EXISTS a", 1),
    ),
    script(
        "object",
        ("OBJECT ENCODING k", None),
        ("SET k 12345", OK),
        ("OBJECT ENCODING k", b"int"),
        ("SET k hello", OK),
        ("OBJECT ENCODING k", b"embstr"),
        (f"SET k {'x' * 100}", OK),
        ("OBJECT ENCODING k", b"raw"),
        ("OBJECT REFCOUNT k", 1),
        ("OBJECT IDLETIME k", Between(0, 5)),
        ("OBJECT IDLETIME none", None),
        ("OBJECT REFCOUNT none", None),
        ("OBJECT HELP", ANY),
        ("OBJECT FOO k", error("ERR unknown subcommand 'FOO'. Try OBJECT HELP.")),
        ("OBJECT", arity("object")),
        ("OBJECT ENCODING", arity("object|encoding")),
    ),
    script(
        "memory-usage",
        ("MEMORY USAGE k", None),
        ("SET k v", OK),
        ("MEMORY USAGE k", Between(16, 200)),
        (f"SET k {'x' * 1000}", OK),
        ("MEMORY USAGE k", Between(1000, 2000)),
        ("MEMORY USAGE k SAMPLES 5", Between(1000, 2000)),
        ("MEMORY USAGE k SAMPLES -1", SYNTAX),
        ("MEMORY USAGE k SAMPLES", SYNTAX),
        ("MEMORY USAGE k FOO", SYNTAX),
        ("MEMORY FOO", error("ERR unknown subcommand 'FOO'. Try MEMORY HELP.")),
        ("MEMORY USAGE", arity("memory|usage")),
        ("MEMORY", arity("memory")),
    ),
]


@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize("steps", SCRIPTS)
def test_conversation(wire: Wire, steps: Any, delivery: str) -> None:
    converse(wire, steps, delivery)


def test_random_keys_are_all_of_them_in_time(wire: Wire) -> None:
    assert wire("MSET", *(word for number in range(8) for word in (f"k{number}", "v"))) == OK
    assert set(wire.pipeline(["RANDOMKEY"] * 2000)) == {b"k%d" % number for number in range(8)}


def test_an_expired_key_is_not_there_for_any_command(wire: Wire) -> None:
    assert wire("SET k 1 PXAT 1") == OK
    for command, expected in (
        ("GET k", None), ("EXISTS k", 0), ("TOUCH k", 0), ("TYPE k", Simple("none")), ("STRLEN k", 0), ("DEL k", 0),
        ("GETDEL k", None), ("GETEX k EX 10", None), ("PERSIST k", 0), ("EXPIRE k 10", 0), ("RENAME k l", NO_SUCH_KEY),
        ("COPY k l", 0), ("KEYS *", []), ("RANDOMKEY", None), ("MGET k", [None]), ("GETRANGE k 0 -1", b""), ("TTL k", -2),
        ("SET k 2 XX", None), ("APPEND k 5", 1), ("SET k 1 PXAT 1", OK), ("INCR k", 1), ("SET k 1 PXAT 1", OK),
        ("SETRANGE k 1 x", 2), ("SET k 1 PXAT 1", OK), ("SETNX k 1", 1), ("SET k 1 PXAT 1", OK), ("MSETNX k 1 l 1", 1),
    ):  # fmt: skip
        assert wire(command) == expected, command


def test_many_keys_in_one_command(wire: Wire) -> None:
    keys = [b"key:%05d" % number for number in range(20_000)]
    assert wire("MSET", *(word for key in keys for word in (key, key[::-1]))) == OK
    assert wire("MGET", *keys) == [key[::-1] for key in keys]
    assert wire("EXISTS", *keys) == len(keys)
    assert wire("DBSIZE") == len(keys)
    assert sorted(wire("KEYS *")) == keys
    assert wire("UNLINK", *keys) == len(keys)
    assert wire("DBSIZE") == 0
