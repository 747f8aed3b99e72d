"""The threads that answer what the core hands over: one for what is quick, one for what may take long.

A client waits for its call, and its loop for nobody. A snapshot that takes a minute holds up other slow calls (SAVE,
SHUTDOWN, MEMORY PURGE) and no INFO.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from shardmap._core import Call
from shardmap.service.commands.registry import NO_REPLY, CommandError, Entry, Request, Then, find
from shardmap.service.state import State

__all__ = ["Calls"]

_log = logging.getLogger(__name__)


class Calls:
    """Both threads of a server."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._slow: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._take, name="shardmap-calls", daemon=True),
            threading.Thread(target=self._take_slow, name="shardmap-slow-calls", daemon=True),
        ]

    def start(self) -> None:
        """Begin to answer."""
        for thread in self._threads:
            thread.start()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until the last call has been answered, after the core was told to stop; whether it has."""
        for thread in self._threads:
            if thread.ident is not None and thread is not threading.current_thread():
                thread.join(timeout)
        return not any(thread.is_alive() for thread in self._threads)

    def _take(self) -> None:
        try:
            while (call := self._state.core.next_call()) is not None:
                self._dispatch(call)
                # Not kept while waiting for the next one.
                del call
        finally:
            self._slow.put(None)

    def _take_slow(self) -> None:
        while (work := self._slow.get()) is not None:
            work()
            del work

    def _dispatch(self, call: Call) -> None:
        try:
            entry, request = find(call.name, call.arguments, call.client)
        except CommandError as error:
            call.reply(error)
            return
        if entry.slow:
            self._slow.put(lambda: self._answer(call, entry, request))
        else:
            self._answer(call, entry, request)

    def _answer(self, call: Call, entry: Entry, request: Request) -> None:
        action: Callable[[], object] | None = None
        try:
            value = entry.handler(self._state, request)
            if isinstance(value, Then):
                value, action = value.value, value.action
        except CommandError as error:
            value = error
        except Exception as error:
            # A mistake of ours is that client's error and a line in the log, not the end of the service.
            _log.exception("%s failed", request.name)
            value = CommandError(f"ERR internal error: {type(error).__name__}")
        try:
            if value is not NO_REPLY:
                call.reply(value)
            if action is not None:
                action()
        except Exception:
            _log.exception("the reply to %s failed", request.name)
