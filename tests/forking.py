"""`os.fork` in a test: a check that runs in the child alone, and fails here if it fails or hangs there."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable

import pytest

__all__ = ["CHILD_SECONDS", "FORK_MARKS", "in_child", "run_and_exit"]

#: Of a module whose tests fork.
FORK_MARKS = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork"),
    # Since 3.12 Python warns of forks in a multithreaded process; that is what these tests are about.
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]

#: After this long a child is taken to hang, and its own alarm kills it.
CHILD_SECONDS = 60


def in_child(check: Callable[[], object]) -> None:
    """Fork, and run *check* in the child alone; its failure, or its hanging, is a failure here."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        run_and_exit(check)
    _, status = os.waitpid(child, 0)
    assert not os.WIFSIGNALED(status), f"the child was killed by {signal.Signals(os.WTERMSIG(status)).name}"
    assert os.WEXITSTATUS(status) == 0, "the check failed in the child, see its stderr"


def run_and_exit(check: Callable[[], object]) -> None:
    """Never returns, nor runs anything of the parent's: no cleanup, no exit handler."""
    status = 1
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(CHILD_SECONDS)
        check()
        status = 0
    except BaseException:
        # Not through sys.stderr, whose lock another thread may have held.
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(status)
