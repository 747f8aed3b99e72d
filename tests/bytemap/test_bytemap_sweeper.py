"""The thread that removes what has expired: when it starts, when it does not, and that a fork leaves a usable module.

Each in a process of its own, since a process has one such thread for all its maps.
"""

from __future__ import annotations

import os

import pytest
from support import run_python, run_python_ok

PRELUDE = f"""
import os, signal, sys, threading, time
sys.path.insert(0, {os.path.dirname(__file__)!r})
from bytemaps import LONG, SHORT, outlive, pairs
from shardmap import ByteMap

def sweepers():
    return [thread for thread in threading.enumerate() if thread.name == "shardmap-sweeper"]

def until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.002)
"""


def child(code: str, interval: str, *options: str) -> str:
    return run_python_ok(PRELUDE + code, env={"SHARDMAP_GC_INTERVAL": interval}, options=options)


def test_it_sweeps_all_maps() -> None:
    """Nobody asks for the keys, so that only the thread can have removed them."""
    code = """
maps = [ByteMap(), ByteMap(shards=1), ByteMap(max_memory="1mb")]
assert not sweepers()
for m in maps:
    m[b"stays"] = b"v"
    m.set_many(pairs(500), ttl=SHORT)
    m.set(b"lives", b"v", ttl=LONG)
(sweeper,) = sweepers()
assert sweeper.daemon
until(lambda: all(len(m) == 2 for m in maps))
for m in maps:
    assert m.stats()["expired"] == 500 and m == {b"stays": b"v", b"lives": b"v"}
    m._check()
later = ByteMap()
del maps[:]
later.set(b"k", b"v", ttl=SHORT)
until(lambda: len(later) == 0)
assert sweepers() == [sweeper]
print("done")
"""
    assert child(code, "0.005") == "done\n"


def test_a_sweep_says_for_how_long_it_locked() -> None:
    code = """
m = ByteMap(shards=1)
assert m.stats()["longest_sweep_ns"] == 0
for i in range(20_000):
    m.set(b"%d" % i, b"v", ttl=SHORT if i % 2 else LONG)
outlive()
began = time.perf_counter_ns()
assert m.sweep() == 10_000
assert 0 < m.stats()["longest_sweep_ns"] < time.perf_counter_ns() - began
"""
    child(code, "0")


def test_zero_switches_it_off() -> None:
    code = """
m = ByteMap()
m.set_many(pairs(100), ttl=SHORT)
outlive()
assert not sweepers()
assert len(m) == 100
assert m.get(b"key 0") is None and len(m) == 99
assert list(m) == [] and len(m) == 99
assert m.sweep() == 99 and len(m) == 0
print("done")
"""
    assert child(code, "0") == "done\n"


@pytest.mark.parametrize(
    "use",
    ["m.set(b'k', b'v', ttl=5)", "m.insert(b'k', b'v', 5)", "m.replace(b'k', b'v', 5)", "m.expire(b'k', 5)",
     "m.compare_and_set(b'k', b'', b'v', 5)", "m.set_many([(b'k', b'v')], ttl=5)"],
)  # fmt: skip
def test_whatever_gives_a_time_to_live_starts_it(use: str) -> None:
    code = f"""
m = ByteMap({{b"k": b""}})
m.ttl(b"k"), m.persist(b"k"), m.sweep(), m.set(b"k", b""), m.insert(b"l", b"")
assert not sweepers()
{use}
assert len(sweepers()) == 1
print("done")
"""
    assert child(code, "30") == "done\n"


def test_a_copy_with_times_to_live_starts_it() -> None:
    code = """
import pickle
m = ByteMap()
m.set(b"k", b"v", ttl=LONG)
pickled = pickle.dumps(m)
import subprocess
fresh = '''
import pickle, sys, threading
m = pickle.loads(bytes.fromhex(sys.argv[1]))
print(any(thread.name == "shardmap-sweeper" for thread in threading.enumerate()), m.ttl(b"k") > 0)
'''
print(subprocess.check_output([sys.executable, "-c", fresh, pickled.hex()], text=True))
"""
    assert child(code, "30").split() == ["True", "True"]


def test_the_end_of_the_process_waits_for_nothing() -> None:
    """Also when the thread is in the middle of a sweep of many entries."""
    code = """
m = ByteMap()
m.set_many(((b"%d" % number, b"") for number in range(20_000)), ttl=SHORT)
print("done")
"""
    for interval in ("30", "0.001"):
        assert child(code, interval) == "done\n"


def test_a_bad_interval_stops_the_program_at_import() -> None:
    for text in ("-1", "abc", "", "nan", "inf", "-inf", "1e300", "5s", "40000000"):
        done = run_python("import shardmap; print('went on')", env={"SHARDMAP_GC_INTERVAL": text})
        assert done.returncode == 1
        assert "went on" not in done.stdout
        last_line = done.stderr.strip().splitlines()[-1]
        for part in ("ConfigError", "SHARDMAP_GC_INTERVAL", repr(text), "seconds from 0 (never)"):
            assert part in last_line


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_after_a_fork() -> None:
    """The child has no such thread until an entry gets a time to live; then it has one of its own, for all its maps."""
    code = """
m = ByteMap()
m.set(b"old", b"v", ttl=LONG)
assert len(sweepers()) == 1
for _ in range(3):
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        status = 1
        try:
            assert not sweepers()
            m._check()
            assert m.ttl(b"old") > 0
            m.expire(b"old", SHORT)
            assert len(sweepers()) == 1
            m.set_many(pairs(100), ttl=SHORT)
            until(lambda: len(m) == 0)
            assert m.stats()["expired"] == 101
            grandchild = os.fork()
            if grandchild == 0:
                signal.alarm(60)
                assert not sweepers()
                m.set(b"k", b"v", ttl=SHORT)
                until(lambda: len(m) == 0)
                os._exit(0)
            assert os.waitpid(grandchild, 0)[1] == 0
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
assert m[b"old"] == b"v"
m.set(b"k", b"v", ttl=SHORT)
until(lambda: len(m) == 1)
assert len(sweepers()) == 1
print("done")
"""
    assert child(code, "0.005", "-W", "ignore::DeprecationWarning") == "done\n"


def test_a_fork_of_a_process_without_it() -> None:
    code = """
m = ByteMap()
child = os.fork()
m.set(b"k", b"v", ttl=SHORT)
until(lambda: len(m) == 0)
assert len(sweepers()) == 1
if child:
    assert os.waitpid(child, 0)[1] == 0
    print("done", flush=True)
else:
    os._exit(0)
"""
    assert child(code, "0.005", "-W", "ignore::DeprecationWarning") == "done\n"
