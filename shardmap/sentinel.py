"""MISSING, the value that says "no value": unlike ``None`` it can never be stored in a map."""

from __future__ import annotations

import enum
from typing import Final, Literal

__all__ = ["MISSING", "MissingType"]


class MissingType(enum.Enum):
    """The type of :data:`MISSING`; an enumeration of one member, so that type checkers can narrow ``is MISSING``."""

    MISSING = "MISSING"

    def __repr__(self) -> str:
        return "shardmap.MISSING"

    __str__ = __repr__

    def __bool__(self) -> Literal[False]:
        return False


#: Passed to a ``compute`` callback for "the key is absent"; returned by one, it deletes the key.
MISSING: Final = MissingType.MISSING
