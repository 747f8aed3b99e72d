"""The end of the interpreter while daemon threads are inside of byte maps, with the GIL and without it: it ends.

Each program is a process of its own, and is to exit with status 0, nothing on stderr.
"""

from __future__ import annotations

import sys

import pytest
from concurrency import GIL_ENABLED, scaled
from support import run_python

HEAD = """
import atexit, builtins, os, sys, threading
from shardmap import ByteMap, _core

def in_daemons(call, threads=2):
    begun = threading.Barrier(threads + 1)
    def loop():
        begun.wait()
        while True:
            call()
    for _ in range(threads):
        threading.Thread(target=loop, daemon=True).start()
    begun.wait()
    for _ in range(1000):
        m.get(b"0")

m = ByteMap({b"%d" % number: b"value" for number in range(1000)}, shards=int(sys.argv[1]))
# It outlives all modules.
builtins.m = m
numbers = range(100)

def write():
    for number in numbers:
        m[b"%d" % number] = b"%d" % number * 10
        m.set(b"t%d" % number, b"x" * 20_000, ttl=0.001)
        m.pop(b"%d" % number, None)
"""

#: Programs, and whether they need many entries.
PROGRAMS = {
    "writing": "in_daemons(write)",
    "writing without the GIL": "in_daemons(lambda: m.set(b'long', b'x' * 100_000))",
    "sweeping": """
m.set_many(((b"%d" % number, b"") for number in range(300_000)), ttl=1000)
in_daemons(m.sweep, 6)
""",
    "sweeping all maps": "in_daemons(_core._sweep_all, 3); in_daemons(write)",
    "clearing": "in_daemons(m.clear); in_daemons(write)",
    "snapshots": "in_daemons(m.snapshot); in_daemons(write)",
    "iterating": "shared = [iter(m)]; in_daemons(lambda: [one for one in m.items()], 3); in_daemons(write)",
    "one iterator": """
import itertools
builtins.shared = iter(m.items())
in_daemons(lambda: next(shared, None), 3)
in_daemons(m.snapshot)
atexit.register(lambda: list(shared))
""",
    "views": "in_daemons(lambda: (m.set(b'view', b'x' * 50_000), m.get_view(b'view'))); in_daemons(m.clear)",
    "maps": "in_daemons(lambda: ByteMap({b'1': b'1'}, shards=256), 3)",
    "the library's own sweeper": "m.set_many(((b'%d' % n, b'') for n in range(100_000)), ttl=0.001); in_daemons(write)",
    "an entry with a time to live during exit": "atexit.register(lambda: m.set(b'late', b'', ttl=1000))",
}


def assert_ends(program: str, shards: int) -> None:
    done = run_python(HEAD + program, str(shards), env={"SHARDMAP_GC_INTERVAL": "0.001"})
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", PROGRAMS)
def test_daemon_threads_in_the_middle_of_operations(name: str) -> None:
    for attempt in range(scaled(2)):
        assert_ends(PROGRAMS[name], 1 << 2 * attempt)


SUBINTERPRETER = """
import sys, threading
if sys.version_info >= (3, 13):
    import _interpreters as interpreters
else:
    import _xxsubinterpreters as interpreters
from shardmap import ByteMap

other = interpreters.create()
m = ByteMap(shards=1)
m.set_many(((b"%d" % number, b"") for number in range(20_000)), ttl=1000)

def sweep():
    for _ in range(300):
        m.sweep()

def write():
    for number in range(3000):
        m.set(b"%d" % (number % 10), b"x" * 20_000)

threads = [threading.Thread(target=target) for target in (sweep, sweep, sweep, write, write)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
m._check()
interpreters.destroy(other)
"""


def test_waiting_without_the_gil_where_there_are_other_interpreters() -> None:
    """With a second interpreter in the process, CPython no longer says reliably whether a thread has the GIL."""
    done = run_python(SUBINTERPRETER, options=("-W", "ignore"))
    assert (done.returncode, done.stderr) == (0, ""), f"{'with' if GIL_ENABLED else 'without'} GIL, {sys.version}"
