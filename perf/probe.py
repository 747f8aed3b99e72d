"""Operations of a peer that may not come back are run in a fork, which has the same keys with the same hashes.

cereggii 1.0.1's ``reduce_count`` does not work on GIL builds with some keys, by the luck of their hashes (and so of
PYTHONHASHSEED) or addresses: it goes round in circles for ever, raises, or ends the process, which would take the whole
benchmark with it.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

__all__ = ["LostError", "in_child"]


class LostError(Exception):
    """The call did not come back; says in a word for a table, why not."""


def in_child(call: Callable[[], int], seconds: float = 10.0) -> int:
    """What ``call()`` returns in a forked child; LostError if it takes longer, raises or ends the child.

    Where there is no fork, it is called here.
    """
    if not hasattr(os, "fork"):
        return call()
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        _answer(call, sender)
    os.close(sender)
    try:
        # When the child ends, its side is closed, which is something to read, too.
        ended, _, _ = select.select([receiver], [], [], seconds)
        if not ended:
            os.kill(child, signal.SIGKILL)
        answer = os.read(receiver, 100)
    finally:
        os.close(receiver)
        os.waitpid(child, 0)
    if not answer:
        raise LostError("fails" if ended else "hangs")
    return int(answer)


def _answer(call: Callable[[], int], sender: int) -> NoReturn:
    """In the child: call, send the result, and end without what a process does at its end."""
    try:
        os.write(sender, str(call()).encode())
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(0)
