"""Keys and values that do on demand what no well-behaved object does: raise, lie, collide, wait, change the map.

They act at most `times` times and count their calls, so that a test can say how often the map asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Dying", "Key", "Trouble", "Value"]

Action = Callable[[], Any]


class Key:
    """Equal by its label; its hash is chosen, so that keys can be made to collide."""

    def __init__(self, label: object, chosen_hash: int = 0) -> None:
        self.label = label
        self.chosen_hash = chosen_hash

    def __hash__(self) -> int:
        return self.chosen_hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self.label == other.label

    def __repr__(self) -> str:
        return f"Key({self.label!r}, {self.chosen_hash})"


class Trouble(Key):
    """A key that carries out actions in ``__hash__`` and ``__eq__``, whichever side of ``==`` it is on.

    An action's result is ignored, what it raises is not. While an action runs, the key behaves.
    """

    def __init__(
        self,
        label: object,
        chosen_hash: int = 0,
        *,
        on_hash: Action | None = None,
        on_eq: Action | None = None,
        times: int = 1,
    ) -> None:
        super().__init__(label, chosen_hash)
        self.on_hash = on_hash
        self.on_eq = on_eq
        self.times = times
        self.hashes = self.eqs = 0
        self.busy = False

    def act(self, action: Action | None) -> None:
        if action is not None and self.times > 0 and not self.busy:
            self.times -= 1
            self.busy = True
            try:
                action()
            finally:
                self.busy = False

    def __hash__(self) -> int:
        self.hashes += 1
        self.act(self.on_hash)
        return self.chosen_hash

    def __eq__(self, other: object) -> bool:
        self.eqs += 1
        self.act(self.on_eq)
        if isinstance(other, Trouble) and other is not self:
            other.act(other.on_eq)
        return super().__eq__(other)


class Value:
    """A value that carries out an action whenever it is compared, at most *times* times; equal by its label."""

    def __init__(self, label: object, on_eq: Action | None = None, times: int = 1) -> None:
        self.label = label
        self.on_eq = on_eq
        self.times = times
        self.eqs = 0

    def __eq__(self, other: object) -> bool:
        self.eqs += 1
        if self.on_eq is not None and self.times > 0:
            self.times -= 1
            self.on_eq()
        return isinstance(other, Value) and self.label == other.label

    def __repr__(self) -> str:
        return f"Value({self.label!r})"


class Dying:
    """An object that carries out an action when it is destroyed, and counts those alive.

    Exceptions of the action are collected in `failures`, since Python cannot raise them anywhere.
    """

    alive = 0
    failures: list[BaseException] = []  # noqa: RUF012 - shared on purpose
    deaths = 0

    def __init__(self, action: Action | None = None) -> None:
        type(self).alive += 1
        self.action = action

    def __del__(self) -> None:
        cls = type(self)
        cls.alive -= 1
        cls.deaths += 1
        if self.action is not None:
            try:
                self.action()
            except BaseException as error:
                cls.failures.append(error)

    @classmethod
    def family(cls) -> type[Dying]:
        """A class with counters of its own."""
        return type("Dying", (cls,), {"alive": 0, "deaths": 0, "failures": []})
