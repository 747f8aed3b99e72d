"""Clients as they are: slow, silent, gone in mid-command, thousands of them; the others are served all the same."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from concurrency import scaled
from scripts import error
from targets import Connect, ServerWith, Target, another
from wire import OK, PONG, Closed, Wire, packed

#: Descriptors beside those of the connections, both ends of which are in this process.
SPARE = 500


def test_clients_that_half_send_do_not_hold_up_others(connect: Connect) -> None:
    for half in (b"*", b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\nabc", b"SET k", b"*2\r\n$3\r\nGE"):
        slow = connect()
        slow.send(half)
        assert slow.silent(0.02)
    other = connect()
    assert other.pipeline(["SET k v", "GET k"]) == [OK, b"v"]


def test_a_slow_sender_is_understood_in_the_end(connect: Connect) -> None:
    slow, fast = connect(), connect()
    sent = packed(["SET", "k", "x" * 500], "GET k")
    for place in range(0, len(sent), 50):
        slow.send(sent[place : place + 50])
        time.sleep(0.005)
        assert fast("PING") == PONG
    assert slow.replies(2) == [OK, b"x" * 500]


def test_a_client_that_never_reads_holds_up_nobody_and_is_not_read_from(connect: Connect, server: Target) -> None:
    """It asks for far more than the sockets hold; the server neither keeps all the replies nor waits for it."""
    other, greedy = connect(), connect()
    assert other("SET", "big", b"x" * 1_000_000) == OK
    before = resident(server.process_id)
    greedy.socket.settimeout(0.5)
    with contextlib.suppress(TimeoutError, ConnectionError):
        greedy.send(packed("GET big") * 200)
    for _ in range(100):
        assert other("PING") == PONG
    if server.kind == "shardmap":
        assert resident(server.process_id) - before < 150_000_000
    greedy.reset()
    assert other("PING") == PONG


@pytest.mark.ours
def test_replies_that_nobody_reads_are_all_delivered_in_the_end(connect: Connect) -> None:
    """Not reading from who does not read is no loss: once it reads, everything comes, in order."""
    wire = connect()
    assert wire("SET", "big", b"x" * 100_000) == OK
    sender = threading.Thread(target=wire.send, args=(packed("GET big", "INCR n") * 500,))
    wire.socket.settimeout(60)
    sender.start()
    time.sleep(0.2)
    for number in range(500):
        assert wire.reply() == b"x" * 100_000
        assert wire.reply() == number + 1
    sender.join()


def test_clients_that_come_and_go(server: Target) -> None:
    with server.connect() as watching:
        for number in range(scaled(500)):
            with server.connect() as wire:
                if number % 3:
                    assert wire("INCR n") > 0
                if number % 5 == 0:
                    wire.reset()
        _wait_for_clients(watching, 1)
        assert watching("GET n") == b"%d" % sum(1 for number in range(scaled(500)) if number % 3)


def test_clients_that_come_and_go_at_once(server: Target) -> None:
    def visit() -> None:
        for _ in range(scaled(100)):
            with server.connect() as wire:
                wire.pipeline(["INCR n"] * 10)

    threads = [threading.Thread(target=visit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with server.connect() as wire:
        assert wire("GET n") == b"%d" % (8 * scaled(100) * 10)


KILLED = """
import socket, sys, time
sockets = [socket.create_connection((sys.argv[1], int(sys.argv[2]))) for _ in range(20)]
for number, one in enumerate(sockets):
    one.sendall(b"*3\\r\\n$3\\r\\nSET\\r\\n$4\\r\\nkill\\r\\n$1\\r\\nv\\r\\n*1\\r\\n$5\\r\\nMULTI\\r\\n*3\\r\\n$3\\r\\nSET\\r\\n$4\\r\\nlost\\r\\n$100\\r\\nxxx"[: 40 + number * 3])
print("sent", flush=True)
time.sleep(60)
"""


def test_a_client_that_is_killed_in_mid_command(server: Target) -> None:
    killed = subprocess.Popen(
        [sys.executable, "-c", KILLED, server.address[0], str(server.port)], stdout=subprocess.PIPE
    )
    assert killed.stdout is not None
    assert killed.stdout.readline() == b"sent\n"
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    killed.stdout.close()
    with server.connect() as wire:
        _wait_for_clients(wire, 1)
        assert wire("EXISTS lost") == 0
        assert wire.pipeline(["MULTI", "SET lost 1", "EXEC"])[-1] == [OK]


@contextlib.contextmanager
def descriptors(count: int) -> Iterator[None]:
    """So many open files, or the test is skipped."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        pytest.skip(f"needs {count} descriptors, the limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("count", [1_000, 9_700])
def test_thousands_of_connections(server: Target, count: int) -> None:
    """All are open at once, idle; each is then served."""
    ends = 2 if server.byte_map is not None else 1
    with descriptors(ends * count + SPARE), ExitStack() as opened:
        wires = [opened.enter_context(server.connect()) for _ in range(count)]
        for wire in wires:
            wire.send(b"INCR n\r\n")
        assert sorted(wire.reply() for wire in wires) == list(range(1, count + 1))
        listed = wires[0]("CLIENT LIST")
        assert len((listed if isinstance(listed, bytes) else listed.encode()).splitlines()) == count
        for wire in wires[::2]:
            wire.send(packed("SET k v")[: -(count % 7) - 2])
        assert wires[1]("PING") == PONG
    with server.connect() as wire:
        _wait_for_clients(wire, 1)


def _wait_for_clients(wire: Wire, count: int) -> None:
    """The server learns of a client's end when its loop gets to it."""
    ends = time.monotonic() + 30
    while True:
        text = wire("INFO clients")
        connected = int(text.split(b"connected_clients:")[1].split(b"\r\n")[0])
        if connected == count:
            return
        assert time.monotonic() < ends, f"{connected} clients are left"
        time.sleep(0.01)


def test_the_client_after_the_last_is_told_so(server_with: ServerWith) -> None:
    target = server_with(max_clients=5)
    with ExitStack() as opened:
        for _ in range(10):
            wire = opened.enter_context(target.connect())
            try:
                reply = wire("PING")
            except (Closed, ConnectionError):
                break
            if reply != PONG:
                assert reply == error("ERR max number of clients reached")
                break
        else:
            pytest.fail("ten clients where five are allowed")
    ends = time.monotonic() + 10
    while time.monotonic() < ends:
        with target.connect() as wire, contextlib.suppress(Closed, ConnectionError):
            if wire("PING") == PONG:
                break
    else:
        pytest.fail("a place that was free again was not given away")


def resident(process_id: int) -> int:
    return int(Path(f"/proc/{process_id}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.ours
def test_idle_clients_are_let_go(server_with: ServerWith) -> None:
    target = server_with(idle_timeout=0.6)
    with target.connect() as idle, target.connect() as busy:
        ends = time.monotonic() + 1.5
        while time.monotonic() < ends:
            assert busy("PING") == PONG
            time.sleep(0.05)
        assert idle.closed()
        assert busy("PING") == PONG


@pytest.mark.ours
def test_a_half_sent_command_has_a_deadline(server_with: ServerWith) -> None:
    target = server_with(request_timeout=0.3)
    with target.connect() as half, target.connect() as idle, target.connect() as drop:
        half.send(b"*2\r\n$3\r\nGET\r\n$1")
        drop.send(b"GET")
        began = time.monotonic()
        assert half.closed()
        assert drop.closed()
        assert 0.2 < time.monotonic() - began < 10
        assert idle("PING") == PONG


@pytest.mark.ours
def test_a_trickle_does_not_extend_the_deadline(server_with: ServerWith) -> None:
    """One byte now and then is no command."""
    target = server_with(request_timeout=0.4)
    with target.connect() as trickling:
        began = time.monotonic()
        with pytest.raises((Closed, ConnectionError)):
            trickling.send(b"*2\r\n$3\r\nGET\r\n$1000\r\n")
            while time.monotonic() - began < 10:
                trickling.send(b"x")
                time.sleep(0.05)
                if not trickling.silent(0.01):
                    raise Closed
        assert time.monotonic() - began < 5


def test_fairness_between_a_flood_and_a_single_request(connect: Connect) -> None:
    """While one client sends without end, another's requests are answered among them."""
    flood, single = connect(), connect()
    stop = threading.Event()

    def send() -> None:
        chunk = packed("INCR flood") * 2_000
        while not stop.is_set():
            flood.send(chunk)
            flood.replies(2_000)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        for _ in range(50):
            assert single("PING") == PONG
    finally:
        stop.set()
        thread.join()


@pytest.mark.ours
def test_both_kinds_of_sockets_are_served(tmp_path: Path) -> None:
    place = str(tmp_path / "socket")
    with another(unix_socket=place) as target, Wire(place) as local, target.connect() as remote:
        assert local("SET k v") == OK
        assert remote("GET k") == b"v"
        assert place in local("CLIENT INFO").decode()
    assert not Path(place).exists()


@pytest.mark.ours
def test_a_connection_that_sends_nothing_costs_little(server_with: ServerWith) -> None:
    target = server_with()
    with descriptors(2 * 2_000 + SPARE), ExitStack() as opened:
        with target.connect() as wire:
            wire("PING")
        before = resident(target.process_id)
        for _ in range(2_000):
            opened.enter_context(target.connect())
        with target.connect() as wire:
            assert wire("PING") == PONG
        assert resident(target.process_id) - before < 2_000 * 20_000


def test_urgent_data_is_no_command(connect: Connect) -> None:
    wire = connect()
    wire.socket.send(b"!", socket.MSG_OOB)
    assert wire("PING") == PONG


def test_one_who_reads_late_may_send_the_rest_of_a_command(server_with: ServerWith) -> None:
    """As long as the client is not read from, its half-sent command is not late."""
    target = server_with(request_timeout=0.3)
    with target.connect() as wire:
        assert wire("SET", "big", b"x" * (1 << 20)) == OK
        wire.send(packed(*["GET big"] * 50)[:-2])
        time.sleep(1)
        assert wire.replies(49) == [b"x" * (1 << 20)] * 49
        wire.send(b"\r\n")
        assert wire.reply() == b"x" * (1 << 20)
