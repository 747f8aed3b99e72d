"""The thread that removes expired entries of all byte maps of the process.

It starts when the first entry gets a time to live, and comes by every ``SHARDMAP_GC_INTERVAL`` seconds, or as often as
a server has been told since. The default is 30; 0 is never: the memory of expired entries is given back when somebody
meets them then, or by ``ByteMap.sweep()``. It needs the GIL only to wait.
"""

from __future__ import annotations

import os
import threading

from shardmap import config
from shardmap._core import _sweep_all, _sweeper_state

__all__ = ["look_again", "start"]


class _Sweeper:
    """The one of this process, and what it takes to start it once."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.starting = threading.Lock()
        self.changed = threading.Event()
        self.thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, unless it runs or is switched off."""
        with self.starting:
            runs = self.thread is not None and self.thread.is_alive()
            if not runs and config.gc_interval() > 0:
                self.thread = threading.Thread(target=_sweep, name="shardmap-sweeper", daemon=True)
                self.thread.start()
            _sweeper_state(True)

    def look_again(self) -> None:
        """The interval has changed: the thread, if there is one or should be one now, goes by the new one at once."""
        self.changed.set()
        self.start()

    def forget(self) -> None:
        """In the child of a fork there is no such thread: the next entry with a time to live starts one."""
        self.reset()
        _sweeper_state(False)


def _sweep() -> None:
    changed = _sweeper.changed
    while True:
        # Without an interval: until there is one.
        if changed.wait(config.gc_interval() or None):
            changed.clear()
        else:
            _sweep_all()


_sweeper = _Sweeper()
start = _sweeper.start
look_again = _sweeper.look_again

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_sweeper.forget)
