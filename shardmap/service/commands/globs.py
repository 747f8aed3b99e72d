"""Patterns as Redis has them: ``*``, ``?``, ``[ab]``, ``[^a]``, ``[a-z]``, and a backslash before what means itself."""

from __future__ import annotations

from fnmatch import fnmatchcase

__all__ = ["matches"]


def matches(pattern: str, text: str) -> bool:
    """Whether the whole text fits, in capitals or not. Its time is bounded by the product of both lengths."""
    return fnmatchcase(text.lower(), _translated(pattern.lower()))


def _translated(pattern: str) -> str:
    """The same for fnmatch: it negates with an exclamation mark, and quotes with brackets."""
    made = []
    place = 0
    while place < len(pattern):
        character = pattern[place]
        following = pattern[place + 1 : place + 2]
        if character == "\\" and following:
            made.append(f"[{following}]" if following in "*?[" else following)
            place += 2
        elif character == "[" and following == "^":
            made.append("[!")
            place += 2
        else:
            made.append(character)
            place += 1
    return "".join(made)
