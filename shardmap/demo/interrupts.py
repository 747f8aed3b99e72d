"""Ctrl-C as a message instead of an exception out of nowhere.

Python raises ``KeyboardInterrupt`` between any two steps of the main thread, also in the middle of the standard
library's ``Thread.start`` or ``Event.wait``, which can leave their locks locked and the other threads waiting forever.
Where threads are started and waited for, Ctrl-C is therefore delivered to a function, and raised when all is in order.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["interrupts_to"]


@contextmanager
def interrupts_to(notify: Callable[[], None]) -> Iterator[None]:
    """Call *notify* on Ctrl-C, and raise ``KeyboardInterrupt`` at the end of the block if there was one.

    *notify* runs between any two steps of the main thread, so it must take no lock (``SimpleQueue.put`` is made for
    that). Where Ctrl-C is ignored or handled by somebody else already, or outside of the main thread, nothing changes.
    """
    mine = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if not mine:
        yield
        return
    noted = False

    def note(_signal: int, _frame: object) -> None:
        nonlocal noted
        noted = True
        notify()

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if noted:
            raise KeyboardInterrupt
