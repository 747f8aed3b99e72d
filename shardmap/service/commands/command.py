"""COMMAND: what commands there are, and which of their arguments are keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from shardmap._core import CoreServer
from shardmap.service.commands.documentation import DOCUMENTATION
from shardmap.service.commands.globs import matches
from shardmap.service.commands.registry import CommandError, Request, command, integer, words
from shardmap.service.state import State

__all__ = ["all_", "count", "docs", "getkeys", "info", "list_"]

#: Of EVAL and EVALSHA: where the number of keys stands, which follow it.
NUMKEYS = 2


class Described(NamedTuple):
    """A command as the core describes it."""

    name: str
    #: Arguments with the name; -n: n or more.
    arity: int
    flags: tuple[str, ...]
    first: int
    last: int
    step: int

    @property
    def group(self) -> str:
        """Redis's class of commands."""
        return DOCUMENTATION.get(self.name.lower(), ("generic", "", ""))[0]

    @property
    def categories(self) -> set[str]:
        """The categories of access control that Redis would have it in."""
        named = {"string": "@string", "generic": "@keyspace", "connection": "@connection", "scripting": "@scripting"}
        named |= {"transactions": "@transaction"}
        made = {"@read" if "readonly" in self.flags else "@write"} if {"readonly", "write"} & set(self.flags) else set()
        made.add("@fast" if "fast" in self.flags else "@slow")
        made |= {f"@{flag}" for flag in self.flags if flag in ("admin", "dangerous")}
        return made | ({named[self.group]} if self.group in named else set())

    def reply(self) -> list[object]:
        """As COMMAND gives it."""
        return [
            self.name.lower().encode(),
            self.arity,
            set(self.flags),
            self.first,
            self.last,
            self.step,
            self.categories,
            [],
            self._key_specifications(),
            [],
        ]

    def _key_specifications(self) -> list[object]:
        if self.first == 0:
            return []
        last = self.last if self.last < 0 else self.last - self.first
        return [
            {
                b"flags": {"RO", "ACCESS"} if "readonly" in self.flags else {"RW", "UPDATE"},
                b"begin_search": {b"type": b"index", b"spec": {b"index": self.first}},
                b"find_keys": {b"type": b"range", b"spec": {b"lastkey": last, b"keystep": self.step, b"limit": 0}},
            }
        ]


def _described() -> dict[str, Described]:
    return {each[0].lower(): Described(*each) for each in CoreServer.commands()}


@command("COMMAND", most=0)
def all_(_: State, __: Request) -> list[list[object]]:
    """Return details about all commands."""
    return [each.reply() for each in _described().values()]


@command("COMMAND COUNT", most=0)
def count(_: State, __: Request) -> int:
    """Return the total number of commands in this server."""
    return len(_described())


@command("COMMAND INFO", "[<command-name> ...]")
def info(_: State, request: Request) -> list[list[object] | None]:
    """Return details about multiple commands (default: all)."""
    known = _described()
    names = [argument[:64].decode("ascii", "replace").lower() for argument in request.arguments] or list(known)
    return [known[name].reply() if name in known else None for name in names]


@command("COMMAND DOCS", "[<command-name> ...]")
def docs(_: State, request: Request) -> dict[bytes, dict[bytes, object]]:
    """Return documentation details about multiple commands (default: all)."""
    known = _described()
    names = [argument[:64].decode("ascii", "replace").lower() for argument in request.arguments] or list(known)
    made: dict[bytes, dict[bytes, object]] = {}
    for name in names:
        if name in known:
            group, since, summary = DOCUMENTATION.get(name, ("generic", "1.0.0", ""))
            made[name.encode()] = {
                b"summary": summary.encode(),
                b"since": since.encode(),
                b"group": group.encode(),
                b"complexity": b"",
            }
    return made


@command("COMMAND LIST", "[FILTERBY (MODULE <module-name>|ACLCAT <category>|PATTERN <pattern>)]", most=3)
def list_(_: State, request: Request) -> list[bytes]:
    """Return a list of all commands in this server."""
    known = _described()
    names = list(known)
    if request.arguments:
        filters = words(request.arguments)
        if len(filters) != 3 or filters[0] != "FILTERBY" or filters[1] not in ("MODULE", "ACLCAT", "PATTERN"):
            raise CommandError("ERR syntax error")
        value = request.arguments[2][:256].decode("utf-8", "replace")
        if filters[1] == "PATTERN":
            names = [name for name in names if matches(value, name)]
        elif filters[1] == "ACLCAT":
            names = [name for name in names if f"@{value.lower()}" in known[name].categories]
        else:
            names = []
    return [name.encode() for name in names]


@command("COMMAND GETKEYS", "<full-command>", least=1)
def getkeys(_: State, request: Request) -> list[bytes]:
    """Return the keys from a full command."""
    return _keys(request.arguments)


@command("COMMAND GETKEYSANDFLAGS", "<full-command>", least=1)
def getkeysandflags(_: State, request: Request) -> list[list[object]]:
    """Return the keys and the access flags from a full command."""
    known = _described()[request.arguments[0].decode("ascii", "replace").lower()] if _keys(request.arguments) else None
    flags = {"RO", "ACCESS"} if known is not None and "readonly" in known.flags else {"RW", "UPDATE"}
    return [[key, flags] for key in _keys(request.arguments)]


def _keys(arguments: Sequence[bytes]) -> list[bytes]:
    name = arguments[0][:64].decode("ascii", "replace").lower()
    known = _described().get(name)
    if known is None:
        raise CommandError("ERR Invalid command specified")
    fits = len(arguments) == known.arity if known.arity > 0 else len(arguments) >= -known.arity
    if not fits:
        raise CommandError("ERR Invalid number of arguments specified for command")
    if name in ("eval", "evalsha"):
        number = integer(arguments[NUMKEYS])
        if not 0 <= number <= len(arguments) - NUMKEYS - 1:
            raise CommandError("ERR Number of keys can't be greater than number of args")
        if number == 0:
            raise CommandError("ERR The command has no key arguments")
        return list(arguments[NUMKEYS + 1 : NUMKEYS + 1 + number])
    if known.first == 0:
        raise CommandError("ERR The command has no key arguments")
    last = known.last if known.last >= 0 else len(arguments) + known.last
    return list(arguments[known.first : last + 1 : max(1, known.step)])
