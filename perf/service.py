"""Services on TCP for one measurement: shardmap's own, and Redis and Valkey beside it; and what they cost the system.

They run with their defaults, but for files, of which there are none, on a port of their own and on the processors that
they are given. ``perf/servers.py`` finds the programs, and fills them.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from perf import affinity, servers

__all__ = ["OURS", "Service", "all_running", "rivals", "running", "short_name"]

OURS = "shardmap"

_STARTS_WITHIN = 20.0

#: 64 bytes, as ``redis-benchmark -d 64``.
_VALUE = b"v" * 64


class Service(servers.Server):
    """A server that runs, and its port."""

    def __init__(self, process_id: int, connection: socket.socket, port: int) -> None:
        super().__init__(process_id, connection)
        self.port = port

    def fill_keys(self, count: int) -> None:
        """The keys that redis-benchmark and ``perf/paced.c`` ask for."""
        self.fill((b"key:%012d" % number, _VALUE) for number in range(count))

    def empty(self) -> None:
        """No entries any more."""
        self.connection.sendall(b"FLUSHALL\r\n")
        if self._receive(5) != b"+OK\r\n":
            raise RuntimeError(f"{self.name} was not emptied")

    def entries(self) -> int:
        """How many there are."""
        self.connection.sendall(b"DBSIZE\r\n")
        reply = b""
        while not reply.endswith(b"\r\n"):
            reply += self._receive(1)
        return int(reply[1:])

    def processor_time(self) -> float:
        """Seconds on a processor of all its threads until now, by the system's account in nanoseconds."""
        total = 0
        for task in Path(f"/proc/{self.process_id}/task").iterdir():
            try:
                total += int((task / "schedstat").read_text(encoding="ascii").split()[0])
            except FileNotFoundError:
                continue
        return total / 1e9


def rivals(more: Sequence[Path] = ()) -> list[str]:
    """The programs to compare with, as ``running`` takes them."""
    return [str(path) for path in servers.find(more)]


def short_name(kind: str) -> str:
    """``shardmap``, ``valkey``, ``redis``: what a table has for it."""
    return kind if kind == OURS else Path(kind).name.removesuffix("-server")


@contextmanager
def all_running(kinds: Sequence[str], cpus: frozenset[int]) -> Iterator[dict[str, Service]]:
    """All of them at once, by kind, since they take turns."""
    with ExitStack() as started:
        yield {kind: started.enter_context(running(kind, cpus)) for kind in kinds}


@contextmanager
def running(kind: str, cpus: frozenset[int], threads: int = 1) -> Iterator[Service]:
    """Start it on these processors, and end it again; the number of threads is for shardmap alone."""
    with tempfile.TemporaryDirectory() as folder:
        port = _free_port()
        if kind == OURS:
            command = [sys.executable, "-m", "shardmap", "serve", "--port", str(port), "--threads", str(threads)]
        else:
            command = [kind, "--port", str(port), "--save", "", "--appendonly", "no", "--dir", folder]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SHARDMAP_")}
        with affinity.on(cpus):
            server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            with _connected(port, server) as connection:
                yield Service(server.pid, connection, port)
        finally:
            server.terminate()
            server.wait()


def _connected(port: int, server: subprocess.Popen[bytes]) -> socket.socket:
    """A connection, as soon as the server listens."""
    ends = time.monotonic() + _STARTS_WITHIN
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except OSError:
            if server.poll() is not None or time.monotonic() > ends:
                raise
            time.sleep(0.02)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
