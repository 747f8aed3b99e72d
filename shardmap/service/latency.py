"""LATENCY's events: what took longer than ``latency_threshold`` milliseconds, the last 160 of each kind.

The kinds are ``command``, taken from the slow log, ``snapshot-save`` and ``snapshot-load``. Of several in one second
the longest counts, as in Redis.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

__all__ = ["Event", "LatencyMonitor", "SlowEntry"]

#: Redis's number.
KEPT = 160

#: As the core gives them: id, unix time, microseconds, arguments, address, client's name.
SlowEntry = tuple[int, float, int, list[bytes], str, str]


class Event(NamedTuple):
    """What happened in one second."""

    time: int
    milliseconds: int


class LatencyMonitor:
    """The events of one server."""

    def __init__(self, threshold: Callable[[], int]) -> None:
        #: Milliseconds; 0: nothing is remembered.
        self._threshold = threshold
        self._lock = threading.Lock()
        self._events: dict[str, deque[Event]] = {}
        self._longest: dict[str, int] = {}
        self._seen = -1

    def record(self, kind: str, seconds: float, when: float | None = None) -> None:
        """Something took so long."""
        threshold = self._threshold()
        milliseconds = int(seconds * 1000)
        if not threshold or milliseconds < threshold:
            return
        second = int(time.time() if when is None else when)
        with self._lock:
            events = self._events.setdefault(kind, deque(maxlen=KEPT))
            self._longest[kind] = max(self._longest.get(kind, 0), milliseconds)
            if events and events[-1].time == second:
                milliseconds = max(milliseconds, events.pop().milliseconds)
            events.append(Event(second, milliseconds))

    def look(self, slow_log: Iterable[SlowEntry]) -> None:
        """Take the commands that the slow log, newest first, has got since the last time."""
        new = []
        for entry in slow_log:
            if entry[0] <= self._seen:
                break
            new.append(entry)
        for number, when, microseconds, *_ in reversed(new):
            self._seen = number
            self.record("command", microseconds / 1e6, when)

    def latest(self) -> list[tuple[str, int, int, int]]:
        """Of each kind: its name, the time and the milliseconds of the last event, the milliseconds of the longest."""
        with self._lock:
            return [(kind, *events[-1], self._longest[kind]) for kind, events in sorted(self._events.items())]

    def history(self, kind: str) -> list[Event]:
        """The events of a kind, oldest first."""
        with self._lock:
            return list(self._events.get(kind, ()))

    def reset(self, kinds: Iterable[str] = ()) -> int:
        """Forget the events of these kinds, or of all; how many kinds had some."""
        with self._lock:
            chosen = list(kinds) or list(self._events)
            for kind in chosen:
                self._longest.pop(kind, None)
            return sum(self._events.pop(kind, None) is not None for kind in chosen)
