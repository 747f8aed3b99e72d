"""A small client of the Redis protocol, for the command line: blocking, RESP2, pipelined.

Not for applications: they have redis-py and others, with pools and reconnection.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Self

__all__ = ["Client", "ReplyError", "encode"]

#: A reply is read in steps of this size: a declared length allocates nothing.
STEP = 1 << 20
#: Arrays in arrays; INFO and COMMAND have four.
DEEPEST = 32


class ReplyError(Exception):
    """The server answered with an error; this is its text."""


class ProtocolError(ConnectionError):
    """What answers does not speak the protocol."""


Argument = bytes | str | int


def encode(*arguments: Argument) -> bytes:
    """A command as it is sent."""
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        data = argument if isinstance(argument, bytes) else str(argument).encode("utf-8", "surrogateescape")
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


class Client:
    """One connection."""

    def __init__(
        self, host: str, port: int, *, unix_socket: str = "", password: str = "", timeout: float | None = 30.0
    ) -> None:
        if unix_socket:
            self.where = unix_socket
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                self.socket.settimeout(timeout)
                self.socket.connect(unix_socket)
            except BaseException:
                self.socket.close()
                raise
        else:
            self.where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            self.socket = socket.create_connection((host, port), timeout)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self.socket.makefile("rb", 1 << 16)
        try:
            if password:
                self.call("AUTH", password)
        except BaseException:
            self.close()
            raise

    def call(self, *arguments: Argument) -> Any:
        """Send a command; its reply. ReplyError if that is an error."""
        self.socket.sendall(encode(*arguments))
        reply = self.read()
        if isinstance(reply, ReplyError):
            raise reply
        return reply

    def pipeline(self, commands: Iterable[Sequence[Argument]]) -> list[Any]:
        """Send commands together; their replies, errors among them as they are."""
        sent = [encode(*command) for command in commands]
        self.socket.sendall(b"".join(sent))
        return [self.read() for _ in sent]

    def read(self, depth: int = 0) -> Any:
        """The next reply: bytes for both kinds of strings, int, list, None, or a ReplyError."""
        line = self._file.readline(1 << 16)
        if not line.endswith(b"\r\n"):
            raise ConnectionResetError(f"{self.where} closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b"-":
            return ReplyError(rest.decode("utf-8", "replace"))
        try:
            number = int(rest)
        except ValueError:
            raise ProtocolError(f"{self.where} does not speak the Redis protocol") from None
        if kind == b":":
            return number
        if number == -1 and kind in (b"$", b"*"):
            return None
        if kind == b"$" and number >= 0:
            return self._bulk(number)
        if kind == b"*" and number >= 0 and depth < DEEPEST:
            return [self.read(depth + 1) for _ in range(number)]
        raise ProtocolError(f"{self.where} does not speak the Redis protocol")

    def _bulk(self, size: int) -> bytes:
        parts = []
        missing = size + 2
        while missing:
            part = self._file.read(min(missing, STEP))
            if not part:
                raise ConnectionResetError(f"{self.where} closed the connection")
            parts.append(part)
            missing -= len(part)
        return (parts[0] if len(parts) == 1 else b"".join(parts))[:-2]

    def close(self) -> None:
        """Close the connection."""
        self._file.close()
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
