"""What a load test knows of the store: what was asked for and what was acknowledged; and whether the store agrees.

A request that was cut off may have been carried out or not, so there are two numbers for everything that is written:
what was sent and what was acknowledged. Where they are equal, which is so unless the run failed, the check is exact.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

__all__ = ["ACCOUNTS", "Books", "Deposit", "account", "pair", "permanent_key", "permanent_value"]

#: Keys that are there from the beginning to the end, and never change.
PERMANENT = 5_000
#: Accounts of the ledger, and what is in each at first.
ACCOUNTS, BALANCE = 50, 1_000
#: Values that are two balances in one, changed by comparing and setting.
PAIRS = 10

#: Milliseconds by which a time to live may be off: clocks are read one after the other.
TOLERANCE = 100

#: Entries asked for in one command.
_CHUNK = 500


def permanent_key(number: int) -> str:
    return f"permanent:{number}"


def permanent_value(number: int) -> bytes:
    return b"value of %d " % number * (1 + number % 9)


def account(number: int) -> str:
    return f"account:{number}"


def pair(number: int) -> str:
    return f"pair:{number}"


@dataclass
class Deposit:
    """Of one key: the value that was sent last, and the one acknowledged last; None is for a key that is deleted."""

    sent: Any = None
    acknowledged: Any = None


@dataclass
class Books:
    """One run's."""

    #: By counter: the sum of all increments.
    counted_sent: Counter[str] = field(default_factory=Counter)
    counted: Counter[str] = field(default_factory=Counter)
    #: By key: what its only writer wrote.
    written: dict[str, Deposit] = field(default_factory=dict)
    #: By key: at which unix time in milliseconds it expires.
    deadlines: dict[str, Deposit] = field(default_factory=dict)
    #: What does not hold, in words.
    broken: list[str] = field(default_factory=list)

    def open(self, client: Any) -> None:
        """Empty the store and put in what the users begin with."""
        client.flushall()
        for numbers in _chunks(range(PERMANENT)):
            client.mset({permanent_key(number): permanent_value(number) for number in numbers})
        client.mset({account(number): BALANCE for number in range(ACCOUNTS)})
        client.mset({pair(number): f"{BALANCE}:{BALANCE}" for number in range(PAIRS)})

    @contextmanager
    def counting(self, amounts: Counter[str]) -> Iterator[None]:
        """Around a request that adds these."""
        self.counted_sent.update(amounts)
        yield
        self.counted.update(amounts)

    @contextmanager
    def writing(self, key: str, value: Any) -> Iterator[None]:
        """Around a request that sets the key, which nobody else writes, or deletes it."""
        with _noting(self.written, key, value):
            yield

    @contextmanager
    def expiring(self, key: str, milliseconds: int) -> Iterator[None]:
        """Around a request that has the key expire at this unix time."""
        with _noting(self.deadlines, key, milliseconds):
            yield

    def check(self, client: Any, when: str) -> None:
        """Compare the store with the books; what is wrong goes to ``broken``."""
        checks = [self._counters, self._ledger, self._pairs, self._own_writes]
        checks += [self._permanent, self._deadlines, self._short_lived]
        for one in checks:
            self.broken += [f"{when}: {problem}" for problem in islice(one(client), 10)]

    # -- one invariant each: what is wrong with it --

    def _counters(self, client: Any) -> Iterator[str]:
        for name, sent in self.counted_sent.items():
            value = float(client.get(name) or 0)
            least, most = sorted((float(self.counted[name]), float(sent)))
            if not least <= value <= most:
                yield f"{name} is {value:g}; increments of {least:g} were acknowledged, and {most:g} sent"

    def _ledger(self, client: Any) -> Iterator[str]:
        total = sum(map(int, client.mget([account(number) for number in range(ACCOUNTS)])))
        if total != ACCOUNTS * BALANCE:
            yield f"the accounts sum up to {total}, and should to {ACCOUNTS * BALANCE}"

    def _pairs(self, client: Any) -> Iterator[str]:
        for number in range(PAIRS):
            value = client.get(pair(number))
            if sum(map(int, value.split(b":"))) != 2 * BALANCE:
                yield f"{pair(number)} is {value!r}, and should sum up to {2 * BALANCE}"

    def _own_writes(self, client: Any) -> Iterator[str]:
        for keys in _chunks(list(self.written)):
            for key, value in zip(keys, client.mget(keys), strict=True):
                written = self.written[key]
                if value not in (written.sent, written.acknowledged):
                    yield f"{key} is {value!r}, and its writer wrote {written.acknowledged!r}"

    def _permanent(self, client: Any) -> Iterator[str]:
        expected = {permanent_key(number).encode() for number in range(PERMANENT)}
        missed = expected - set(client.scan_iter(match="permanent:*", count=1_000))
        if missed:
            yield f"SCAN has missed {len(missed)} permanent keys, {min(missed)!r} among them"
        for numbers in _chunks(range(PERMANENT)):
            for number, value in zip(numbers, client.mget([permanent_key(number) for number in numbers]), strict=True):
                if value != permanent_value(number):
                    yield f"{permanent_key(number)} is {value!r}"

    def _deadlines(self, client: Any) -> Iterator[str]:
        for key, at in self.deadlines.items():
            found = client.pexpiretime(key)
            if at.acknowledged is not None and all(abs(found - one) > TOLERANCE for one in (at.sent, at.acknowledged)):
                yield f"{key} expires at {found}, and should at {at.acknowledged}"

    def _short_lived(self, client: Any) -> Iterator[str]:
        time.sleep(1.0)
        left = list(client.scan_iter(match="short:*", count=1_000))
        if left:
            yield f"{len(left)} entries have outlived their time, {left[0]!r} among them"


@contextmanager
def _noting(deposits: dict[str, Deposit], key: str, value: Any) -> Iterator[None]:
    deposit = deposits.setdefault(key, Deposit())
    deposit.sent = value
    yield
    deposit.acknowledged = value


def _chunks(items: Any) -> Iterator[Any]:
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]
