"""The thread that does what is due: a sample every second, a snapshot every interval, and the end when it is asked for.

``request_stop`` may be called from anywhere, a signal handler included: it takes no lock.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from shardmap.service.snapshots import SaveInProgressError
from shardmap.service.state import State

__all__ = ["Keeper"]

_log = logging.getLogger(__name__)

#: Seconds between two samples.
TICK = 1.0


class Keeper:
    """Of one running server."""

    def __init__(self, stop: Callable[[bool | None], None]) -> None:
        #: Called, in the thread, with whether to save (None: as configured).
        self._stop = stop
        self._orders: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._saved = 0.0

    def start(self, state: State) -> None:
        """Begin."""
        self._saved = time.monotonic()
        self._thread = threading.Thread(target=self._run, args=(state,), name="shardmap-keeper", daemon=True)
        self._thread.start()

    def request_stop(self, save: bool | None = None) -> None:
        """Have the server stopped soon. Returns at once."""
        self._orders.put(lambda: self._stop(save))

    def end(self) -> None:
        """Have the thread end soon; a server that stops calls it."""
        self._orders.put(None)

    def join(self) -> None:
        """Wait for its end, unless this is it."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self, state: State) -> None:
        while True:
            try:
                order = self._orders.get(timeout=TICK)
            except queue.Empty:
                self._tick(state)
                continue
            if order is not None:
                order()
            return

    def _tick(self, state: State) -> None:
        try:
            state.sample()
            if state.settings.latency_threshold:
                state.latency.look(state.core.slow_log())
            self._save_if_due(state)
        except Exception:
            # The next tick may do better; without them the service would never stop.
            _log.exception("the keeper's work failed")

    def _save_if_due(self, state: State) -> None:
        interval = state.settings.snapshot_interval
        if not interval or not state.snapshots.path or time.monotonic() - self._saved < interval:
            return
        self._saved = time.monotonic()
        # One that somebody has asked for does as well.
        with suppress(SaveInProgressError):
            state.snapshots.save_in_background()
