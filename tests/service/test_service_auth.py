"""A password: nothing is done, and next to nothing read, for who has not given it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from scripts import ANY, Flat, Matching, error, same
from targets import ServerWith, Target
from wire import OK, PONG, Closed, ReplyError, Simple, Wire, packed

NOAUTH = error("NOAUTH Authentication required.")
#: EXEC says so in other words.
REFUSED = Matching("(EXECABORT Transaction discarded because of: )?NOAUTH Authentication required.")
WRONGPASS = error("WRONGPASS invalid username-password pair or user is disabled.")
NOT_CONFIGURED = error(
    "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?"
)


@pytest.fixture
def locked(server_with: ServerWith) -> Target:
    return server_with(password="s3cret word")


@pytest.fixture
def stranger(locked: Target) -> Iterator[Wire]:
    with locked.connect() as wire:
        yield wire


def test_nothing_works_before_auth(stranger: Wire) -> None:
    for command in ("PING", "SET k v", "GET k", "INFO", "CONFIG GET *", "MULTI", "EXEC", "DISCARD", "WATCH k", "SELECT 0", "CLIENT ID", "COMMAND", "KEYS *", "SHUTDOWN", "EVALSHA x 0", "ECHO x", "CLIENT LIST"):  # fmt: skip
        assert same(REFUSED, stranger(command)), command


def test_auth(stranger: Wire) -> None:
    assert stranger("AUTH wrong") == WRONGPASS
    assert stranger("AUTH", "s3cret word ") == WRONGPASS
    assert stranger("AUTH", "s3cret wor") == WRONGPASS
    assert stranger("AUTH", "") == WRONGPASS
    assert stranger("AUTH", "someone", "s3cret word") == WRONGPASS
    assert stranger("GET k") == NOAUTH
    assert stranger("AUTH", "s3cret word") == OK
    assert stranger("SET k v") == OK
    assert stranger("AUTH", "default", "s3cret word") == OK
    assert stranger("AUTH wrong") == WRONGPASS
    assert stranger("GET k") == b"v"


def test_auth_errors(stranger: Wire) -> None:
    assert stranger("AUTH") == error("ERR wrong number of arguments for 'auth' command")
    assert stranger("AUTH a b c") == error("ERR syntax error")


def test_hello_with_auth(stranger: Wire) -> None:
    refused = stranger("HELLO 3")
    assert isinstance(refused, ReplyError)
    assert refused.startswith("NOAUTH HELLO must be called with the client already authenticated")
    assert stranger("HELLO", 3, "AUTH", "default", "wrong") == WRONGPASS
    assert stranger("PING") == NOAUTH
    assert same(Flat(proto=3), stranger("HELLO", 3, "AUTH", "default", "s3cret word", "SETNAME", "me"))
    assert stranger("CLIENT GETNAME") == b"me"


def test_reset_takes_it_back(stranger: Wire) -> None:
    assert stranger("AUTH", "s3cret word") == OK
    assert stranger("RESET") == Simple("RESET")
    assert stranger("GET k") == NOAUTH


def test_quit_is_for_everybody(stranger: Wire) -> None:
    assert stranger("QUIT") == OK
    assert stranger.closed()


def test_a_pipeline_that_begins_with_auth(stranger: Wire) -> None:
    assert stranger.pipeline([["AUTH", "s3cret word"], "SET k v", "GET k"]) == [OK, OK, b"v"]


def test_each_connection_gives_it(locked: Target) -> None:
    with locked.connect() as one, locked.connect() as two:
        assert one("AUTH", "s3cret word") == OK
        assert two("PING") == NOAUTH
        assert one("PING") == PONG


def test_without_a_password(wire: Wire) -> None:
    assert wire("AUTH x") == NOT_CONFIGURED
    assert wire("AUTH default anything") == OK
    assert wire("AUTH someone x") == WRONGPASS
    assert same(ANY, wire("HELLO 3 AUTH default x"))


def test_a_stranger_may_send_ten_arguments(stranger: Wire, locked: Target) -> None:
    assert stranger("SET", *"123456789") == NOAUTH
    with locked.connect() as wire:
        wire.send(b"*11\r\n")
        assert wire.reply() == error("ERR Protocol error: unauthenticated multibulk length")
        assert wire.closed()
    assert stranger("AUTH", "s3cret word") == OK
    assert stranger("DEL", *"12345678901234567890") == 0


def test_a_stranger_may_send_sixteen_kibibytes(stranger: Wire, locked: Target) -> None:
    assert stranger("GET", "x" * 16_384) == NOAUTH
    with locked.connect() as wire:
        wire.send(b"*2\r\n$3\r\nGET\r\n$16385\r\n")
        assert wire.reply() == error("ERR Protocol error: unauthenticated bulk length")
        assert wire.closed()
    assert stranger("AUTH", "s3cret word") == OK
    assert stranger("SET", "k", "x" * 100_000) == OK


@pytest.mark.ours
def test_a_stranger_cannot_have_the_server_keep_more(locked: Target) -> None:
    """Inline, and without ever ending a line."""
    with locked.connect() as wire, pytest.raises((Closed, ConnectionError)):
        for _ in range(2_000):
            wire.send(b"x" * 1_000)
        wire.reply()
        wire.send(b"x")
        wire.reply()


def test_a_transaction_is_not_a_way_in(stranger: Wire) -> None:
    assert stranger.pipeline(["MULTI", "SET k v", "EXEC"])[:2] == [NOAUTH, NOAUTH]
    assert same(REFUSED, stranger("EXEC"))


@pytest.mark.ours
def test_a_stranger_is_not_kept_for_ever(server_with: ServerWith) -> None:
    target = server_with(password="x", request_timeout=0.3)
    with target.connect() as stranger, target.connect() as friend:
        assert friend("AUTH x") == OK
        assert stranger.closed()
        assert friend("PING") == PONG


def test_the_password_changes_at_run_time(server_with: ServerWith) -> None:
    target = server_with(password="one")
    with target.connect() as before:
        assert before("AUTH one") == OK
        assert before("CONFIG SET requirepass two") == OK
        assert before("PING") == PONG
        with target.connect() as after:
            assert after("AUTH one") == WRONGPASS
            assert after("AUTH two") == OK
        assert before("CONFIG SET requirepass one") == OK


@pytest.mark.ours
def test_any_password_is_compared_as_bytes(server_with: ServerWith) -> None:
    target = server_with(password="pässwörd")
    with target.connect() as wire:
        wire.send(packed(["AUTH", "passwörd"], ["AUTH", "pässwörd"]))
        assert wire.replies(2) == [WRONGPASS, OK]


def test_who_came_before_the_password_was_taken_away(server_with: ServerWith) -> None:
    target = server_with(password="secret")
    with target.connect() as known, target.connect() as stranger:
        assert known("AUTH secret") == OK
        assert known("CONFIG", "SET", "requirepass", "") == OK
        assert stranger("AUTH default any") == OK
        assert stranger("DBSIZE") == 0


@pytest.mark.ours
def test_the_slow_log_has_no_password(server_with: ServerWith) -> None:
    target = server_with(password="secret", slow_log_threshold=0)
    with target.connect() as wire:
        assert wire("AUTH secret") == OK
        wire("HELLO 2 AUTH default secret")
        log = wire("SLOWLOG GET 100")
        assert {entry[3][0] for entry in log} >= {b"AUTH", b"HELLO"}
        assert not any(b"secret" in entry[3] for entry in log)
