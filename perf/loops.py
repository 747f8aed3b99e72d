"""Measured loops are generated source with the operation inlined: no call a round but the operation's own.

Each loop is compiled anew for each peer, so that the interpreter specialises it for that peer alone, as it would in a
program; everything that it names is a local variable. The clock is read inside, right before and right after.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from textwrap import indent
from typing import Any

__all__ = ["Loop", "compile_loop"]

#: Called with ``m``, ``lock``, ``clock`` and the loop's arguments; returns the two readings of the clock.
Loop = Callable[..., tuple[int, int]]

_TEMPLATE = """\
def run(m, lock, clock, {arguments}):
    begin = clock()
{body}
    end = clock()
    return begin, end
"""


def compile_loop(
    loop: str, statement: str, arguments: Iterable[str], global_names: dict[str, Any] | None = None
) -> Loop:
    """A function that runs ``statement`` under ``loop`` (``for k in keys``), or once if ``loop`` is empty."""
    body = f"{loop}:\n{indent(statement, '    ')}" if loop else statement
    source = _TEMPLATE.format(arguments=", ".join(arguments), body=indent(body, "    "))
    namespace = dict(global_names or {})
    exec(compile(source, f"<{statement}>", "exec"), namespace)
    run: Loop = namespace["run"]
    return run
