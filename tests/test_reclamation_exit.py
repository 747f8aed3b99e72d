"""The end of the interpreter: what maps have displaced and not released yet ends before it does, finalizers run.

Each program announces at its end which of its objects have been finalized, by the letters of their names: written to
the file descriptor itself, since ``sys.stdout`` ends earlier than some of them.
"""

from __future__ import annotations

from collections import Counter

import pytest
from support import run_python_ok

HEAD = """
import atexit, gc, os, sys, threading, weakref

class Noisy:
    def __init__(self, name):
        self.name = name
    def __del__(self, write=os.write):
        write(1, self.name.encode())

def early():
    # Registered before shardmap's own exit handler, so called after it.
    m["key"] = Noisy("l")
    m["key"] = 0
    for number in range(40):
        m[number % 2] = Noisy("l")
    m.clear()
if "early" in sys.argv:
    atexit.register(early)

from shardmap import ShardMap

def in_a_thread(call, **options):
    thread = threading.Thread(target=call, **options)
    thread.start()
    return thread

def asleep(thread):
    # A thread on its way to sleep may be stopped by the interpreter's end with an object in hand.
    while open(f"/proc/self/task/{thread.native_id}/stat").read().rpartition(")")[2].split()[0] != "S":
        pass

m = ShardMap({"key": 0})
in_a_thread(lambda: m["key"]).join()

def displace(name, count=1):
    for _ in range(count):
        m["key"] = Noisy(name)
    m["key"] = 0
"""

#: Program, and how many objects of which name it has to finalize.
PROGRAMS: dict[str, tuple[str, dict[str, int]]] = {
    "the main thread's": ("displace('a', 10)", {"a": 10}),
    "many": ("displace('a', 5000)", {"a": 5000}),
    "deleted keys": (
        "m[Noisy('k')] = Noisy('v'); m.popitem(); m.clear(); m[1] = Noisy('w'); del m[1]",
        {"k": 1, "v": 1, "w": 1},
    ),
    "cleared": ("m.update((n, Noisy('a')) for n in range(100)); m.clear()", {"a": 100}),
    "still in the map": ("m.update((n, Noisy('a')) for n in range(10)); displace('b')", {"a": 10, "b": 1}),
    "a map that died": ("m['x'] = Noisy('a'); displace('b'); del m; gc.collect()", {"a": 1, "b": 1}),
    "an ended thread's": ("in_a_thread(lambda: displace('a', 10)).join()", {"a": 10}),
    "ended threads'": ("for _ in range(20): in_a_thread(lambda: displace('a', 10)).join()", {"a": 200}),
    "an ordinary thread's, which ends after the main one": (
        """
go = threading.Event()
def later():
    go.wait()
    threading.main_thread().join()
    displace('a', 10)
in_a_thread(later)
go.set()
""",
        {"a": 10},
    ),
    "of a daemon thread that is idle": (
        """
done = threading.Event()
def work():
    displace('a', 10)
    done.set()
    threading.Event().wait()
thread = in_a_thread(work, daemon=True)
done.wait()
asleep(thread)
""",
        {"a": 10},
    ),
    "during atexit, before the maps' own handler": (
        "atexit.register(displace, 'a', 10); atexit.register(m.clear)",
        {"a": 10},
    ),
    "during atexit, after the maps' own handler": ("displace('a', 3)", {"a": 3, "l": 41}),
    "by finalizers during exit": (
        """
class Last:
    def __init__(self, depth):
        self.depth = depth
    def __del__(self, displace=displace, m=m):
        displace('a', 2)
        if self.depth:
            m['next'] = Last(self.depth - 1)
            m['next'] = 0
m['next'] = Last(5)
m['next'] = 0
""",
        {"a": 12},
    ),
    "when modules are taken apart": (
        """
import types
class Last:
    def __del__(self, displace=displace, m=m, write=os.write):
        displace('a', 2)
        m.clear()
        m.drain()
        write(1, b'z')
sys.modules['module'] = types.ModuleType('module')
sys.modules['module'].last = Last()
""",
        {"a": 2, "z": 1},
    ),
    "weakref.finalize": (
        """
class Plain: pass
for _ in range(5):
    m['key'] = plain = Plain()
    weakref.finalize(plain, os.write, 1, b'a')
del plain
m['key'] = 0
""",
        {"a": 5},
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_everything_is_finalized(name: str) -> None:
    program, expected = PROGRAMS[name]
    early = ["early"] if "l" in expected else []
    printed = run_python_ok(HEAD + program, *early)
    assert not Counter(expected) - Counter(printed)
    assert not Counter(printed) - Counter(expected)


BUSY = """
done = threading.Event()
other = ShardMap()
def work(thread):
    for number in range(10**9):
        m[thread, number % 50] = [number]
        m["key"] = [number]
        m.pop((thread, number % 7), None)
        other[number % 100] = [number]
        if number == 2000:
            done.set()
        if thread == 0 and number % 100 == 0:
            m.snapshot()
            m.shrink()
            other.clear()
for thread in range(3):
    in_a_thread(lambda thread=thread: work(thread), daemon=True)
done.wait()
for _ in range(20):
    m["mine"] = Noisy("a")
m["mine"] = 0
"""


@pytest.mark.parametrize("attempt", range(5))
def test_daemon_threads_in_the_middle_of_writes(attempt: int) -> None:
    """They are stopped wherever they are. Nothing hangs or crashes, and what the main thread has displaced goes, but for
    one value that a thread may hold in a snapshot when it is stopped."""
    finalized = Counter(run_python_ok(HEAD + BUSY))
    assert set(finalized) == {"a"}
    assert 19 <= finalized["a"] <= 20
