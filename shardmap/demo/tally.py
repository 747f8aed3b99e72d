"""Files, lines and bytes, added up: an immutable value, so that threads can share it without care."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["Tally"]


class Tally(NamedTuple):
    """How much was read."""

    files: int = 0
    lines: int = 0
    bytes: int = 0

    def plus(self, other: Tally) -> Tally:
        """The sum of two; a new one, for a reader may still hold the old ones."""
        return Tally(self.files + other.files, self.lines + other.lines, self.bytes + other.bytes)

    @classmethod
    def total(cls, tallies: Iterable[Tally]) -> Tally:
        """The sum of any number."""
        made = cls()
        for tally in tallies:
            made = made.plus(tally)
        return made
