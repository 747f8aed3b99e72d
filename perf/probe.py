"""Does a peer's operation end at all? Asked in a fork, which has the same keys with the same hashes.

cereggii 1.0.1's ``reduce_count`` goes round in circles for ever on GIL builds with some keys, by the luck of their
hashes (and so of PYTHONHASHSEED) or addresses, which would take the whole benchmark with it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

__all__ = ["ends"]


def ends(call: Callable[[], object], seconds: float = 10.0) -> bool:
    """Whether ``call()`` returns or raises within so long, tried in a forked child; True where there is no fork."""
    if not hasattr(os, "fork"):
        return True
    child = os.fork()
    if child == 0:
        try:
            call()
        finally:
            os._exit(0)
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        ended, _ = os.waitpid(child, os.WNOHANG)
        if ended:
            return True
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False
