"""Kinds of settings: how a value is read from text, what is allowed, and how it is written.

A kind has two ways in, both raising :class:`ValueError` for what is not allowed (``settings`` makes a
:class:`shardmap.ConfigError` of it, which names the setting, the value and ``allowed``): ``parse`` takes text, from the
environment, the command line or CONFIG SET; ``check`` takes an argument of Python and raises :class:`TypeError` for the
wrong type. ``text`` is what ``parse`` reads back.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Generic, TypeVar

from shardmap import config
from shardmap.errors import ConfigError

__all__ = [
    "Addresses",
    "Choice",
    "Integer",
    "Kind",
    "Mode",
    "Names",
    "Path",
    "PowerOfTwo",
    "Seconds",
    "Secret",
    "Size",
]

T = TypeVar("T")


class Kind(Generic[T]):
    """What all kinds share."""

    #: What is allowed, for messages.
    allowed: str
    #: A value's place in a usage line.
    metavar: str

    def parse(self, text: str) -> T:
        """The value that *text* says."""
        raise NotImplementedError

    def check(self, value: object) -> T:
        """The value itself, of the right type."""
        if not isinstance(value, str):
            raise TypeError
        return self.parse(value)

    def text(self, value: T) -> str:
        """The value, written."""
        return str(value)


class Integer(Kind[int]):
    """A whole number between two bounds."""

    metavar = "N"

    def __init__(self, least: int, most: int, allowed: str | None = None) -> None:
        self.least, self.most = least, most
        self.allowed = allowed or f"an integer from {least} to {most}"

    def parse(self, text: str) -> int:
        # int() takes more than the digits of ASCII, and has a limit of its own that says something else.
        if len(text) > 64:
            raise ValueError
        return self.check(int(text.strip(), 0) if not text.strip().isdigit() else int(text))

    def check(self, value: object) -> int:
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            raise TypeError
        number = int(value.__index__())
        if not self.least <= number <= self.most:
            raise ValueError
        return number


class PowerOfTwo(Integer):
    """1, 2, 4, 8 and so on, up to a bound."""

    def __init__(self, most: int) -> None:
        super().__init__(1, most, f"a power of two from 1 to {most}")

    def check(self, value: object) -> int:
        number = super().check(value)
        if number & (number - 1):
            raise ValueError
        return number


class Size(Kind[int]):
    """A number of bytes, as an integer or as Redis writes it: ``512mb``."""

    metavar = "SIZE"

    def __init__(self, least: int, most: int, *, none: str = "") -> None:
        self.least, self.most = least, most
        #: What 0 means, if it is allowed.
        self.none = none
        self.allowed = f"{f'0 ({none}) or ' * bool(none)}{least} to {most} bytes, as an integer or as 512mb"

    def parse(self, text: str) -> int:
        try:
            return self.check(config.parse_size("", text))
        except ConfigError:
            raise ValueError from None

    def check(self, value: object) -> int:
        if isinstance(value, str):
            return self.parse(value)
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            raise TypeError
        number = int(value.__index__())
        if not (self.least <= number <= self.most or (number == 0 and self.none)):
            raise ValueError
        return number


class Seconds(Kind[float]):
    """A time in seconds; 0 switches off what it is for."""

    metavar = "SECONDS"

    def __init__(self, off: str, most: float = config.MAX_GC_INTERVAL) -> None:
        self.most = most
        self.allowed = f"seconds from 0 ({off}) to {most:.0f}"

    def parse(self, text: str) -> float:
        return self.check(float(text))

    def check(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError
        if not 0 <= value <= self.most:
            raise ValueError
        return float(value)

    def text(self, value: float) -> str:
        return f"{value:.15g}"


class Choice(Kind[str]):
    """One of several names."""

    metavar = "NAME"

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.allowed = ", ".join(names)

    def parse(self, text: str) -> str:
        name = text.strip().lower()
        if name not in self.names:
            raise ValueError
        return name


class Addresses(Kind[tuple[str, ...]]):
    """Addresses or names of this machine, separated by spaces or commas; ``*`` is every address."""

    metavar = "ADDRESS"
    allowed = "addresses of this machine, separated by spaces or commas, as 127.0.0.1 ::1; * for all of them"

    def parse(self, text: str) -> tuple[str, ...]:
        return self.check(text.replace(",", " ").split())

    def check(self, value: object) -> tuple[str, ...]:
        if isinstance(value, str):
            return self.parse(value)
        if not isinstance(value, Sequence) or not all(isinstance(each, str) for each in value):
            raise TypeError
        if not all(each and each.isprintable() and not set(each) & set(" ,/") for each in value):
            raise ValueError
        return tuple(dict.fromkeys(value))

    def text(self, value: tuple[str, ...]) -> str:
        return " ".join(value)


class Names(Addresses):
    """Names of machines, separated by spaces or commas."""

    metavar = "NAME"
    allowed = "names of this machine, separated by spaces or commas"


class Path(Kind[str]):
    """A path, or nothing."""

    metavar = "PATH"
    allowed = "a path without null characters"

    def parse(self, text: str) -> str:
        if "\0" in text:
            raise ValueError
        return text

    def check(self, value: object) -> str:
        if not isinstance(value, str | os.PathLike):
            raise TypeError
        return self.parse(os.fsdecode(value))


class Secret(Kind[str]):
    """A password, or nothing. It is not shown."""

    metavar = "PASSWORD"
    allowed = "text of at most 512 bytes without null characters"
    #: What stands in its place.
    HIDDEN = "********"

    def parse(self, text: str) -> str:
        if "\0" in text or len(text.encode("utf-8", "surrogateescape")) > 512:
            raise ValueError
        return text

    def text(self, value: str) -> str:
        return self.HIDDEN if value else ""


class Mode(Kind[int]):
    """Permissions of a file, in octal."""

    metavar = "MODE"
    allowed = "permissions in octal, as 600 or 770"

    def parse(self, text: str) -> int:
        return self.check(int(text.strip().removeprefix("0o"), 8))

    def check(self, value: object) -> int:
        if isinstance(value, str):
            return self.parse(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError
        if not 0 <= value <= 0o777:
            raise ValueError
        return value

    def text(self, value: int) -> str:
        return f"{value:o}"
