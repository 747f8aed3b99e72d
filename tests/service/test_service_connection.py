"""A connection's own state: protocol version, name, database, authentication, and how it ends."""

from __future__ import annotations

from typing import Any

import pytest
from scripts import ANY, DELIVERIES, Flat, Matching, arity, converse, error, same, script
from targets import Connect
from wire import NO_LIST, OK, PONG, Simple, Wire

SYNTAX = error("ERR syntax error")
NO_CLUSTER = error("ERR This instance has cluster support disabled")


SCRIPTS = [
    script(
        "ping-echo",
        ("PING", PONG),
        ("ping", PONG),
        ("PING hello", b"hello"),
        (r"PING \e", b""),
        ("PING a b", arity("ping")),
        ("ECHO hello", b"hello"),
        (r"ECHO \x00\xff\r\n", b"\0\xff\r\n"),
        ("ECHO", arity("echo")),
        ("ECHO a b", arity("echo")),
    ),
    script(
        "select",
        ("SELECT 0", OK),
        ("SELECT 1", error("ERR DB index is out of range")),
        ("SELECT -1", error("ERR DB index is out of range")),
        ("SELECT x", error("ERR value is not an integer or out of range")),
        ("SELECT", arity("select")),
        ("SELECT 0 0", arity("select")),
    ),
    script(
        "no cluster",
        ("READONLY", NO_CLUSTER),
        ("READWRITE", NO_CLUSTER),
        ("ASKING", NO_CLUSTER),
        ("CLUSTER INFO", NO_CLUSTER),
        ("CLUSTER SHARDS", NO_CLUSTER),
        ("READONLY x", arity("readonly")),
        ("CLUSTER", arity("cluster")),
    ),
    script(
        "unknown",
        ("NOSUCH", error("ERR unknown command 'NOSUCH', with args beginning with: ")),
        ("nosuch a b", error("ERR unknown command 'nosuch', with args beginning with: 'a' 'b' ")),
        (f"x {'a' * 200} b", error(f"ERR unknown command 'x', with args beginning with: '{'a' * 128}' ")),
        (f"{'n' * 200} a", error(f"ERR unknown command '{'n' * 128}', with args beginning with: 'a' ")),
        (r"a\r\nb c\r\nd", error("ERR unknown command 'a  b', with args beginning with: 'c  d' ")),
        ("GETT k", error("ERR unknown command 'GETT', with args beginning with: 'k' ")),
        ("GE k", error("ERR unknown command 'GE', with args beginning with: 'k' ")),
        ("PING", PONG),
    ),
    script(
        "client",
        ("CLIENT ID", ANY),
        ("CLIENT GETNAME", None),
        ("CLIENT SETNAME me", OK),
        ("CLIENT GETNAME", b"me"),
        (
            r"CLIENT SETNAME two\swords",
            error("ERR Client names cannot contain spaces, newlines or special characters."),
        ),
        ("CLIENT GETNAME", b"me"),
        (r"CLIENT SETNAME \e", OK),
        ("CLIENT GETNAME", None),
        ("CLIENT NO-EVICT ON", OK),
        ("CLIENT NO-EVICT off", OK),
        ("CLIENT NO-EVICT x", SYNTAX),
        ("CLIENT HELP", ANY),
        ("CLIENT INFO", Matching("(txt:)?id=[0-9]+ addr=[^ ]+ .*cmd=client([|]info)?.*\n?")),
        ("CLIENT", arity("client")),
        ("CLIENT FOO", error("ERR unknown subcommand 'FOO'. Try CLIENT HELP.")),
        ("CLIENT ID x", arity("client|id")),
        ("CLIENT SETNAME", arity("client|setname")),
    ),
    script("reset", ("CLIENT SETNAME me", OK), ("MULTI", OK), ("RESET", Simple("RESET")), ("CLIENT GETNAME", None)),
]

HELLOS = [
    ("HELLO", Flat(server=b"redis", version=ANY, proto=2, id=ANY, mode=b"standalone", role=b"master", modules=[])),
    ("HELLO 3", Flat(server=b"redis", proto=3)),
    ("HELLO 2", Flat(proto=2)),
    ("HELLO 3 SETNAME me", Flat(proto=3)),
    ("CLIENT GETNAME", b"me"),
    ("HELLO", Flat(proto=3)),
    ("HELLO 4", error("NOPROTO unsupported protocol version")),
    ("HELLO 1", error("NOPROTO unsupported protocol version")),
    ("HELLO x", error("ERR Protocol version is not an integer or out of range")),
    ("HELLO 3 FOO", error("ERR Syntax error in HELLO option 'FOO'")),
    ("HELLO 3 AUTH default", error("ERR Syntax error in HELLO option 'AUTH'")),
    ("HELLO 3 SETNAME", error("ERR Syntax error in HELLO option 'SETNAME'")),
    (r"HELLO 3 SETNAME a\sb", error("ERR Client names cannot contain spaces, newlines or special characters.")),
    ("HELLO 3 AUTH nobody x", error("WRONGPASS invalid username-password pair or user is disabled.")),
    ("CLIENT GETNAME", b"me"),
    ("HELLO", Flat(proto=3)),
]  # fmt: skip


@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize("steps", SCRIPTS)
def test_conversation(wire: Wire, steps: Any, delivery: str) -> None:
    converse(wire, steps, delivery)


def test_hello(wire: Wire) -> None:
    converse(wire, HELLOS)


@pytest.mark.ours
def test_hello_of_shardmap_names_itself_as_clients_expect(wire: Wire) -> None:
    assert same(Flat(version=b"7.2.4"), wire("HELLO 3"))


def test_the_nulls_and_maps_of_each_version_are_its_own(wire: Wire) -> None:
    """The very bytes: what is a null, and how a transaction that was broken says so."""
    for command, second, third in (
        ("GET none", b"$-1\r\n", b"_\r\n"),
        ("MGET none", b"*1\r\n$-1\r\n", b"*1\r\n_\r\n"),
        ("RANDOMKEY", b"$-1\r\n", b"_\r\n"),
        ("SET k v XX", b"$-1\r\n", b"_\r\n"),
        ("CLIENT GETNAME", b"$-1\r\n", b"_\r\n"),
        ("KEYS *", b"*0\r\n", b"*0\r\n"),
        ("EXISTS k", b":0\r\n", b":0\r\n"),
        ("SCAN 0", b"*2\r\n$1\r\n0\r\n*0\r\n", b"*2\r\n$1\r\n0\r\n*0\r\n"),
        ("INCRBYFLOAT f 1.5", b"$3\r\n1.5\r\n", b"$1\r\n3\r\n"),
        ("CONFIG GET nosuch", b"*0\r\n", b"%0\r\n"),
    ):
        for version, expected in ((2, second), (3, third)):
            wire.hello(version)
            wire.send_commands(command)
            assert wire.exactly(len(expected)) == expected, command
    for version, expected in ((2, b"*-1\r\n"), (3, b"_\r\n")):
        wire.hello(version)
        wire.pipeline(["WATCH k", ("SET", "k", version), "MULTI"])
        wire.send_commands("EXEC")
        assert wire.exactly(len(expected)) == expected


def test_hello_inside_a_transaction_does_not_break_the_framing(wire: Wire) -> None:
    replies = wire.pipeline(["MULTI", "HELLO 3", "GET none", "EXEC", "PING"])
    assert replies[-1] == PONG


@pytest.mark.parametrize("command", ["QUIT", "quit"])
def test_quit_answers_and_closes(wire: Wire, command: str) -> None:
    wire.send_commands("SET k v", command, "SET k after")
    assert wire.replies(2) == [OK, OK]
    assert wire.closed()


def test_quit_does_nothing_of_a_transaction(connect: Connect) -> None:
    leaving = connect()
    leaving.send_commands("MULTI", "SET k v", "QUIT")
    leaving.rest()
    assert connect()("EXISTS k") == 0


def test_reset_ends_resp3_and_the_transaction(wire: Wire) -> None:
    wire.hello(3)
    assert wire.pipeline(["WATCH k", "MULTI"]) == [OK, OK]
    assert wire("RESET") == Simple("RESET")
    wire.send_commands("GET k")
    assert wire.exactly(5) == b"$-1\r\n"
    assert wire("EXEC") == error("ERR EXEC without MULTI")


def test_ids_differ_and_grow(connect: Connect) -> None:
    ids = [connect()("CLIENT ID") for _ in range(10)]
    assert len(set(ids)) == 10
    assert ids == sorted(ids)


def _described(text: bytes) -> list[dict[str, str]]:
    return [dict(field.split("=", 1) for field in line.split(" ")) for line in text.decode().splitlines()]


def test_client_list_shows_who_is_connected(connect: Connect) -> None:
    one, two = connect(), connect()
    one("CLIENT SETNAME first")
    two("CLIENT SETNAME second")
    two("MULTI")
    two("PING")
    listed = {client["name"]: client for client in _described(one("CLIENT LIST"))}
    assert listed["first"]["id"] == str(one("CLIENT ID"))
    assert listed["first"]["cmd"] in {"client|list", "client"}
    assert listed["second"]["multi"] == "1"
    assert listed["first"]["multi"] == "-1"
    assert listed["first"]["addr"] == "{}:{}".format(*one.socket.getsockname())
    for field in ("fd", "age", "idle", "db", "qbuf", "omem", "resp", "laddr", "flags"):
        assert field in listed["first"], field
    only = _described(one("CLIENT", "LIST", "ID", one("CLIENT ID")))
    assert [client["name"] for client in only] == ["first"]
    assert _described(one("CLIENT INFO"))[0]["name"] == "first"


@pytest.mark.parametrize("how", ["ID", "ADDR", "old"])
def test_client_kill_closes_that_connection_and_no_other(connect: Connect, how: str) -> None:
    killer, victim, bystander = connect(), connect(), connect()
    victim("PING")
    address = "{}:{}".format(*victim.socket.getsockname())
    if how == "ID":
        assert killer("CLIENT", "KILL", "ID", victim("CLIENT ID")) == 1
    elif how == "ADDR":
        assert killer("CLIENT", "KILL", "ADDR", address) == 1
    else:
        assert killer("CLIENT", "KILL", address) == OK
    assert victim.closed()
    assert bystander("PING") == PONG
    assert killer("CLIENT KILL ID 999999999") == 0
    assert same(error("ERR No such client"), killer("CLIENT KILL 1.2.3.4:5"))


def test_setinfo_is_accepted(wire: Wire, server: Any) -> None:
    """What redis-py says on connect; Redis 7.0 does not know it yet."""
    if server.kind == "redis":
        pytest.skip("since Redis 7.2")
    assert wire.pipeline(["CLIENT SETINFO LIB-NAME redis-py", "CLIENT SETINFO LIB-VER 8.1.0"]) == [OK, OK]
    assert "lib-name=redis-py lib-ver=8.1.0" in wire("CLIENT INFO").decode()
    assert same(error("ERR Unrecognized option 'FOO'"), wire("CLIENT SETINFO FOO x"))
    assert same(Matching("ERR .*"), wire(r"CLIENT SETINFO LIB-NAME a\sb"))


def test_what_a_broken_watch_answers_in_each_version(connect: Connect) -> None:
    for version in (2, 3):
        client = connect()
        client.hello(version)
        assert client.pipeline(["WATCH k", "SET k 1", "MULTI"]) == [OK, OK, OK]
        assert same(NO_LIST, client("EXEC"))
