"""A client of Redis's protocol that hides nothing: bytes out, replies in, every type of a reply told apart.

Replies become Python values that compare exactly: ``Simple`` (+), ``ReplyError`` (-), ``bytes`` ($), ``int`` (:),
``None`` ($-1 and _), ``NO_LIST`` (*-1), ``list`` (*), and of RESP3 ``float`` (,), ``bool`` (#), ``dict`` (%), ``Pairs``
(a ``dict`` that came as a flat list is a list), ``frozenset`` (~), ``Push`` (>), ``Verbatim`` (=).
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Sequence
from typing import Any, Final, Self

__all__ = ["NO_LIST", "OK", "PONG", "QUEUED", "Closed", "Push", "ReplyError", "Simple", "Verbatim", "Wire", "arguments", "packed"]  # fmt: skip

#: A reply that has not come after so many seconds never will.
PATIENCE = 30.0


class Closed(Exception):  # noqa: N818  # a state of the connection, expected as often as not
    """The server has closed the connection."""


class Simple(str):
    """A simple string; equal to nothing but another one, so that `"OK"` and `b"OK"` are told apart."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and str.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return str.__hash__(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str.__repr__(self)})"


class ReplyError(Simple):
    """An error reply, a value here: it is expected as often as not."""

    __slots__ = ()


class Verbatim(Simple):
    """RESP3's verbatim string, with its format: ``txt:...``."""

    __slots__ = ()


class Push(list[Any]):
    """RESP3's push message."""


class NoList:
    """RESP2's null array, which is another thing than a null bulk string."""

    def __repr__(self) -> str:
        return "NO_LIST"


NO_LIST: Final = NoList()
OK: Final = Simple("OK")
PONG: Final = Simple("PONG")
QUEUED: Final = Simple("QUEUED")

Command = str | bytes | Sequence[str | bytes | int | float]

#: Escapes in a command that is written as text: \xHH, \r, \n, \s (a space), \e (nothing: an empty argument), \\.
_ESCAPES = {"r": b"\r", "n": b"\n", "s": b" ", "e": b"", "\\": b"\\"}
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|.)|([^\\]+)", re.DOTALL)


def arguments(command: Command) -> list[bytes]:
    """The arguments of a command: text is split at spaces, a sequence is taken as it is."""
    if isinstance(command, str):
        return [_unescaped(word) for word in command.split()]
    if isinstance(command, bytes):
        return [command]
    return [one if isinstance(one, bytes) else str(one).encode() for one in command]


def _unescaped(word: str) -> bytes:
    made = bytearray()
    for escape, plain in _ESCAPE.findall(word):
        if plain:
            made += plain.encode()
        elif escape.startswith("x") and len(escape) == 3:
            made.append(int(escape[1:], 16))
        else:
            made += _ESCAPES.get(escape, escape.encode())
    return bytes(made)


def packed(*commands: Command) -> bytes:
    """Commands as clients send them: arrays of bulk strings."""
    made = bytearray()
    for command in commands:
        words = arguments(command)
        made += b"*%d\r\n" % len(words)
        for word in words:
            made += b"$%d\r\n%b\r\n" % (len(word), word)
    return bytes(made)


def inlined(command: Command) -> bytes:
    """A command as a person types it, every argument in quotes."""
    words = (b'"' + b"".join(_quoted(byte) for byte in word) + b'"' for word in arguments(command))
    return b" ".join(words) + b"\r\n"


def _quoted(byte: int) -> bytes:
    return bytes([byte]) if 32 <= byte < 127 and byte not in b'"\\' else b"\\x%02x" % byte


class Wire:
    """A connection, and what has come over it and is not read yet."""

    def __init__(self, address: tuple[str, int] | str, timeout: float = PATIENCE) -> None:
        self.socket = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.socket.settimeout(timeout)
        try:
            self.socket.connect(address)
        except OSError:
            self.socket.close()
            raise
        if not isinstance(address, str):
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Close at once, as a process does that was killed: the peer sees a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.socket.close()

    # -- out --

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_commands(self, *commands: Command) -> None:
        self.send(packed(*commands))

    # -- in --

    def reply(self) -> Any:
        """The next reply, whole."""
        head = self.line()
        kind, rest = head[:1], head[1:]
        match kind:
            case b"+":
                return Simple(rest.decode("latin-1"))
            case b"-":
                return ReplyError(rest.decode("latin-1"))
            case b":":
                return int(rest)
            case b"$":
                return None if rest == b"-1" else self._bulk(int(rest))
            case b"*":
                return NO_LIST if rest == b"-1" else self._several(int(rest))
            case b"_":
                assert rest == b"", head
                return None
            case b",":
                return float(rest)
            case b"#":
                return {b"t": True, b"f": False}[rest]
            case b"%":
                flat = self._several(2 * int(rest))
                return dict(zip(flat[::2], flat[1::2], strict=True))
            case b"~":
                return frozenset(self._several(int(rest)))
            case b">":
                return Push(self._several(int(rest)))
            case b"=":
                return Verbatim(self._bulk(int(rest)).decode())
        raise AssertionError(f"no type of a reply: {head!r}")

    def replies(self, count: int) -> list[Any]:
        return self._several(count)

    def line(self) -> bytes:
        """Up to the next CR LF."""
        start = 0
        while (end := self._received.find(b"\r\n", max(0, start - 1))) < 0:
            start = len(self._received)
            self._more()
        found = bytes(self._received[:end])
        del self._received[: end + 2]
        return found

    def exactly(self, size: int) -> bytes:
        while len(self._received) < size:
            self._more()
        found = bytes(self._received[:size])
        del self._received[:size]
        return found

    def rest(self) -> bytes:
        """Everything until the server closes."""
        while True:
            try:
                self._more()
            except Closed:
                found = bytes(self._received)
                self._received.clear()
                return found

    def closed(self) -> bool:
        """Whether nothing more comes but the end."""
        return self.rest() == b""

    def silent(self, seconds: float = 0.1) -> bool:
        """Whether nothing comes for a while: no reply, and no end."""
        if self._received:
            return False
        before = self.socket.gettimeout()
        self.socket.settimeout(seconds)
        try:
            return not self.socket.recv(1, socket.MSG_PEEK) and False
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(before)

    def _more(self) -> None:
        try:
            some = self.socket.recv(1 << 20)
        except ConnectionError as error:
            raise Closed from error
        if not some:
            raise Closed
        self._received += some

    def _bulk(self, size: int) -> bytes:
        found = self.exactly(size + 2)
        assert found.endswith(b"\r\n")
        return found[:-2]

    def _several(self, count: int) -> list[Any]:
        return [self.reply() for _ in range(count)]

    # -- both --

    def __call__(self, *command: Any) -> Any:
        """``wire("SET k v")`` or ``wire("SET", key, value)``: send it, and read its reply."""
        self.send(packed(command if len(command) > 1 else command[0]))
        return self.reply()

    def pipeline(self, commands: Iterable[Command]) -> list[Any]:
        listed = list(commands)
        self.send(packed(*listed))
        return self.replies(len(listed))

    def hello(self, version: int) -> dict[bytes, Any]:
        """Switch to this version of the protocol; what the server says of itself."""
        found = self("HELLO", version)
        if isinstance(found, list):
            return dict(zip(found[::2], found[1::2], strict=True))
        assert isinstance(found, dict), found
        return found
