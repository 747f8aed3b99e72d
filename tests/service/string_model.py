"""A model of the store, in Python: what each command answers, and what is there afterwards."""

from __future__ import annotations

from typing import Any

from scripts import Expectation, error
from wire import OK, Simple

__all__ = ["LEAST", "MOST", "Model"]

NOT_AN_INTEGER = error("ERR value is not an integer or out of range")
OVERFLOW = error("ERR increment or decrement would overflow")
NO_SUCH_KEY = error("ERR no such key")

LEAST, MOST = -(1 << 63), (1 << 63) - 1


class Model:
    """What the store must hold: values, and the time at which they expire, in milliseconds."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.expiry: dict[bytes, int] = {}

    # -- strings --

    def get(self, key: bytes) -> Any:
        return self.values.get(key)

    def set(self, key: bytes, value: bytes, *options: str, at: int = 0) -> Any:
        before = self.values.get(key)
        done = not ("NX" in options and before is not None) and not ("XX" in options and before is None)
        if done:
            self._store(key, value, keep="KEEPTTL" in options)
            if at:
                self.expiry[key] = at
        if "GET" in options:
            return before
        return OK if done else None

    def setnx(self, key: bytes, value: bytes) -> Any:
        return int(self.set(key, value, "NX") is OK)

    def getset(self, key: bytes, value: bytes) -> Any:
        return self.set(key, value, "GET")

    def getdel(self, key: bytes) -> Any:
        value = self.values.get(key)
        self.delete(key)
        return value

    def getex(self, key: bytes, at: int | None) -> Any:
        """``at``: None for nothing, 0 for PERSIST."""
        if key in self.values and at is not None:
            self.expiry.pop(key, None)
            if at:
                self.expiry[key] = at
        return self.values.get(key)

    def mget(self, *keys: bytes) -> Any:
        return [self.values.get(key) for key in keys]

    def mset(self, *words: bytes) -> Any:
        for key, value in zip(words[::2], words[1::2], strict=True):
            self._store(key, value)
        return OK

    def msetnx(self, *words: bytes) -> Any:
        if any(key in self.values for key in words[::2]):
            return 0
        self.mset(*words)
        return 1

    def append(self, key: bytes, value: bytes) -> Any:
        return len(self._store(key, self.values.get(key, b"") + value, keep=True))

    def strlen(self, key: bytes) -> Any:
        return len(self.values.get(key, b""))

    def setrange(self, key: bytes, offset: int, value: bytes) -> Any:
        before = self.values.get(key, b"")
        if not value:
            return len(before)
        padded = before.ljust(offset, b"\0")
        return len(self._store(key, padded[:offset] + value + padded[offset + len(value) :], keep=True))

    def getrange(self, key: bytes, start: int, end: int) -> Any:
        value = self.values.get(key, b"")
        size = len(value)
        if start < 0 and end < 0 and start > end:
            return b""
        start = max(start + size, 0) if start < 0 else start
        end = max(end + size, 0) if end < 0 else min(end, size - 1)
        return value[start : end + 1] if size and start <= end else b""

    # -- numbers --

    def incrby(self, key: bytes, amount: int) -> Any:
        text = self.values.get(key, b"0")
        number = _integer(text)
        if number is None:
            return NOT_AN_INTEGER
        if not LEAST <= number + amount <= MOST:
            return OVERFLOW
        self._store(key, b"%d" % (number + amount), keep=True)
        return number + amount

    # -- keys --

    def delete(self, *keys: bytes) -> Any:
        found = 0
        for key in keys:
            found += self.values.pop(key, None) is not None
            self.expiry.pop(key, None)
        return found

    def exists(self, *keys: bytes) -> Any:
        return sum(key in self.values for key in keys)

    def type(self, key: bytes) -> Any:
        return Simple("string" if key in self.values else "none")

    def rename(self, key: bytes, new: bytes) -> Any:
        if key not in self.values:
            return NO_SUCH_KEY
        value, at = self.values[key], self.expiry.get(key)
        self.delete(key)
        self._store(new, value)
        if at:
            self.expiry[new] = at
        return OK

    def renamenx(self, key: bytes, new: bytes) -> Any:
        if key not in self.values:
            return NO_SUCH_KEY
        if new in self.values:
            return 0
        self.rename(key, new)
        return 1

    def copy(self, key: bytes, new: bytes, replace: bool) -> Any:
        if key not in self.values or (new in self.values and not replace):
            return 0
        self._store(new, self.values[key])
        if key in self.expiry:
            self.expiry[new] = self.expiry[key]
        return 1

    def dbsize(self) -> Any:
        return len(self.values)

    def keys(self) -> Any:
        wanted = sorted(self.values)
        return Expectation(f"{wanted} in some order", lambda reply: isinstance(reply, list) and sorted(reply) == wanted)

    def flushall(self) -> Any:
        self.values.clear()
        self.expiry.clear()
        return OK

    # -- expiry --

    def pexpireat(self, key: bytes, at: int, option: str) -> Any:
        if key not in self.values:
            return 0
        before = self.expiry.get(key)
        allowed = {
            "": True,
            "NX": before is None,
            "XX": before is not None,
            "GT": before is not None and at > before,
            "LT": before is None or at < before,
        }[option]
        if not allowed:
            return 0
        self.expiry[key] = at
        if at <= 1:
            self.delete(key)
        return 1

    def persist(self, key: bytes) -> Any:
        return int(self.expiry.pop(key, None) is not None)

    def pexpiretime(self, key: bytes) -> Any:
        return self.expiry.get(key, -1) if key in self.values else -2

    def _store(self, key: bytes, value: bytes, keep: bool = False) -> bytes:
        self.values[key] = value
        if not keep:
            self.expiry.pop(key, None)
        return value


def _integer(text: bytes) -> int | None:
    """Only the one way to write a number within 64 bits."""
    try:
        number = int(text)
    except ValueError:
        return None
    return number if b"%d" % number == text and LEAST <= number <= MOST else None
