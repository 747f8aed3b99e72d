"""Conversations with the server as tables: what is said, and what must be answered.

``script("name", ("SET k v", OK), ("GET k", b"v"))`` makes one; `converse` plays it in one of `DELIVERIES`, the ways in
which the same commands may reach a server. What is answered must not depend on that. A command that is text is split at
spaces; escapes are those of `wire.arguments`. An expectation that is no plain value is an `Expectation`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from wire import NO_LIST, Command, ReplyError, Wire, inlined, packed

__all__ = [
    "ANY",
    "DELIVERIES",
    "NOT_AN_INTEGER",
    "Between",
    "Expectation",
    "Flat",
    "In",
    "Matching",
    "Wait",
    "arity",
    "bad_expiry",
    "converse",
    "error",
    "same",
    "script",
]  # fmt: skip

#: Two versions of the protocol, inline commands, all commands at once, and each byte on its own.
DELIVERIES = ("resp2", "resp3", "inline", "pipelined", "bytewise")


@dataclass(frozen=True)
class Expectation:
    """A reply that is as it should be if ``accepts`` says so."""

    what: str
    accepts: Callable[[Any], bool]

    def __repr__(self) -> str:
        return self.what


@dataclass(frozen=True)
class Wait:
    """No command: let so many seconds pass."""

    seconds: float


Step = tuple[Command, Any] | Wait

ANY = Expectation("anything but an error", lambda reply: not isinstance(reply, ReplyError))


def Between(least: float, most: float) -> Expectation:  # noqa: N802  # reads as a value
    return Expectation(f"between {least} and {most}", lambda reply: isinstance(reply, int) and least <= reply <= most)


def In(*choices: Any) -> Expectation:  # noqa: N802
    return Expectation(f"one of {choices}", lambda reply: any(same(choice, reply) for choice in choices))


def Matching(pattern: str) -> Expectation:  # noqa: N802
    """A string, or an error's text, that is all of this pattern."""

    def accepts(reply: Any) -> bool:
        text = reply.decode("latin-1") if isinstance(reply, bytes) else reply
        return isinstance(text, str) and re.fullmatch(pattern, str(text), re.DOTALL) is not None

    return Expectation(f"matching {pattern}", accepts)


def Flat(**fields: Any) -> Expectation:  # noqa: N802
    """A map, or in RESP2 the list that stands for it, with these fields among others (``_`` for ``-``)."""
    wanted = {name.replace("_", "-").encode(): value for name, value in fields.items()}

    def accepts(reply: Any) -> bool:
        if isinstance(reply, list):
            reply = dict(zip(reply[::2], reply[1::2], strict=True))
        return isinstance(reply, dict) and all(same(value, reply.get(name)) for name, value in wanted.items())

    return Expectation(f"map with {wanted}", accepts)


def error(text: str) -> ReplyError:
    return ReplyError(text)


#: What Redis says of an argument, or of a value, that should be an integer.
NOT_AN_INTEGER = error("ERR value is not an integer or out of range")


def arity(name: str) -> ReplyError:
    return error(f"ERR wrong number of arguments for '{name}' command")


def bad_expiry(name: str) -> ReplyError:
    return error(f"ERR invalid expire time in '{name}' command")


def same(expected: Any, reply: Any) -> bool:
    """Whether this is the reply, type for type; RESP3 has one null for RESP2's two."""
    if isinstance(expected, Expectation):
        return expected.accepts(reply)
    if isinstance(expected, list):
        return (
            isinstance(reply, list)
            and len(expected) == len(reply)
            and all(same(one, other) for one, other in zip(expected, reply, strict=True))
        )
    if expected is NO_LIST:
        return reply is NO_LIST or reply is None
    return type(expected) is type(reply) and bool(expected == reply)


def script(name: str, *steps: Step, marks: Sequence[pytest.MarkDecorator] = ()) -> Any:
    """A case for ``pytest.mark.parametrize("steps", ...)``."""
    return pytest.param(steps, id=name, marks=marks)


def converse(wire: Wire, steps: Sequence[Step], delivery: str = "resp2") -> None:
    """Say all of it, and compare every answer."""
    if delivery == "resp3":
        wire.hello(3)
    if delivery == "pipelined":
        _all_at_once(wire, steps)
        return
    for step in steps:
        if isinstance(step, Wait):
            time.sleep(step.seconds)
            continue
        command, expected = step
        _SENDING.get(delivery, _whole)(wire, command)
        _compare(command, expected, wire.reply())


def _whole(wire: Wire, command: Command) -> None:
    wire.send(packed(command))


def _inline(wire: Wire, command: Command) -> None:
    wire.send(inlined(command))


def _bytewise(wire: Wire, command: Command) -> None:
    for byte in packed(command):
        wire.send(bytes([byte]))


_SENDING = {"inline": _inline, "bytewise": _bytewise}


def _all_at_once(wire: Wire, steps: Sequence[Step]) -> None:
    sent: list[tuple[Command, Any]] = []
    for step in [*steps, Wait(0)]:
        if not isinstance(step, Wait):
            sent.append(step)
            continue
        replies = wire.pipeline(command for command, _ in sent)
        for (command, expected), reply in zip(sent, replies, strict=True):
            _compare(command, expected, reply)
        sent.clear()
        time.sleep(step.seconds)


def _compare(command: Command, expected: Any, reply: Any) -> None:
    assert same(expected, reply), f"{command!r}: {reply!r}, expected {expected!r}"
