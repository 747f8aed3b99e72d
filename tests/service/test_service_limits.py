"""Limits: lengths are believed only when the bytes are there, and what is beyond a limit is refused in Redis's words."""

from __future__ import annotations

import resource
import time

import psutil
import pytest
import targets
from scripts import error
from targets import Connect, ServerWith, Target
from test_service_clients import resident
from wire import OK, PONG, QUEUED, Closed, ReplyError, Wire, packed

INVALID_BULK = error("ERR Protocol error: invalid bulk length")
INVALID_MULTIBULK = error("ERR Protocol error: invalid multibulk length")


@pytest.mark.ours
@pytest.mark.parametrize("declared", [b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nabc", b"*1000000\r\n$3\r\nDEL\r\n", b"*2\r\n$400000000\r\n"])  # fmt: skip
def test_memory_is_not_taken_for_a_declared_length(server: Target, declared: bytes) -> None:
    """A hundred clients that each promise half a gigabyte cost what they have sent."""
    wires = [server.connect() for _ in range(100)]
    try:
        for wire in wires:
            assert wire("PING") == PONG
        before = resident(server.process_id)
        for wire in wires:
            wire.send(declared)
        with server.connect() as other:
            assert other("PING") == PONG
        time.sleep(0.05)
        assert resident(server.process_id) - before < 30_000_000
    finally:
        for wire in wires:
            wire.close()


def test_bulk_limit(server_with: ServerWith) -> None:
    target = server_with(max_bulk=2 << 20)
    with target.connect() as wire:
        assert wire("SET", "k", b"x" * (2 << 20)) == OK
        assert wire("STRLEN k") == 2 << 20
        too_long = error("ERR string exceeds maximum allowed size (proto-max-bulk-len)")
        assert wire("APPEND k x") == too_long
        assert wire("SETRANGE", "k", 2 << 20, "x") == too_long
        assert wire("SETRANGE", "k", (2 << 20) - 1, "y") == 2 << 20
        wire.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2097153\r\n")
        assert wire.reply() == INVALID_BULK
        assert wire.closed()
    with target.connect() as wire:
        assert wire("GETRANGE k -1 -1") == b"y"


@pytest.mark.ours
def test_argument_limit(server_with: ServerWith) -> None:
    target = server_with(max_arguments=100)
    with target.connect() as wire:
        assert wire("DEL", *map(str, range(99))) == 0
        wire.send(packed(["DEL", *map(str, range(100))]))
        assert wire.reply() == INVALID_MULTIBULK
        assert wire.closed()


@pytest.mark.ours
def test_query_limit(server_with: ServerWith) -> None:
    """What waits to be understood: a command, or the commands of a transaction, beyond the limit ends the client."""
    target = server_with(max_query=1 << 20)
    with target.connect() as wire:
        assert wire("SET", "k", b"x" * 500_000) == OK
        with pytest.raises((Closed, ConnectionError)):
            wire.send(packed(["MSET", *(word for number in range(40) for word in (f"k{number}", "x" * 100_000))]))
            wire.reply()
    with target.connect() as wire:
        assert wire("DBSIZE") == 1
        assert wire("MULTI") == OK
        with pytest.raises((Closed, ConnectionError)):
            # Redis closes; to refuse what is too much, and the transaction with it, will do as well.
            replies = [wire("SET", f"k{number}", b"x" * 100_000) for number in range(40)]
            assert replies[0] == QUEUED
            assert isinstance(replies[-1], ReplyError)
            assert isinstance(wire("EXEC"), ReplyError)
            raise Closed
    with target.connect() as wire:
        assert wire("DBSIZE") == 1


@pytest.mark.ours
def test_output_limit(server_with: ServerWith) -> None:
    """Replies that wait beyond the limit end who does not read them, however they came about."""
    target = server_with(max_output=1 << 20)
    with target.connect() as wire, target.connect() as other:
        assert other("SET", "big", b"x" * 500_000) == OK
        wire.send(packed(["MGET", *["big"] * 200]))
        with pytest.raises((Closed, ConnectionError)):
            wire.reply()
        assert other("PING") == PONG


def test_a_line_without_an_end(connect: Connect) -> None:
    wire = connect()
    with pytest.raises((Closed, ConnectionError)):
        for _ in range(3_000):
            wire.send(b"x" * 1_000)
        raise Closed
    said = b""
    with pytest.raises((Closed, ConnectionError, AssertionError)):
        said = wire.line()
        raise Closed
    assert said in {b"", b"-ERR Protocol error: too big inline request"}
    assert connect()("PING") == PONG


@pytest.mark.parametrize("start", [b"*", b"*3\r\n$"])
def test_a_number_without_an_end(connect: Connect, start: bytes) -> None:
    wire = connect()
    with pytest.raises((Closed, ConnectionError)):
        wire.send(start)
        for _ in range(300):
            wire.send(b"1" * 1_000)
            time.sleep(0.0005)
        reply = wire.reply()
        assert reply in {
            error("ERR Protocol error: too big mbulk count string"),
            error("ERR Protocol error: too big bulk count string"),
            INVALID_MULTIBULK,
            INVALID_BULK,
        }
        raise Closed
    assert connect()("PING") == PONG


def test_too_many_arguments_by_far(connect: Connect) -> None:
    for count in (b"1048577", b"2147483648", b"4294967297", b"18446744073709551617"):
        wire = connect()
        wire.send(b"*" + count + b"\r\n")
        if wire.silent(0.05):
            # Redis has allowed 2**31 - 1 since 7.0.
            assert int(count) < 1 << 31
            continue
        assert wire.reply() == INVALID_MULTIBULK
        assert wire.closed()


@pytest.mark.ours
def test_limits_change_at_run_time(server_with: ServerWith) -> None:
    target = server_with()
    with target.connect() as wire:
        assert wire("CONFIG SET proto-max-bulk-len 1mb") == OK
        wire.send(b"*2\r\n$3\r\nGET\r\n$1048577\r\n")
        assert wire.reply() == INVALID_BULK
    with target.connect() as wire:
        assert wire("CONFIG SET max-arguments 50") == OK
        wire.send(b"*51\r\n")
        assert wire.reply() == INVALID_MULTIBULK


@pytest.mark.ours
def test_a_value_of_512_megabytes(server_with: ServerWith) -> None:
    """The longest that Redis takes too; kept to a machine that has the memory for a few copies."""
    if psutil.virtual_memory().available < 6 << 30:
        pytest.skip("needs 6 GB of free memory")
    target = server_with(max_query="2gb", max_output="2gb")
    size = 512 << 20
    with target.connect(120) as wire:
        value = bytes(1 << 20) * 512
        wire.send(b"*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$%d\r\n" % size)
        wire.send(value)
        wire.send(b"\r\n")
        assert wire.reply() == OK
        assert wire("STRLEN big") == size
        wire.send_commands("GET big")
        assert wire.reply() == value


@pytest.mark.ours
def test_a_server_that_runs_out_of_descriptors_recovers() -> None:
    """With no descriptor left new clients wait or are refused; those connected are served, and later ones again."""
    with targets.process() as target, target.connect() as before:
        assert before("PING") == PONG
        resource.prlimit(target.process_id, resource.RLIMIT_NOFILE, (64, 64))
        many = [target.connect() for _ in range(100)]
        assert before("SET k v") == OK
        assert before("GET k") == b"v"
        for wire in many:
            wire.close()
        ends = time.monotonic() + 20
        while time.monotonic() < ends:
            try:
                with target.connect(1.0) as later:
                    if later("GET k") == b"v":
                        break
            except (OSError, Closed):
                time.sleep(0.05)
        else:
            pytest.fail("nobody is accepted any more")


def test_wires_are_not_mixed_up(connect: Connect) -> None:
    """Replies of large and small commands of many clients, each to its own."""
    wires: list[Wire] = [connect() for _ in range(30)]
    for turn in range(10):
        for number, wire in enumerate(wires):
            wire.send_commands(["SET", f"k{number}", f"{number}:{turn}" * (1 + number * 50)], ["GET", f"k{number}"])
        for number, wire in enumerate(wires):
            assert wire.replies(2) == [OK, (f"{number}:{turn}" * (1 + number * 50)).encode()]


@pytest.mark.ours
def test_one_reply_beyond_the_output_limit(server_with: ServerWith) -> None:
    """It ends who asked for it, and nobody else."""
    target = server_with(max_output=1 << 20, threads=1)
    with target.connect() as wire, target.connect() as other:
        assert wire("SET", "big", b"x" * (3 << 20)) == OK
        wire.send_commands("GET big")
        with pytest.raises((Closed, ConnectionError)):
            wire.reply()
        assert other("PING") == PONG


@pytest.mark.ours
def test_the_least_output_limit_lets_replies_through(server_with: ServerWith) -> None:
    with server_with(max_output=1024).connect() as wire:
        assert wire.pipeline([("SET", "k", "x" * 10_000), "GET k", "PING"]) == [OK, b"x" * 10_000, PONG]


@pytest.mark.ours
def test_replies_to_one_that_is_closed_reach_nobody_else(server_with: ServerWith) -> None:
    target = server_with(max_query=1024, threads=1)
    with target.connect() as wire, target.connect() as other:
        wire.send(packed("PING") + b"*2\r\n$3\r\nGET\r\n$5000\r\n" + b"x" * 2000)
        with pytest.raises((Closed, ConnectionError)):
            assert wire.reply() == PONG
            wire.reply()
        assert other("ECHO mine") == b"mine"
        assert other.silent(0.05)


def test_what_is_wrong_behind_a_command_that_takes_long(wire: Wire) -> None:
    """It is told after that command's reply, and not forgotten."""
    wire.send(packed("INFO server") + b"*2\r\n$3\r\nGET\r\n$-1\r\n" + packed("PING"))
    assert isinstance(wire.reply(), bytes)
    assert wire.reply() == INVALID_BULK
    assert wire.closed()
