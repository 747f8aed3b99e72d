"""Killed at any moment, a dump leaves the file that was there before or its own, complete.

A child process dumps to one path again and again, each time another generation of entries, and reports each dump that
has returned; the parent kills it at some moment of its work. ``SHARDMAP_TEST_SCALE=12.5`` makes the eight kills 100.
What a power failure would show besides, that the data is on the disk before the name leads there, is a matter of the
order of calls, which the last test watches.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from bytemaps import pairs
from concurrency import new_random, scaled
from snapshot_reader import read
from support import linux_only

import shardmap
from shardmap import ByteMap, open_snapshot

#: Entries of a generation: enough for a dump to take milliseconds.
ENTRIES = 5000

CHILD = """
import sys
from shardmap import ByteMap

path, generation, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
keys = [b"key %d" % n for n in range(ENTRIES)]
m = ByteMap(shards=8)
while True:
    generation += 1
    m.update((key, b"%d" % generation * 50) for key in keys[: ENTRIES - generation % 7])
    m.delete_many(keys[ENTRIES - generation % 7 :])
    m.dump(path, threads=threads)
    print(generation, flush=True)
"""


def generation_in(path: Path) -> int:
    """Which generation the file has; all of it."""
    m = ByteMap()
    number = m.load(path)
    values = set(m.values())
    assert len(values) == 1
    (value,) = values
    generation = int(value[: len(value) // 50])
    assert value == b"%d" % generation * 50
    assert number == len(m) == ENTRIES - generation % 7
    with open_snapshot(path) as frozen:
        frozen.verify()
        assert frozen == m
    return generation


def killed_child(path: Path, generation: int, threads: int, seconds: float) -> int:
    """The last generation that the child has reported before it was killed, so long after its first report."""
    env = {**os.environ, "PYTHONPATH": str(Path(shardmap.__file__).parents[1])}
    command = [sys.executable, "-c", f"ENTRIES = {ENTRIES}" + CHILD, str(path), str(generation), str(threads)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=env) as child:
        assert child.stdout is not None
        first = child.stdout.readline()
        assert first, "the child has failed"
        time.sleep(seconds)
        child.kill()
        reports = [first, *child.stdout.readlines()]
    # The last line may have been cut off.
    return int([line for line in reports if line.endswith(b"\n")][-1])


def test_killed(tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    rng = new_random()
    generation = 0
    left = 0
    for _ in range(scaled(8)):
        reported = killed_child(path, generation, rng.choice([1, 3]), rng.uniform(0, 0.05))
        # The dump after the last one that was reported may have been complete already.
        found = generation_in(path)
        assert reported <= found <= reported + 1
        assert read(path).shards == 8
        generation = found
        assert set(os.listdir(tmp_path)) <= {"snapshot", "snapshot.tmp"}
        left += len(os.listdir(tmp_path)) - 1
    print(f"{left} temporary files were left behind")
    # The lock has gone with the process, and what it left with the next dump.
    assert ByteMap(pairs(3)).dump(path) == 3
    assert os.listdir(tmp_path) == ["snapshot"]


@linux_only
def test_the_order_of_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is written, its data is on the disk, it takes the name, the name is on the disk."""
    path = tmp_path / "snapshot"
    ByteMap({b"old": b"value"}).dump(path)
    calls: list[tuple[str, Any]] = []
    fsync, replace = os.fsync, os.replace

    def watched_fsync(file: int) -> None:
        name = os.readlink(f"/proc/self/fd/{file}")
        calls.append(("fsync", name))
        if name.endswith(".tmp"):
            assert len(read(name).entries) == 3, "synced before it was complete"
            assert len(read(path).entries) == 1
        fsync(file)

    def watched_replace(source: Any, target: Any, **options: Any) -> None:
        calls.append(("replace", os.path.basename(target)))
        replace(source, target, **options)

    monkeypatch.setattr("shardmap.snapshot.os.fsync", watched_fsync)
    monkeypatch.setattr("shardmap.snapshot.os.replace", watched_replace)
    assert ByteMap(pairs(3)).dump(path) == 3
    assert calls == [("fsync", f"{path}.tmp"), ("replace", "snapshot"), ("fsync", str(tmp_path))]
