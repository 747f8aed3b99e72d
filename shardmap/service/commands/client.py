"""CLIENT LIST, INFO and KILL; the others of CLIENT are the core's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from shardmap.service.commands.registry import CommandError, Request, Then, command, integer, words
from shardmap.service.state import State

__all__ = ["described", "info", "kill", "list_"]

#: Redis's classes of clients; all are of the first here.
CLASSES = ("NORMAL", "MASTER", "REPLICA", "SLAVE", "PUBSUB")


def described(client: Mapping[str, Any]) -> str:
    """A connection as CLIENT LIST shows it."""
    flags = "x" if client["multi"] >= 0 else "N"
    if str(client["addr"]).startswith("/"):
        flags = "U" if flags == "N" else flags + "U"
    pairs = {
        "id": client["id"],
        "addr": client["addr"],
        "laddr": client["laddr"],
        "fd": client["fd"],
        "name": client["name"],
        "age": int(client["age"]),
        "idle": int(client["idle"]),
        "flags": flags,
        "db": 0,
        "sub": 0,
        "psub": 0,
        "ssub": 0,
        "multi": client["multi"],
        "watch": int(client["watch"]),
        "qbuf": client["qbuf"],
        "qbuf-free": 0,
        "argv-mem": 0,
        "multi-mem": 0,
        "rbs": 0,
        "rbp": 0,
        "obl": 0,
        "oll": 0,
        "omem": client["omem"],
        "tot-mem": client["qbuf"] + client["omem"],
        "events": "r",
        "cmd": client["cmd"] or "NULL",
        "user": "default" if client["authenticated"] else "(superuser)",
        "redir": -1,
        "resp": client["resp"],
        "lib-name": client["lib_name"],
        "lib-ver": client["lib_ver"],
        "tot-net-in": client["tot_net_in"],
        "tot-net-out": client["tot_net_out"],
        "tot-cmds": client["tot_cmds"],
        "io-thread": client["loop"],
    }
    return " ".join(f"{name}={value}" for name, value in pairs.items())


@command("CLIENT LIST", "[TYPE (NORMAL|MASTER|REPLICA|PUBSUB)] [ID <id> [<id> ...]]")
def list_(state: State, request: Request) -> bytes:
    """Return information about client connections."""
    arguments = words(request.arguments)
    clients = state.core.clients()
    if arguments[:1] == ["TYPE"] and len(arguments) == 2:
        if _class(request.arguments[1]) != "NORMAL":
            clients = []
    elif arguments[:1] == ["ID"] and len(arguments) > 1:
        wanted = {integer(each, "ERR Invalid client ID") for each in request.arguments[1:]}
        clients = [client for client in clients if client["id"] in wanted]
    elif arguments:
        raise CommandError("ERR syntax error")
    for client in clients:
        if client["id"] == request.client:
            client["cmd"] = "client|list"
    lines = [described(client) + "\n" for client in sorted(clients, key=lambda client: int(client["id"]))]
    return "".join(lines).encode("utf-8", "surrogateescape")


@command("CLIENT INFO", most=0)
def info(state: State, request: Request) -> bytes:
    """Return information about the current client connection."""
    for client in state.core.clients():
        if client["id"] == request.client:
            return (described(client) + "\n").encode("utf-8", "surrogateescape")
    raise CommandError("ERR No such client")


@command("CLIENT KILL", "<ip:port> | <option> <value> [<option> <value> ...]", least=1)
def kill(state: State, request: Request) -> object:
    """Kill connections: by address, or those that all of ID, ADDR, LADDR, USER, TYPE, MAXAGE and SKIPME allow."""
    if len(request.arguments) == 1:
        address = _text(request.arguments[0])
        chosen = [client["id"] for client in state.core.clients() if client["addr"] == address]
        if not chosen:
            raise CommandError("ERR No such client")
        return _kill(state, request, chosen, "OK")
    if len(request.arguments) % 2:
        raise CommandError("ERR syntax error")
    skip_me = True
    conditions: list[Callable[[Mapping[str, Any]], bool]] = []
    for option, value in zip(words(request.arguments[::2]), request.arguments[1::2], strict=True):
        if option == "SKIPME":
            if words([value])[0] not in ("YES", "NO"):
                raise CommandError("ERR syntax error")
            skip_me = words([value])[0] == "YES"
        else:
            conditions.append(_condition(option, value))
    if skip_me:
        conditions.append(lambda client: client["id"] != request.client)
    chosen = [client["id"] for client in state.core.clients() if all(fits(client) for fits in conditions)]
    return _kill(state, request, chosen, None)


def _condition(option: str, value: bytes) -> Callable[[Mapping[str, Any]], bool]:
    """What an option of CLIENT KILL asks of a connection."""
    text = _text(value)
    if option == "ID":
        number = integer(value, "ERR client-id should be greater than 0")
        if number <= 0:
            raise CommandError("ERR client-id should be greater than 0")
        return lambda client: client["id"] == number
    if option == "ADDR":
        return lambda client: client["addr"] == text
    if option == "LADDR":
        return lambda client: client["laddr"] == text
    if option == "USER":
        if text != "default":
            raise CommandError(f"ERR No such user '{text[:64]}'")
        return lambda _: True
    if option == "TYPE":
        normal = _class(value) == "NORMAL"
        return lambda _: normal
    if option == "MAXAGE":
        age = integer(value)
        return lambda client: client["age"] >= age
    raise CommandError("ERR syntax error")


def _kill(state: State, request: Request, chosen: list[int], reply: object) -> object:
    """Close these connections; the one that asks comes last, when it has its reply."""
    killed = sum(state.core.kill(number) for number in chosen if number != request.client)
    if request.client not in chosen:
        return killed if reply is None else reply
    return Then(killed + 1 if reply is None else reply, lambda: state.core.kill(request.client))


def _class(argument: bytes) -> str:
    name = words([argument])[0]
    if name not in CLASSES:
        raise CommandError(f"ERR Unknown client type '{_text(argument)[:64]}'")
    return name


def _text(argument: bytes) -> str:
    return argument.decode("utf-8", "surrogateescape")
