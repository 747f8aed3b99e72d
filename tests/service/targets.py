"""The server under test, and how to have one with other settings.

``SHARDMAP_TEST_SERVER`` chooses: nothing or ``thread`` for `shardmap.Server` in this process, ``process`` for ``python -m
shardmap serve``, ``redis:HOST:PORT`` for a Redis or Valkey that somebody has started (``--databases 1``), on which the
tests that hold for Redis show that what they expect is Redis's own (7.0.15; Valkey 9 answers some of it in other words,
and is there for what it alone has: ``-m valkey``). Settings have shardmap's names; on Redis they
become ``CONFIG SET`` of Redis's, taken back afterwards.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wire import OK, Closed, Wire

import shardmap

__all__ = ["KIND", "Connect", "ServerWith", "Target", "another", "external", "free_port", "ours"]

KIND = os.environ.get("SHARDMAP_TEST_SERVER") or "thread"

#: A server that does not listen after so many seconds has failed to start, and one that has not ended after so many hangs.
STARTS_WITHIN, ENDS_WITHIN = 30.0, 60.0

#: Redis's names of the settings that the tests change.
_REDIS_NAMES = {
    "password": "requirepass",
    "max_clients": "maxclients",
    "max_bulk": "proto-max-bulk-len",
    "max_query": "client-query-buffer-limit",
    "max_memory": "maxmemory",
    "eviction": "maxmemory-policy",
    "slow_log_threshold": "slowlog-log-slower-than",
    "slow_log_length": "slowlog-max-len",
    "latency_threshold": "latency-monitor-threshold",
}


def external() -> bool:
    """Whether the server is one that somebody else runs, and not shardmap's."""
    return KIND.startswith("redis:")


def ours() -> bool:
    return not external()


class Target:
    """A server that runs: where it is, and what it is."""

    def __init__(self, port: int, kind: str, byte_map: Any = None, process_id: int = 0, server: Any = None) -> None:
        self.address = (_host(), port)
        #: ``shardmap``, ``redis`` or ``valkey``.
        self.kind = kind
        #: The store, where it is in this process.
        self.byte_map = byte_map
        self.server = server
        self.process_id = process_id or os.getpid()

    @property
    def port(self) -> int:
        return self.address[1]

    def connect(self, timeout: float = 30.0) -> Wire:
        return Wire(self.address, timeout)


#: Of the fixtures `connect`, a new connection each time, and `server_with`, a server with these settings.
Connect = Callable[[], Wire]
ServerWith = Callable[..., Target]


def _host() -> str:
    return KIND.split(":")[1] if external() else "127.0.0.1"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextmanager
def another(**settings: Any) -> Iterator[Target]:
    """A server with these settings, for as long as the block lasts."""
    if external():
        with _reconfigured(settings) as target:
            yield target
    elif KIND == "process":
        with process(**settings) as target:
            yield target
    else:
        with _in_process(settings) as target:
            yield target


@contextmanager
def _in_process(settings: dict[str, Any]) -> Iterator[Target]:
    stored = {name: settings.pop(name) for name in ("max_memory", "eviction") if name in settings}
    byte_map = shardmap.ByteMap(**stored)
    with shardmap.Server(byte_map, **{"port": 0, "threads": 2, **settings}) as server:
        yield Target(server.port, "shardmap", byte_map, server=server)
    byte_map._check()


@contextmanager
def process(*options: str, **settings: Any) -> Iterator[Target]:
    """``shardmap serve``, ended by SIGTERM, which must end it with status 0."""
    port = settings.pop("port", 0) or free_port()
    started = start_process(*options, port=port, **settings)
    try:
        target = Target(port, "shardmap", process_id=started.pid)
        wait_until_up(target, started)
        yield target
    finally:
        if started.poll() is None:
            started.send_signal(signal.SIGTERM)
        assert started.wait(ENDS_WITHIN) == 0


def start_process(*options: str, port: int, **settings: Any) -> subprocess.Popen[bytes]:
    """``shardmap serve`` with settings in its environment, not yet listening."""
    package = str(Path(shardmap.__file__).parents[1])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SHARDMAP_")}
    environment |= {f"SHARDMAP_{name.upper()}": str(value) for name, value in settings.items()}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "shardmap", "serve", "--port", str(port), *options]
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def wait_until_up(target: Target, started: subprocess.Popen[bytes] | None = None) -> None:
    """Until the server answers anything at all."""
    ends = time.monotonic() + STARTS_WITHIN
    while True:
        try:
            with target.connect(1.0) as wire:
                wire("PING")
            return
        except (OSError, Closed):
            if time.monotonic() > ends or (started and started.poll() is not None):
                raise
            time.sleep(0.02)


@contextmanager
def _reconfigured(settings: dict[str, Any]) -> Iterator[Target]:
    target = _external_target()
    changed = {_REDIS_NAMES[name]: value for name, value in settings.items()}
    with target.connect() as wire:
        before = {name: wire("CONFIG", "GET", name)[1] for name in changed}
        for name, value in changed.items():
            assert wire("CONFIG", "SET", name, value) == OK
    try:
        yield target
    finally:
        with target.connect() as wire:
            if "password" in settings:
                wire("AUTH", settings["password"])
            for name, value in before.items():
                assert wire("CONFIG", "SET", name, value) == OK
            wire("FLUSHALL")


def _external_target() -> Target:
    port = int(KIND.split(":")[2])
    with Wire((_host(), port)) as wire:
        about = wire("INFO server")
        number = next(int(line[11:]) for line in about.split(b"\r\n") if line.startswith(b"process_id:"))
        return Target(port, "valkey" if b"valkey_version" in about else "redis", process_id=number)
