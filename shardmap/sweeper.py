"""The thread that removes expired entries of all byte maps of the process.

It starts when the first entry gets a time to live, and comes by every ``SHARDMAP_GC_INTERVAL`` seconds (30; 0: never,
then memory of expired entries is given back when somebody meets them, or by ``ByteMap.sweep()``). It needs the GIL only
to wait.
"""

from __future__ import annotations

import os
import threading

from shardmap import config
from shardmap._core import _sweep_all, _sweeper_state

__all__ = ["start"]


class _Sweeper:
    """The one of this process, and what it takes to start it once."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.starting = threading.Lock()
        self.thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, unless it runs or is switched off."""
        with self.starting:
            if self.thread is None or not self.thread.is_alive():
                interval = config.gc_interval()
                if interval > 0:
                    name = "shardmap-sweeper"
                    self.thread = threading.Thread(target=_sweep, args=(interval,), name=name, daemon=True)
                    self.thread.start()
            _sweeper_state(True)

    def forget(self) -> None:
        """In the child of a fork there is no such thread: the next entry with a time to live starts one."""
        self.reset()
        _sweeper_state(False)


def _sweep(interval: float) -> None:
    never = threading.Event()
    while not never.wait(interval):
        _sweep_all()


_sweeper = _Sweeper()
start = _sweeper.start

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_sweeper.forget)
