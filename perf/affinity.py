"""Which processors a program runs on: children take over their parent's, so it is set around their start."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["halves", "on"]


def halves() -> tuple[frozenset[int], frozenset[int]]:
    """One processor for a server and another for its client; the same one where there is but one."""
    mine = sorted(os.sched_getaffinity(0))
    return frozenset(mine[:1]), frozenset(mine[1:2] or mine[:1])


@contextmanager
def on(cpus: frozenset[int]) -> Iterator[None]:
    """What is started in the block runs on these alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
