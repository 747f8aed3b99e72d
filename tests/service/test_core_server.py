"""CoreServer and Call themselves: what the package's own use of them never does."""

from __future__ import annotations

import gc
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from scripts import error
from wire import Wire

import shardmap
from shardmap._core import CoreServer

pytestmark = pytest.mark.ours


@pytest.fixture
def core() -> Iterator[tuple[CoreServer, Wire]]:
    """A server with one loop, which runs, and a connection to it."""
    made = CoreServer(shardmap.ByteMap(), threads=1)
    made.configure(
        password=b"", max_clients=10, max_bulk=1 << 20, max_arguments=100, max_query=1 << 20, max_output=1 << 20,
        idle_timeout=0, request_timeout=0, slow_log_threshold=-1, slow_log_length=0,
    )  # fmt: skip
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        made.add_listener(listener.fileno())
        thread = threading.Thread(target=made.run, args=(0,))
        thread.start()
        try:
            with Wire(listener.getsockname()) as wire:
                assert wire("DBSIZE") == 0
                yield made, wire
        finally:
            made.stop()
            thread.join()


def test_a_call_that_the_collector_finds_is_answered(core: tuple[CoreServer, Wire]) -> None:
    server, wire = core
    wire.send_commands("INFO")
    call = server.next_call()
    assert call is not None
    # A cycle with the call in it, which the collector comes to first.
    arguments: list[Any] = call.arguments
    arguments.append(call)
    del call, arguments
    gc.collect()
    assert wire.reply() == error("ERR internal error")


def test_a_call_is_answered_once(core: tuple[CoreServer, Wire]) -> None:
    server, wire = core
    wire.send_commands("INFO")
    call = server.next_call()
    assert call is not None

    class TwiceError(Exception):
        def __str__(self) -> str:
            assert call is not None
            with pytest.raises(RuntimeError):
                call.reply(b"inner")
            return "ERR outer"

    call.reply(TwiceError())
    assert wire.reply() == error("ERR outer")
    with pytest.raises(RuntimeError):
        call.reply(1)
    assert wire("DBSIZE") == 0


def test_a_call_whose_reply_cannot_be_sent_can_have_another(core: tuple[CoreServer, Wire]) -> None:
    server, wire = core
    wire.send_commands("INFO")
    call = server.next_call()
    assert call is not None
    with pytest.raises(TypeError):
        call.reply([1, object()])
    call.reply([1, 2])
    assert wire.reply() == [1, 2]


def test_a_loop_runs_in_one_thread(core: tuple[CoreServer, Wire]) -> None:
    server, wire = core
    with pytest.raises(RuntimeError, match="another thread"):
        server.run(0)
    assert wire("DBSIZE") == 0
