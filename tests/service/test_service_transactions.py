"""MULTI, EXEC, DISCARD, WATCH: what is queued, what is refused, and what breaks a watch."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from scripts import ANY, DELIVERIES, NOT_AN_INTEGER, arity, converse, error, same, script
from targets import Connect, ServerWith, Target
from wire import NO_LIST, OK, PONG, QUEUED, Simple, Wire

import shardmap

DISCARDED = error("EXECABORT Transaction discarded because of previous errors.")
WITHOUT_MULTI = error("ERR EXEC without MULTI")


SCRIPTS = [
    script(
        "multi-exec",
        ("MULTI", OK),
        ("SET k 1", QUEUED),
        ("INCR k", QUEUED),
        ("GET k", QUEUED),
        ("GET none", QUEUED),
        ("MGET k none", QUEUED),
        ("PING", QUEUED),
        ("ECHO hello", QUEUED),
        ("EXEC", [OK, 2, b"2", None, [b"2", None], PONG, b"hello"]),
        ("GET k", b"2"),
        ("EXEC", WITHOUT_MULTI),
    ),
    script("empty", ("MULTI", OK), ("EXEC", []), ("MULTI", OK), ("DISCARD", OK), ("EXEC", WITHOUT_MULTI)),
    script(
        "discard",
        ("MULTI", OK),
        ("SET k 1", QUEUED),
        ("DISCARD", OK),
        ("EXISTS k", 0),
        ("DISCARD", error("ERR DISCARD without MULTI")),
        ("SET k 2", OK),
    ),
    script(
        "nested",
        ("MULTI", OK),
        ("MULTI", error("ERR MULTI calls can not be nested")),
        ("SET k 1", QUEUED),
        ("WATCH k", error("ERR WATCH inside MULTI is not allowed")),
        ("EXEC", [OK]),
        ("MULTI x", arity("multi")),
        ("EXEC x", error("EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command")),
        ("DISCARD x", arity("discard")),
        ("WATCH", arity("watch")),
        ("UNWATCH x", arity("unwatch")),
    ),
    script(
        "errors-when-queued",
        ("SET k 0", OK),
        ("MULTI", OK),
        ("SET k 1", QUEUED),
        ("NOSUCH a b", error("ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b' ")),
        ("INCR k", QUEUED),
        ("EXEC", DISCARDED),
        ("GET k", b"0"),
        ("MULTI", OK),
        ("SET k", arity("set")),
        ("EXEC", DISCARDED),
        ("MULTI", OK),
        ("GET", arity("get")),
        ("DISCARD", OK),
        ("MULTI", OK),
        ("GET k", QUEUED),
        ("EXEC", [b"0"]),
    ),
    script(
        "errors-when-executed",
        ("SET s abc", OK),
        ("MULTI", OK),
        ("SET a 1", QUEUED),
        ("INCR s", QUEUED),
        ("SET b 2", QUEUED),
        ("SET c 3 EX 0", QUEUED),
        ("SET c 3 FOO", QUEUED),
        ("RENAME none x", QUEUED),
        ("INCR a", QUEUED),
        (
            "EXEC",
            [
                OK,
                NOT_AN_INTEGER,
                OK,
                error("ERR invalid expire time in 'set' command"),
                error("ERR syntax error"),
                error("ERR no such key"),
                2,
            ],
        ),
        ("MGET a b c", [b"2", b"2", None]),
    ),
    script(
        "unwatch",
        ("WATCH k", OK),
        ("WATCH k l", OK),
        ("SET k 1", OK),
        ("UNWATCH", OK),
        ("MULTI", OK),
        ("GET k", QUEUED),
        ("EXEC", [b"1"]),
        ("UNWATCH", OK),
        ("MULTI", OK),
        ("UNWATCH", QUEUED),
        ("EXEC", [OK]),
    ),
    script(
        "own-writes-break-a-watch",
        ("WATCH k", OK),
        ("SET k 1", OK),
        ("MULTI", OK),
        ("SET k 2", QUEUED),
        ("EXEC", NO_LIST),
        ("GET k", b"1"),
        ("MULTI", OK),
        ("SET k 2", QUEUED),
        ("EXEC", [OK]),
    ),
    script(
        "every-kind-of-command",
        ("MULTI", OK),
        ("MSET a 1 b 2", QUEUED),
        ("MSETNX a 1 c 1", QUEUED),
        ("EXISTS a b c", QUEUED),
        ("TYPE a", QUEUED),
        ("EXPIRE a 100", QUEUED),
        ("PERSIST a", QUEUED),
        ("TTL a", QUEUED),
        ("APPEND a 0", QUEUED),
        ("STRLEN a", QUEUED),
        ("RENAME b d", QUEUED),
        ("COPY a e", QUEUED),
        ("GETSET a 5", QUEUED),
        ("GETDEL e", QUEUED),
        ("GETEX a PERSIST", QUEUED),
        ("INCRBYFLOAT a 0.5", QUEUED),
        ("SETRANGE a 0 9", QUEUED),
        ("GETRANGE a 0 0", QUEUED),
        ("DBSIZE", QUEUED),
        ("KEYS d", QUEUED),
        ("SELECT 0", QUEUED),
        ("DEL a d", QUEUED),
        ("FLUSHALL", QUEUED),
        ("RANDOMKEY", QUEUED),
        ("SCAN 0", QUEUED),
        (
            "EXEC",
            [
                OK, 0, 2, Simple("string"), 1, 1, -1, 2, 2, OK, 1, b"10", b"10", b"5", b"5.5", 3, b"9", 2, [b"d"], OK,
                2, OK, None, [b"0", []],
            ],
        ),
    ),
]  # fmt: skip


@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize("steps", SCRIPTS)
def test_conversation(wire: Wire, steps: Any, delivery: str) -> None:
    converse(wire, steps, delivery)


#: A watched key k, and what another client does before EXEC: whether that breaks the watch. k is "5" with a time to
#: live, l is "7" without one, none is not there.
CHANGES = [
    ("SET k 5", True),
    ("SET k 5 KEEPTTL", True),
    ("SETEX k 100 5", True),
    ("SET k 6 XX", True),
    ("SET k 6 NX", False),
    ("SET k 6 NX GET", False),
    ("SETNX k 6", False),
    ("GETSET k 5", True),
    ("GETDEL k", True),
    ("GETEX k", False),
    ("GETEX k EX 50", True),
    ("GETEX k PERSIST", True),
    ("MSET k 5", True),
    ("MSET l 5", False),
    ("MSETNX k 1 m 2", False),
    ("APPEND k 0", True),
    ("SETRANGE k 0 1", True),
    (r"SETRANGE k 0 \e", False),
    ("INCR k", True),
    ("DECR k", True),
    ("INCRBY k 0", True),
    ("INCRBYFLOAT k 1", True),
    ("DEL k", True),
    ("UNLINK k", True),
    ("DEL none", False),
    ("RENAME k l", True),
    ("RENAME l k", True),
    ("RENAMENX k none", True),
    ("RENAMENX l k", False),
    ("COPY l k", False),
    ("COPY l k REPLACE", True),
    ("COPY k none", False),
    ("EXPIRE k 200", True),
    ("EXPIRE k 1 GT", False),
    ("EXPIRE k 0", True),
    ("PEXPIREAT k 1", True),
    ("PERSIST k", True),
    ("FLUSHALL", True),
    ("FLUSHDB", True),
    ("GET k", False),
    ("TOUCH k", False),
    ("STRLEN k", False),
    ("TTL k", False),
    ("EXISTS k", False),
]


@pytest.mark.parametrize(("change", "breaks"), CHANGES)
def test_what_breaks_a_watch(connect: Connect, change: str, breaks: bool) -> None:
    watcher, other = connect(), connect()
    assert other.pipeline(["SET k 5 EX 100", "SET l 7"]) == [OK, OK]
    assert watcher("WATCH k") == OK
    other(change)
    assert watcher.pipeline(["MULTI", "SET done 1"]) == [OK, QUEUED]
    assert same(NO_LIST if breaks else [OK], watcher("EXEC"))
    assert other("EXISTS done") == (0 if breaks else 1)


@pytest.mark.parametrize(
    ("change", "breaks"),
    [
        ("SET none 1", True), ("SETNX none 1", True), ("APPEND none x", True), ("INCR none", True),
        ("SETRANGE none 2 x", True), ("RENAME l none", True), ("COPY l none", True), ("MSETNX none 1", True),
        ("SET none 1 XX", False), ("DEL none", False), ("EXPIRE none 10", False), ("GET none", False),
        ("FLUSHALL", False), ("SET other 1", False),
    ],
)  # fmt: skip
def test_a_key_that_was_not_there_is_watched_too(connect: Connect, change: str, breaks: bool) -> None:
    watcher, other = connect(), connect()
    assert other("SET l 7") == OK
    assert watcher("WATCH none") == OK
    other(change)
    assert watcher("MULTI") == OK
    assert same(NO_LIST if breaks else [], watcher("EXEC"))


def test_a_key_that_comes_and_goes_breaks_the_watch(connect: Connect) -> None:
    watcher, other = connect(), connect()
    assert watcher("WATCH k") == OK
    assert other.pipeline(["SET k 1", "DEL k"]) == [OK, 1]
    assert watcher("MULTI") == OK
    assert same(NO_LIST, watcher("EXEC"))


@pytest.mark.ours
@pytest.mark.parametrize("wanted", [b"none", b"other"])
def test_a_load_by_the_application_breaks_the_watch(
    server: Target, connect: Connect, tmp_path: Path, wanted: bytes
) -> None:
    """It puts whole shards in the place of those where the key is watched, so it counts as a change whatever it loads."""
    if server.byte_map is None:
        pytest.skip("the store is in another process")
    shardmap.ByteMap({wanted: b"1"}).dump(tmp_path / "s.snap")
    for _ in range(2):
        watcher = connect()
        assert watcher("FLUSHALL") == OK
        assert watcher("WATCH none") == OK
        server.byte_map.load(tmp_path / "s.snap")
        assert watcher.pipeline(["MULTI", "GET none"]) == [OK, QUEUED]
        assert same(NO_LIST, watcher("EXEC"))


def test_a_watched_key_that_expires_breaks_the_watch(connect: Connect) -> None:
    watcher, other = connect(), connect()
    assert other("SET k 1 PX 250") == OK
    assert watcher("WATCH k") == OK
    assert watcher("GET k") == b"1"
    time.sleep(0.35)
    assert watcher.pipeline(["MULTI", "GET k"]) == [OK, QUEUED]
    assert same(NO_LIST, watcher("EXEC"))


def test_a_key_that_had_expired_when_it_was_watched_does_not(connect: Connect) -> None:
    watcher, other = connect(), connect()
    assert other("SET k 1 PX 20") == OK
    time.sleep(0.05)
    assert watcher("WATCH k") == OK
    assert watcher.pipeline(["MULTI", "GET k"]) == [OK, QUEUED]
    assert watcher("EXEC") == [None]


def test_a_watch_ends_with_exec_discard_reset_and_the_connection(connect: Connect) -> None:
    other = connect()
    for ending in ("EXEC", "DISCARD"):
        watcher = connect()
        assert watcher.pipeline(["WATCH k", "MULTI"]) == [OK, OK]
        watcher(ending)
        other("SET k 1")
        assert watcher.pipeline(["MULTI", "EXEC"]) == [OK, []]
    watcher = connect()
    assert watcher.pipeline(["WATCH k", "MULTI", "SET k 9", "RESET"]) == [OK, OK, QUEUED, Simple("RESET")]
    other("SET k 2")
    assert watcher("EXEC") == WITHOUT_MULTI
    assert watcher.pipeline(["MULTI", "EXEC"]) == [OK, []]
    connect().send_commands("WATCH k", "MULTI", "SET k lost")
    assert other("GET k") == b"2"


def test_execabort_ends_the_watch_too(connect: Connect) -> None:
    watcher, other = connect(), connect()
    assert watcher.pipeline(["WATCH k", "MULTI"]) == [OK, OK]
    assert same(error("ERR unknown command 'NOSUCH', with args beginning with: "), watcher("NOSUCH"))
    assert watcher("EXEC") == DISCARDED
    other("SET k 1")
    assert watcher.pipeline(["MULTI", "EXEC"]) == [OK, []]


def test_many_watches_of_many_clients(connect: Connect) -> None:
    """Each client watches keys of its own and one in common: the write to that breaks all, another breaks one."""
    clients = [connect() for _ in range(20)]
    other = connect()
    for number, client in enumerate(clients):
        assert client("WATCH", "common", *(f"own:{number}:{key}" for key in range(50))) == OK
    assert other("SET own:7:49 x") == OK
    for number, client in enumerate(clients):
        assert client("MULTI") == OK
        assert same(NO_LIST if number == 7 else [], client("EXEC"))
        assert client("WATCH common") == OK
    assert other("DEL own:7:49") == 1
    assert other("SET common 1") == OK
    for client in clients:
        assert client("MULTI") == OK
        assert same(NO_LIST, client("EXEC"))


def test_a_long_transaction(wire: Wire) -> None:
    replies = wire.pipeline(["MULTI", *(("SET", f"k{number}", number) for number in range(5000)), "DBSIZE", "EXEC"])
    assert replies[-1] == [OK] * 5000 + [5000]
    assert wire.pipeline(["MULTI", *(("GET", f"k{number}") for number in range(5000)), "EXEC"])[-1] == [
        b"%d" % number for number in range(5000)
    ]


@pytest.mark.parametrize("command", ["INFO", "CONFIG GET maxmemory", "CLIENT ID", "TIME", "OBJECT HELP", "LASTSAVE"])
def test_commands_about_the_server_inside_a_transaction(wire: Wire, command: str) -> None:
    """Either it is executed with the rest, or refused when it is queued; then nothing is executed."""
    assert wire("MULTI") == OK
    assert wire("SET k 1") == QUEUED
    queued = wire(command) == QUEUED
    assert same([OK, ANY] if queued else DISCARDED, wire("EXEC"))
    assert wire("EXISTS k") == int(queued)


def test_unwatch_in_a_transaction_comes_too_late(connect: Connect) -> None:
    watcher, other = connect(), connect()
    assert watcher.pipeline(["WATCH k none", "MULTI", "UNWATCH", "SET k 1", "EXEC"])[-1] == [OK, OK]
    assert watcher.pipeline(["WATCH k", "MULTI", "UNWATCH"]) == [OK, OK, QUEUED]
    assert other("SET k 2") == OK
    assert same(NO_LIST, watcher("EXEC"))
    assert watcher.pipeline(["MULTI", "GET k", "EXEC"])[-1] == [b"2"]


@pytest.mark.ours
def test_what_a_transaction_deletes_makes_room_for_what_it_sets(server_with: ServerWith) -> None:
    """Also where nothing may be evicted, and no room is free otherwise."""
    large = b"x" * (10 << 20)
    with server_with(max_memory=16 << 20).connect() as wire:
        assert wire.pipeline(["SET", f"small {number}", "v"] for number in range(400)) == [OK] * 400
        assert wire("SET", "large", large) == OK
        assert wire.pipeline(["MULTI", ["DEL", "large"], ["SET", "another", large], "EXEC"]) == [
            OK,
            QUEUED,
            QUEUED,
            [1, OK],
        ]
        assert wire.pipeline(["MULTI", "FLUSHALL", ["SET", "large", large], "EXEC"])[-1] == [OK, OK]
        assert wire("DBSIZE") == 1
