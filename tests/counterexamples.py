"""Histories that are not linearizable, as files: written by the run that found them, read again to be judged anew.

A file is JSON with one operation a line. First what shows the failure: the states that were possible, in `before`, each
with the operations (by their place in `operations`) that had had their instant, the minimised `operations`, and the
time `until` which these had to be explained; then `history`, all operations on the key up to the failure, of which the
first is a part, and their own end. Times are nanoseconds since the round began.

Values are JSON's own, except for "absent", "KeyError" and callbacks: {"put": 5} returns 5, {"plus one": 5} returns what
it was given plus one, and 5 where there was nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from histories import PlusOne, Put
from linearizability import ABSENT, Operation, Window, minimised, window_of

__all__ = ["Counterexample", "of", "read"]

#: So many operations are shown besides those that prove the failure.
RELATED = 10
FIELDS = ("thread", "name", "arguments", "result", "called", "returned")


@dataclass(frozen=True)
class Counterexample:
    """A history that is not linearizable, and as little of it as shows that."""

    #: Where it comes from.
    source: str
    window: Window
    history: Window

    def is_wrong(self) -> tuple[bool, bool]:
        """Is the part not linearizable? And the whole?"""
        return self.window.failure() is not None, self.history.failure() is not None

    def related(self) -> list[Operation]:
        """The latest of the other operations that have to do with a value of the window."""
        values = set().union(*map(_numbers, self.window.operations))
        values.update(state for state, _ in self.window.possible if isinstance(state, int))
        shown = {(operation.thread, operation.called) for operation in self.window.operations}
        return [
            operation
            for operation in self.history.operations
            if (operation.thread, operation.called) not in shown and _numbers(operation) & values
        ][-RELATED:]

    def __str__(self) -> str:
        text = f"{self.source}\nnot linearizable; {self.window}"
        related = self.related()
        if related:
            text += "\nother operations with these values, the latest:"
        return "\n".join([text, *(f"  {operation}" for operation in related)])

    def write(self, path: Path) -> None:
        """As a file, whose folder is made if need be."""
        operations = self.window.operations
        places = {operation: place for place, operation in enumerate(operations)}
        before = [
            {"state": _plain(state), "had their instant": sorted(places[operation] for operation in done)}
            for state, done in self.window.possible
        ]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            "{\n"
            f'"source": {json.dumps(self.source)},\n'
            f'"before": {_listed(before)},\n'
            f'"operations": {_listed(map(_as_dict, operations))},\n'
            f'"until": {self.window.end},\n'
            f'"history": {_listed(map(_as_dict, self.history.operations))},\n'
            f'"history until": {self.history.end}\n'
            "}\n"
        )


def _numbers(operation: Operation) -> set[int]:
    """The values that it was given or has returned."""
    return {value for value in (*operation.arguments, operation.result) if type(value) is int}


def of(history: Sequence[Operation], source: str) -> Counterexample | None:
    """None if the history, from its beginning, is linearizable."""
    window = window_of(history)
    if window is None:
        return None
    failed = window.failure()
    assert failed is not None
    ordered = sorted(history, key=lambda operation: operation.called)
    return Counterexample(source, minimised(window), Window.of(ordered).until(failed))


def read(path: Path) -> Counterexample:
    """What `Counterexample.write` has written; a ValueError if it is something else."""
    try:
        content = json.loads(path.read_text())
        operations = [_from_dict(entry) for entry in content["operations"]]
        possible = tuple(
            (_value(entry["state"]), frozenset(operations[place] for place in entry["had their instant"]))
            for entry in content["before"]
        )
        window = Window(possible, tuple(operations), content["until"])
        start = Window.of(map(_from_dict, content["history"]))
        return Counterexample(content["source"], window, replace(start, end=content["history until"]))
    except (LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: not a file of a history: {error!r}") from error


def _listed(entries: Iterable[Any]) -> str:
    return "[\n" + ",\n".join(f"  {json.dumps(entry)}" for entry in entries) + "\n]"


def _as_dict(operation: Operation) -> dict[str, Any]:
    entry: dict[str, Any] = {name: getattr(operation, name) for name in FIELDS}
    entry["arguments"] = [_plain(argument) for argument in operation.arguments]
    entry["result"] = _plain(operation.result)
    return entry


def _from_dict(entry: dict[str, Any]) -> Operation:
    return Operation(
        entry["thread"],
        entry["name"],
        tuple(_value(argument) for argument in entry["arguments"]),
        _value(entry["result"]),
        entry["called"],
        entry["returned"],
    )


def _plain(value: Any) -> Any:
    if value is ABSENT:
        return "absent"
    if isinstance(value, Put):
        return {"put": _plain(value.value)}
    if isinstance(value, PlusOne):
        return {"plus one": value.if_absent}
    return value


def _value(plain: Any) -> Any:
    if plain == "absent":
        return ABSENT
    if isinstance(plain, dict):
        ((kind, value),) = plain.items()
        return {"put": Put, "plus one": PlusOne}[kind](_value(value))
    return plain
