"""Which function answers which command, and what all of them share.

A handler takes the server's state and the request, and returns the reply: ``str`` is a simple string, ``bytes`` a bulk
string, ``dict`` a map, ``list`` an array, and so on; :class:`Then` is a reply and what is done once it is on its way.
An error reply is a :class:`CommandError`, worded as Redis words it, since clients look at the words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from shardmap.service.state import State

__all__ = ["NO_REPLY", "CommandError", "Entry", "Request", "Then", "command", "find", "integer", "words"]


class CommandError(Exception):
    """An error reply: its text is sent as it is, so it begins with a prefix as ``ERR``."""


class Request(NamedTuple):
    """A command as its handler sees it."""

    #: Its name and, if it has some, its subcommand's: ``CONFIG GET``. In capitals.
    name: str
    #: What came behind.
    arguments: Sequence[bytes]
    #: The connection's number.
    client: int


class Then(NamedTuple):
    """A reply, and what is done when it has been given."""

    value: Any
    action: Callable[[], object]


#: In place of a reply: there will be none.
NO_REPLY = object()

Handler = Callable[[State, Request], Any]
H = TypeVar("H", bound=Handler)


@dataclass(frozen=True)
class Entry:
    """A registered handler."""

    handler: Handler
    #: Its arguments, for HELP.
    usage: str
    least: int
    most: int | None
    #: It may take long, so it has a thread that quick ones do not wait for.
    slow: bool


_entries: dict[str, Entry] = {}
_containers: set[str] = set()


def command(
    name: str, usage: str = "", *, least: int = 0, most: int | None = None, slow: bool = False
) -> Callable[[H], H]:
    """Register a handler for a command or, ``"CONFIG GET"``, a subcommand with *least* to *most* arguments.

    The first line of its docstring is what HELP says of it.
    """

    def register(handler: H) -> H:
        _entries[name] = Entry(handler, usage, least, most, slow)
        container, space, _ = name.partition(" ")
        if space:
            _containers.add(container)
        return handler

    return register


def find(name: str, arguments: Sequence[bytes], client: int) -> tuple[Entry, Request]:
    """What answers a command as it was sent, its name among the arguments. CommandError if nothing does."""
    rest = arguments[1:]
    full = name
    if name in _containers and (rest or name not in _entries):
        if not rest:
            raise CommandError(f"ERR wrong number of arguments for '{name.lower()}' command")
        full = f"{name} {_word(rest[0])}"
        rest = rest[1:]
        if full == f"{name} HELP" and full not in _entries:
            return Entry(_help, "", 0, 0, False), Request(full, rest, client)
        if full not in _entries:
            shown = arguments[1][:128].decode("utf-8", "replace")
            raise CommandError(f"ERR unknown subcommand '{shown}'. Try {name} HELP.")
    if full not in _entries:
        raise CommandError(f"ERR unknown command '{name}'")
    entry = _entries[full]
    if len(rest) < entry.least or (entry.most is not None and len(rest) > entry.most):
        raise CommandError(f"ERR wrong number of arguments for '{full.lower().replace(' ', '|')}' command")
    return entry, Request(full, rest, client)


def _help(_: State, request: Request) -> list[str]:
    container = request.name.removesuffix(" HELP")
    lines = [f"{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"]
    for name, entry in sorted(_entries.items()):
        if name.startswith(container + " "):
            lines.append(f"{name.removeprefix(container + ' ')} {entry.usage}".rstrip())
            lines.append(f"    {(entry.handler.__doc__ or '').partition(chr(10))[0]}")
    return [*lines, "HELP", "    Print this help."]


def _word(argument: bytes) -> str:
    return argument[:64].decode("ascii", "replace").upper()


def words(arguments: Sequence[bytes]) -> list[str]:
    """Arguments that are keywords, in capitals."""
    return [_word(argument) for argument in arguments]


def integer(argument: bytes, message: str = "ERR value is not an integer or out of range") -> int:
    """An argument that is a number as Redis takes it; CommandError with this message if it is none."""
    text = argument.decode("ascii", "replace")
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 19) or str(int(text)) != text:
        raise CommandError(message)
    number = int(text)
    if not -(1 << 63) <= number < 1 << 63:
        raise CommandError(message)
    return number
