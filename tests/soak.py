"""A long run of everything at once, to see that memory stays flat and the totals add up.

    python tests/soak.py --minutes 10 [--threads N] [--seed S] [--every SECONDS]

Rounds of a few seconds: threads, half of them new in each round and the others there from the first to the last, do all
operations on maps that they share and on maps that come and go; then they pause, and what must hold is checked. After
each `--every` seconds a line says: seconds, operations a second, resident memory, what is retired, entries of the
permanent maps, live maps. The seed decides what the threads do, the system when.

Exit status 1 if an invariant broke, a thread failed or hung, or memory was not flat: the median of resident memory,
taken while the threads pause, over the last third of the run may exceed that over the second third by FLAT_SHARE and
FLAT_BYTES together. The first third is for growing warm: allocators, maps at their largest, the interpreter's caches.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import itertools
import os
import random
import statistics
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

from shardmap import MISSING, ShardMap  # noqa: E402

AnyMap: TypeAlias = ShardMap[Any, Any]

#: How much more resident memory the last third may have: noise of the allocators, which keep what they have freed.
FLAT_SHARE = 0.03
FLAT_BYTES = 3 << 20
ROUND_SECONDS = 2.0
#: Longer than this, beyond the round itself, no round takes.
HANG_SECONDS = 120
#: Keys that threads add to.
COUNTERS = [f"counter {number}" for number in range(64)]
#: Keys that come and go; so many that maps grow, so few that threads meet.
PASSING = 3000
MAPS = 6


class SoakError(Exception):
    """Something does not hold."""


class CallbackError(Exception):
    """Raised by callbacks on purpose."""


class Node:
    """A value of the garbage collector's kind, which knows its key; often part of a cycle through the map."""

    __slots__ = ("dead", "key", "link")

    def __init__(self, key: object, link: object = None) -> None:
        self.key = key
        self.link = link
        self.dead = False

    def __del__(self) -> None:
        self.dead = True


class Meeting:
    """A key whose comparison is Python code; eight of a kind have one hash."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __hash__(self) -> int:
        return self.number // 8

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Meeting) and self.number == other.number


def make_key(number: int) -> Any:
    """Of all types; equal numbers make equal keys."""
    kind = number % 5
    if kind == 0:
        return number
    if kind == 1:
        return b"%d" % number
    if kind == 2:
        return (number, "tuple")
    if kind == 3:
        return Meeting(number)
    return f"key {number}"


def resident() -> int:
    """Bytes of physical memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@dataclass
class World:
    """What the threads share."""

    counters: AnyMap = field(default_factory=lambda: ShardMap.fromkeys(COUNTERS, 0))
    passing: AnyMap = field(default_factory=ShardMap)
    ordered: AnyMap = field(default_factory=lambda: ShardMap(shards=64))
    maps: list[AnyMap] = field(default_factory=list)
    stop: bool = False
    failures: list[str] = field(default_factory=list)

    def fail(self) -> None:
        self.failures.append(f"{threading.current_thread().name}: {traceback.format_exc()}")
        self.stop = True


class Worker:
    """One thread's part: random operations, and what they have to add up to."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)
        self.done = 0
        self.added = 0
        self.entered = 0
        self.mine = ("pair", seed)
        self.step = 0
        self.operations: list[Callable[[], object]] = [
            *[self.look, self.overwrite, self.count] * 12,
            *[self.insert, self.remove, self.exchange, self.compute] * 6,
            *[self.pair, self.many, self.scratch, self.misuse] * 3,
            self.whole_map,
            self.iterate,
            self.shrink,
            self.short_map,
        ]

    def run(self) -> None:
        try:
            while not self.world.stop:
                for operation in self.random.choices(self.operations, k=50):
                    operation()
                self.done += 50
        except BaseException:
            self.world.fail()

    def key(self) -> Any:
        return make_key(int(PASSING * self.random.random() ** 3))

    def judge(self, key: object, value: Any) -> None:
        if isinstance(value, Node) and (value.key != key or value.dead):
            raise SoakError(f"{key!r} has a value of {value.key!r}, dead: {value.dead}")

    # -- totals: every entry of `passing` was counted in when it came and out when it went; additions add up

    def look(self) -> None:
        key = self.key()
        m = self.world.passing
        self.judge(key, m.get(key))
        if key in m:
            self.judge(key, m.get(key))

    def overwrite(self) -> None:
        key = self.key()
        m = self.world.passing
        kind = self.random.randrange(3)
        if kind == 0:
            m.replace(key, Node(key, m))
        elif kind == 1:
            m.compare_and_set(key, m.get(key, MISSING), key)
        elif m.replace(key, None):
            m.compare_and_set(key, None, Node(key))

    def insert(self) -> None:
        key = self.key()
        if self.world.passing.insert(key, self.random.choice([key, None, Node(key), Node(key, self.world.passing)])):
            self.entered += 1

    def remove(self) -> None:
        m = self.world.passing
        kind = self.random.randrange(8)
        key = self.key()
        if kind == 0 and m:
            try:
                self.judge(*m.popitem())
                self.entered -= 1
            except KeyError:
                pass
        elif kind == 1:
            self.entered -= m.delete_many(make_key(self.random.randrange(PASSING)) for _ in range(10))
        elif kind == 2:
            value = m.get(key, MISSING)
            self.entered -= m.compare_and_delete(key, value)
        else:
            value = m.pop(key, MISSING)
            self.judge(key, value)
            self.entered -= value is not MISSING

    def exchange(self) -> None:
        key = self.key()
        old = self.world.passing.swap(key, Node(key), MISSING)
        self.judge(key, old)
        self.entered += old is MISSING

    def compute(self) -> None:
        key = self.key()
        m = self.world.passing
        chance = self.random.random()
        before: list[Any] = []

        def change(old: Any) -> Any:
            before.append(old)
            self.judge(key, old)
            if chance < 0.2:
                raise CallbackError
            return MISSING if chance < 0.5 else Node(key, old if isinstance(old, int) else None)

        try:
            result = m.compute(key, change)
        except CallbackError:
            return
        self.entered += (before[0] is MISSING) - (result is MISSING)

    def count(self) -> None:
        m = self.world.counters
        key = self.random.choice(COUNTERS)
        kind = self.random.randrange(6)
        if kind <= 2:
            m.add(key)
            self.added += 1
        elif kind == 3:
            keys = self.random.choices(COUNTERS, k=30)
            m.count(keys)
            self.added += 30
        elif kind == 4:
            m.merge(key, 1, lambda old, one: old + one)
            self.added += 1
        else:
            m.compute(f"{key} "[:-1], plus_one)
            self.added += 1

    # -- order: a snapshot never has the second key of a pair newer than the first

    def pair(self) -> None:
        self.step += 1
        m = self.world.ordered
        m[self.mine, "first"] = self.step
        m[self.mine, "second"] = self.step
        if m[self.mine, "first"] != self.step:
            raise SoakError("a write was lost")

    def whole_map(self) -> None:
        seen = self.world.ordered.snapshot()
        for (mine, which), step in seen.items():
            if which == "second" and not 0 <= seen[mine, "first"] - step <= 1:
                raise SoakError(f"a snapshot has {seen[mine, 'first']}, then {step}")
        if self.random.random() < 0.1:
            for key, value in self.world.passing.copy().items():
                self.judge(key, value)
        if self.random.random() < 0.02:
            gc.collect()
        if self.random.random() < 0.1:
            self.world.passing.drain()

    # -- maps without totals, which are cleared, replaced, and used by everybody meanwhile

    def scratch(self) -> None:
        maps = self.world.maps
        m = self.random.choice(maps)
        kind = self.random.randrange(12)
        key = self.key()
        if kind == 0:
            m.clear()
        elif kind == 1:
            maps[self.random.randrange(len(maps))] = self.random.choice(KINDS)()
        elif kind == 2:
            m.update((make_key(number), Node(make_key(number), m)) for number in range(self.random.randrange(300)))
        elif kind == 3:
            m.retain(lambda key, value: self.random.random() < 0.5)
        elif kind == 4:
            m.reserve(self.random.randrange(1000))
            m.shrink()
        else:
            m[key] = Node(key, m)
            m.setdefault(self.key(), None)
            self.judge(key, m.get(key))

    def short_map(self) -> None:
        """A map of this thread alone, in a cycle; now and then another thread comes and uses it too."""
        m: AnyMap = ShardMap(shards=4)
        m["me"] = m
        for number in range(self.random.randrange(100)):
            m[make_key(number)] = Node(make_key(number))
        if self.random.random() < 0.2:
            thread = threading.Thread(target=lambda: [m.pop(make_key(number), None) for number in range(50)])
            thread.start()
            for number in range(50):
                m[make_key(number)] = Node(make_key(number))
            thread.join()
        m.delete_many(make_key(number) for number in range(30))
        m._check()

    def many(self) -> None:
        keys = [self.key() for _ in range(30)]
        for key, value in zip(keys, self.world.passing.get_many(keys), strict=True):
            self.judge(key, value)

    def iterate(self) -> None:
        for key, value in itertools.islice(self.world.passing.items(), 500):
            self.judge(key, value)
        for part in self.world.passing.partitions(2):
            for key, value in part:
                self.judge(key, value)

    def shrink(self) -> None:
        self.random.choice([self.world.passing, self.world.counters, self.world.ordered]).shrink()

    def misuse(self) -> None:
        """What raises changes nothing."""
        m = self.world.counters
        key = self.random.choice(COUNTERS)

        def fail(*_: object) -> Any:
            raise CallbackError

        for call in (
            lambda: m.compute(key, fail),
            lambda: m.compute_if_absent("never there", fail),
            lambda: m.add(key, "text"),
            lambda: m["never there"],
            lambda: m.insert([], 1),
            lambda: m.compute(key, lambda old: m.add(key)),
        ):
            try:
                call()
            except (CallbackError, TypeError, KeyError, RuntimeError):
                continue
            raise SoakError("no exception")


def plus_one(old: Any) -> Any:
    """A callback that counts."""
    return old + 1


def small() -> AnyMap:
    return ShardMap(shards=1)


def stressed() -> AnyMap:
    """Buckets of two slots, and always growing."""
    made: AnyMap = ShardMap(shards=2)
    made._stress(2, 1, True)
    return made


KINDS: list[Callable[[], AnyMap]] = [ShardMap, small, stressed]


class Soak:
    """The run: rounds, checks, and the figures of the lines."""

    def __init__(self, threads: int, seed: int) -> None:
        self.world = World()
        self.world.maps += [ShardMap() for _ in range(MAPS)]
        self.seeds = random.Random(seed)
        self.threads = threads
        self.permanent = [self.new_worker() for _ in range(threads // 2)]
        self.begin = threading.Barrier(len(self.permanent) + 1)
        self.end = threading.Barrier(len(self.permanent) + 1)
        self.done = self.added = self.entered = 0
        #: What was retired when the threads paused, at most, since the last line.
        self.backlog = 0
        self.memory: list[tuple[float, int]] = []

    def new_worker(self) -> Worker:
        return Worker(self.world, self.seeds.randrange(1 << 60))

    def stay(self, worker: Worker) -> None:
        """A thread that is there in every round."""
        while True:
            try:
                self.begin.wait()
            except threading.BrokenBarrierError:
                return
            worker.run()
            self.end.wait()

    def round(self, seconds: float) -> None:
        """Let them all work for a while; everything is quiet afterwards, and has been checked."""
        self.world.stop = False
        passing = [self.new_worker() for _ in range(self.threads - len(self.permanent))]
        ends_early = [self.new_worker() for _ in range(2)]
        threads = [threading.Thread(target=each.run, daemon=True) for each in passing]
        faulthandler.dump_traceback_later(seconds + HANG_SECONDS, exit=True)
        for thread in threads:
            thread.start()
        self.begin.wait()
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.world.stop:
            # A thread that does a little and ends, leaving what it has displaced to others.
            thread = threading.Thread(target=short_life, args=(ends_early,), daemon=True)
            thread.start()
            thread.join()
            time.sleep(0.01)
        self.world.stop = True
        self.end.wait()
        for thread in threads:
            thread.join()
        for worker in (*self.permanent, *passing, *ends_early):
            self.done += worker.done
            self.added += worker.added
            self.entered += worker.entered
            worker.done = worker.added = worker.entered = 0
        for worker in (*passing, *ends_early):
            for which in ("first", "second"):
                self.world.ordered.pop((worker.mine, which), None)
        faulthandler.cancel_dump_traceback_later()
        self.backlog = max(self.backlog, self.world.passing.stats()["retired"])
        self.check()

    def check(self) -> None:
        world = self.world
        if world.failures:
            raise SoakError("\n".join(world.failures))
        for m in (world.counters, world.passing, world.ordered, *world.maps):
            m.drain()
            m._check()
            stats = m.stats()
            if (stats["reserved"], stats["waiting"]) != (0, 0):
                raise SoakError(f"left behind: {stats}")
            if (
                len(m) != len(m.snapshot())
                or len(m) != stats["entries"]
                or Counter(iter(m)) != Counter(m.snapshot().keys())
            ):
                raise SoakError(f"the ways to count do not agree: {stats}")
        if sum(world.counters.values()) != self.added:
            raise SoakError(f"{sum(world.counters.values())} counted of {self.added}")
        if len(world.passing) != self.entered:
            raise SoakError(f"{len(world.passing)} entries of {self.entered}")

    def measure(self, seconds: float) -> None:
        # Each round is measured with the same things alive.
        for m in self.world.maps:
            m.clear()
        for _ in range(2):
            gc.collect()
            self.world.passing.drain()
        retired = self.world.passing.stats()["retired"]
        if retired:
            raise SoakError(f"{retired} things are retired after drain()")
        self.memory.append((seconds, resident()))

    def run(self, seconds: float, every: float) -> None:
        for worker in self.permanent:
            threading.Thread(target=self.stay, args=(worker,), daemon=True).start()
        try:
            self.rounds(seconds, every)
        finally:
            self.begin.abort()

    def rounds(self, seconds: float, every: float) -> None:
        """One after the other, and a line now and then."""
        began = said = time.monotonic()
        said_done = 0
        while (now := time.monotonic()) - began < seconds:
            self.round(min(ROUND_SECONDS, seconds / 9))
            self.measure(now - began)
            if now - said >= every:
                rate = (self.done - said_done) / (now - said)
                print(
                    f"{now - began:7.0f} s  {rate:9,.0f} operations/s  {self.memory[-1][1] / (1 << 20):8.1f} MiB  "
                    f"retired {self.backlog:6}  entries {len(self.world.passing):6}  maps {len(self.world.maps) + 3}",
                    flush=True,
                )
                said, said_done, self.backlog = now, self.done, 0


def short_life(workers: Sequence[Worker]) -> None:
    """Two threads' worth of a few operations; only one thread at a time is here."""
    try:
        for worker in workers:
            for operation in worker.random.choices(worker.operations, k=20):
                operation()
            worker.done += 20
    except BaseException:
        workers[0].world.fail()


def growth(memory: Sequence[tuple[float, int]]) -> tuple[float, float]:
    """The medians of resident memory over the second third of the time, and over the last."""
    length = memory[-1][0]
    second = [size for at, size in memory if length / 3 <= at < 2 * length / 3]
    last = [size for at, size in memory if at >= 2 * length / 3]
    return statistics.median(second or [memory[0][1]]), statistics.median(last)


def is_flat(memory: Sequence[tuple[float, int]]) -> bool:
    """Is the last third's memory within the tolerance of the second third's?"""
    second, last = growth(memory)
    return last <= second * (1 + FLAT_SHARE) + FLAT_BYTES


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, report, and say by the exit status whether everything held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--every", type=float, default=10, help="seconds between two lines")
    options = parser.parse_args(arguments)
    print(f"{sys.version.split()[0]}{sys.abiflags}, {options.threads} threads, --seed {options.seed}", flush=True)
    soak = Soak(max(2, options.threads), options.seed)
    try:
        soak.run(options.minutes * 60, options.every)
    except SoakError as error:
        print(f"FAILED after {soak.done:,} operations: {error}")
        return 1
    second, last = growth(soak.memory)
    flat = is_flat(soak.memory)
    print(
        f"{'passed' if flat else 'FAILED, memory is not flat'}: {soak.done:,} operations, {len(soak.memory)} rounds; "
        f"{second / (1 << 20):.1f} MiB in the second third, {last / (1 << 20):.1f} in the last"
    )
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(main())
