"""Framing: commands cut anywhere, inline, empty, malformed; what is no protocol is answered as Redis does, and closed."""

from __future__ import annotations

import contextlib
import random

import pytest
from scripts import error
from targets import Connect
from wire import OK, PONG, Wire, packed

TEXT = [b"SET", b"key\r\n\0", b"$3\r\nfoo\r\n*1\r\n"]


def test_a_pipeline_cut_at_every_byte(connect: Connect) -> None:
    """Two parts, at each place: the replies are the same."""
    sent = packed("SET k value", "GET k", ["SET", TEXT[1], TEXT[2]], ["GET", TEXT[1]], "INCR n", "PING") + b"PING\r\n"
    expected = [OK, b"value", OK, TEXT[2]]
    wire = connect()
    for place in range(len(sent) + 1):
        wire.send(sent[:place])
        wire.send(sent[place:])
        assert wire.replies(4) == expected, place
        assert wire.reply() == place + 1
        assert wire.replies(2) == [PONG, PONG]


def test_a_pipeline_in_random_pieces(wire: Wire) -> None:
    rng = random.Random(5)
    commands, expected = [], []
    for number in range(300):
        value = rng.randbytes(rng.choice([0, 1, 10, 100, 5000]))
        commands += [("SET", f"k{number % 7}", value), ("GET", f"k{number % 7}")]
        expected += [OK, value]
    sent = packed(*commands)
    place = 0
    while place < len(sent):
        size = rng.choice([1, 2, 3, 7, 100, 4096, 16_384, 70_000])
        wire.send(sent[place : place + size])
        place += size
    assert wire.replies(len(expected)) == expected


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 64, 1000, 20_000])
def test_pipelines_of_every_length(wire: Wire, count: int) -> None:
    assert wire.pipeline(("INCR", "n") for _ in range(count)) == list(range(1, count + 1))


INLINE = [
    (b"PING\r\n", [PONG]),
    (b"PING\n", [PONG]),
    (b"\r\n\r\n\nPING\r\n", [PONG]),
    (b"   \r\nPING\r\n", [PONG]),
    (b"  PING   hello  \r\n", [b"hello"]),
    (b"PING\thello\r\n", [b"hello"]),
    (b'ECHO "hello world"\r\n', [b"hello world"]),
    (b"ECHO 'hello world'\r\n", [b"hello world"]),
    (b'ECHO "\\x41\\x00\\n\\r\\t\\b\\a\\\\\\""\r\n', [b'A\0\n\r\t\b\a\\"']),
    (b"ECHO 'it\\'s \\n'\r\n", [b"it's \\n"]),
    (b'ECHO ""\r\n', [b""]),
    (b'ECHO "\\xZZ"\r\n', [b"xZZ"]),
    (b'ECHO a"b\r\n', [error("ERR Protocol error: unbalanced quotes in request"), "end"]),
    (b'ECHO "abc\r\n', [error("ERR Protocol error: unbalanced quotes in request"), "end"]),
    (b'ECHO "a"b\r\n', [error("ERR Protocol error: unbalanced quotes in request"), "end"]),
    (b"ECHO 'a'b\r\n", [error("ERR Protocol error: unbalanced quotes in request"), "end"]),
    (b"SET k v\r\nGET k\r\n*1\r\n$4\r\nPING\r\nGET k\r\n", [OK, b"v", PONG, b"v"]),
    (b"+PING\r\n", [error("ERR unknown command '+PING', with args beginning with: ")]),
    (b"$4\r\nPING\r\n", [error("ERR unknown command '$4', with args beginning with: "), PONG]),
]

MALFORMED = [
    (b"*0\r\nPING\r\n", [PONG]),
    (b"*-1\r\nPING\r\n", [PONG]),
    (b"*-10\r\nPING\r\n", [PONG]),
    (b"*1\r\n$0\r\n\r\n", [error("ERR unknown command '', with args beginning with: ")]),
    (b"*x\r\n", [error("ERR Protocol error: invalid multibulk length"), "end"]),
    (b"*\r\n", [error("ERR Protocol error: invalid multibulk length"), "end"]),
    (b"*1x\r\n", [error("ERR Protocol error: invalid multibulk length"), "end"]),
    (b"*2147483648\r\n", [error("ERR Protocol error: invalid multibulk length"), "end"]),
    (b"*9223372036854775808\r\n", [error("ERR Protocol error: invalid multibulk length"), "end"]),
    (b"*99999999999999999999999999\r\n", [error("ERR Protocol error: invalid multibulk length"), "end"]),
    (b"*1\r\nPING\r\n", [error("ERR Protocol error: expected '$', got 'P'"), "end"]),
    (b"*1\r\n:4\r\nPING\r\n", [error("ERR Protocol error: expected '$', got ':'"), "end"]),
    (b"*1\r\n*1\r\n", [error("ERR Protocol error: expected '$', got '*'"), "end"]),
    (b"*2\r\n$3\r\nGET\r\nk\r\n", [error("ERR Protocol error: expected '$', got 'k'"), "end"]),
    (b"*1\r\n$x\r\n", [error("ERR Protocol error: invalid bulk length"), "end"]),
    (b"*1\r\n$-1\r\n", [error("ERR Protocol error: invalid bulk length"), "end"]),
    (b"*1\r\n$\r\n", [error("ERR Protocol error: invalid bulk length"), "end"]),
    (b"*1\r\n$536870913\r\n", [error("ERR Protocol error: invalid bulk length"), "end"]),
    (b"*1\r\n$9223372036854775807\r\n", [error("ERR Protocol error: invalid bulk length"), "end"]),
    (b"*1\r\n$18446744073709551620\r\n", [error("ERR Protocol error: invalid bulk length"), "end"]),
    (b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4x\r\nabcd\r\n", [error("ERR Protocol error: invalid bulk length"), "end"]),
]


@pytest.mark.parametrize(("sent", "expected"), INLINE + MALFORMED, ids=repr)
def test_what_is_sent_and_what_comes_back(wire: Wire, sent: bytes, expected: list[object]) -> None:
    _send_and_compare(wire, [sent], expected)


@pytest.mark.parametrize(("sent", "expected"), INLINE + MALFORMED, ids=repr)
def test_the_same_byte_by_byte(wire: Wire, sent: bytes, expected: list[object]) -> None:
    _send_and_compare(wire, [sent[place : place + 1] for place in range(len(sent))], expected)


def _send_and_compare(wire: Wire, pieces: list[bytes], expected: list[object]) -> None:
    for piece in pieces:
        try:
            wire.send(piece)
        except ConnectionError:
            break
    for one in expected:
        if one == "end":
            assert wire.closed()
        else:
            assert wire.reply() == one
    if "end" not in expected:
        assert wire("PING") == PONG


def test_commands_before_a_protocol_error_are_executed_and_answered(connect: Connect) -> None:
    wire = connect()
    wire.send(packed("SET k v", "GET k") + b"*x\r\n" + packed("SET k after"))
    assert wire.replies(3) == [OK, b"v", error("ERR Protocol error: invalid multibulk length")]
    assert wire.closed()
    assert connect()("GET k") == b"v"


def test_a_protocol_error_inside_a_transaction_executes_nothing(connect: Connect) -> None:
    wire = connect()
    wire.send(packed("MULTI", "SET k v") + b"*1\r\nx\r\n")
    wire.rest()
    assert connect()("EXISTS k") == 0


@pytest.mark.parametrize("first", [b"POST / HTTP/1.1\r\nHost: example\r\n\r\nSET k v\r\n", b"Host: example\r\nSET k v\r\n", b"post / x\r\nSET k v\r\n", b"host: x\r\nSET k v\r\n"])  # fmt: skip
def test_a_browser_that_is_made_to_talk_to_the_port_is_cut_off(connect: Connect, first: bytes) -> None:
    wire = connect()
    wire.send(first)
    assert b"OK" not in wire.rest()
    assert connect()("EXISTS k") == 0


def test_post_and_host_are_ordinary_arguments(wire: Wire) -> None:
    assert wire("SET Host: POST") == OK
    assert wire("GET Host:") == b"POST"


def test_what_follows_the_length_of_a_bulk_string_need_not_be_looked_at(wire: Wire) -> None:
    """Binary values that look like protocol are values."""
    for value in (b"\r\n", b"*1\r\n$4\r\nQUIT\r\n", b"$-1\r\n", b"\0" * 100, bytes(range(256)) * 3):
        assert wire("SET", value, value) == OK
        assert wire("GET", value) == value


def test_a_bulk_string_that_ends_otherwise_than_with_crlf_does_not_shift_the_framing(connect: Connect) -> None:
    """Redis skips two bytes whatever they are; a server may also refuse. It never takes them for a command."""
    wire = connect()
    wire.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nvXY*1\r\n$4\r\nPING\r\n")
    first = wire.reply()
    assert first == OK or first.startswith("ERR Protocol error")
    if first == OK:
        assert wire.reply() == PONG


@pytest.mark.parametrize(
    "left", [b"*", b"*2\r\n", b"*2\r\n$3\r\nGET", b"*2\r\n$3\r\nGET\r\n$5\r\nab", b"GET k", b'ECHO "']
)
def test_a_client_that_leaves_in_mid_command_is_forgotten(connect: Connect, left: bytes) -> None:
    for end in (Wire.close, Wire.reset):
        leaving = connect()
        leaving.send(packed("SET k v") + left)
        assert leaving.reply() == OK
        end(leaving)
    assert connect()("GET k") == b"v"


def test_replies_come_to_a_client_that_has_ended_its_own_side(connect: Connect) -> None:
    wire = connect()
    wire.send(packed("SET k v", "GET k"))
    assert wire.replies(2) == [OK, b"v"]
    wire.socket.shutdown(1)
    assert wire.closed()


#: Bytes around what the service reads in one go, and twice and many times that.
AMOUNTS = [16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, 32 * 1024, 48 * 1024 + 5, 256 * 1024]


def sent_in_all(amount: int, *, long: bool) -> tuple[bytes, list[object]]:
    """So many bytes exactly, and the replies to them: many commands, or a long one."""
    if long:
        head = b"*2\r\n$4\r\nECHO\r\n$%d\r\n" % amount
        text = b"x" * (amount - len(head) - 2)
        # As many digits: no amount is near a power of ten.
        return b"*2\r\n$4\r\nECHO\r\n$%d\r\n" % len(text) + text + b"\r\n", [text]
    pings = amount // 6 - 10
    text = b"x" * (amount - 6 * pings - len("ECHO \r\n"))
    return b"PING\r\n" * pings + b"ECHO " + text + b"\r\n", [PONG] * pings + [text]


@pytest.mark.parametrize("long", [False, True], ids=["many", "long"])
@pytest.mark.parametrize("amount", AMOUNTS)
def test_all_is_read_however_much_comes_at_once(connect: Connect, amount: int, long: bool) -> None:
    """Each time nothing follows that would have the service look again."""
    sent, replies = sent_in_all(amount, long=long)
    assert len(sent) == amount
    wire = connect()
    for _ in range(3):
        wire.send(sent)
        assert wire.replies(len(replies)) == replies


@pytest.mark.parametrize("long", [False, True], ids=["many", "long"])
@pytest.mark.parametrize("amount", [len(b"PING\r\n") * 20, *AMOUNTS])
def test_an_end_that_comes_with_the_last_command_is_seen(connect: Connect, amount: int, long: bool) -> None:
    for _ in range(5):
        wire = connect()
        sent, replies = sent_in_all(amount, long=long)
        wire.send(sent)
        wire.socket.shutdown(1)
        assert wire.replies(len(replies)) == replies
        assert wire.closed()


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 60])
def test_clients_that_send_at_the_same_moment(connect: Connect, count: int) -> None:
    """The service hears several before it answers the first."""
    wires = [connect() for _ in range(count)]
    for turn in range(10):
        for number, wire in enumerate(wires):
            wire.send(packed(["SET", f"key {number}", str(turn)], ["GET", f"key {number}"], ["INCR", "sum"]))
        totals = [wire.replies(3) for wire in wires]
        assert [one[:2] for one in totals] == [[OK, b"%d" % turn]] * count
        assert sorted(one[2] for one in totals) == list(range(turn * count + 1, (turn + 1) * count + 1))


def test_the_last_words_of_some_are_not_taken_for_those_of_others(connect: Connect) -> None:
    """All have sent when the service looks, since all its loops are busy; every other client ends its side at once."""
    for turn in range(5):
        busy = [connect() for _ in range(4)]
        wires = [connect() for _ in range(24)]
        for number, wire in enumerate(busy):
            wire.send(packed(["SETRANGE", f"large {number}", str(10_000_000), "x"], ["DEL", f"large {number}"]))
        for number, wire in enumerate(wires):
            wire.send(packed(["SET", f"key {number}", f"{turn} of {number}"], ["GET", f"key {number}"]))
            if number % 2:
                wire.socket.shutdown(1)
        for number, wire in enumerate(wires):
            assert wire.replies(2) == [OK, b"%d of %d" % (turn, number)]
        assert all(wire.closed() for wire in wires[1::2])
        assert [wire.replies(2) for wire in busy] == [[10_000_001, 1]] * len(busy)


def test_a_client_that_is_killed_by_another_of_the_same_moment(connect: Connect) -> None:
    for _ in range(20):
        wires = [connect() for _ in range(10)]
        killer, victims = wires[0], wires[1:]
        ids = [wire("CLIENT", "ID") for wire in victims]
        killer.send(packed(*(["CLIENT", "KILL", "ID", str(number)] for number in ids)))
        for wire in victims:
            with contextlib.suppress(OSError):
                wire.send(packed("PING"))
        assert killer.replies(len(ids)) == [1] * len(ids)
        for wire in victims:
            rest = wire.rest()
            assert rest in (b"", b"+PONG\r\n")
        assert killer("PING") == PONG
