"""Locust: users of several kinds on redis-py, and threads on maps in the process; what they did must all be there.

``python -m locust -f perf/locustfile.py --headless --users 40 --spawn-rate 40 --run-time 20s``; without ``--headless``
with the web UI. ``--server redis://HOST:PORT`` takes a server that runs already (and empties it!); else the run starts
its own, and checks everything a second time when that has been saved and started again. ``--reports DIR`` is for the
reports with times in microseconds; Locust's own come with ``--csv``, ``--json-file`` and ``--html``.

The exit status is not 0 if there was no request, if any failed, or if an invariant is broken: increments are all in the
counters, the ledger balances, users read what they wrote, SCAN finds every permanent key, entries live as long as they
should.
"""

from __future__ import annotations

import argparse
import logging
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
import redis
from locust import User, constant, events, tag, task
from locust.runners import MasterRunner, WorkerRunner

from perf import load_books, load_maps, load_report, report
from perf.histogram import Histogram
from perf.load_books import Books
from perf.load_server import LoadServer

_log = logging.getLogger("shardmap.load")

#: Counters that all counting users share.
COUNTERS = [f"counter:{number}" for number in range(8)]
HALVES = "counter:halves"

#: Seconds that users have at the end for what they have begun; what is cut off may be counted or not.
FINISHES_WITHIN = 30.0

#: Seconds by which an entry may be gone early or be there late: the server's clock counts milliseconds.
SLACK = 0.005


#: Seconds between two looks at the server's memory.
WATCHED_EVERY = 1.0


class BrokenError(AssertionError):
    """An invariant that a user saw broken."""


class Run:
    """One load test: its server, its books, its times."""

    def __init__(self) -> None:
        self.server = LoadServer()
        self.reports = Path()
        self.watcher = gevent.Greenlet()
        self.begin()

    def begin(self) -> None:
        """Forget the last test, if the web UI starts another one."""
        self.books = Books()
        self.maps = load_maps.Maps()
        self.times: defaultdict[tuple[str, str], Histogram] = defaultdict(Histogram)
        self.failures: Counter[tuple[str, str]] = Counter()
        #: Of the server's memory, in bytes, while there are users.
        self.resident: list[int] = []
        self.finished = False
        self.compares = False


RUN = Run()


# -- around the test --------------------------------------------------------------------------------------------------


@events.init_command_line_parser.add_listener
def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--server", default="", metavar="URL", help="a server that runs already; it will be emptied")
    parser.add_argument("--reports", default=str(report.LOCAL / "locust"), metavar="DIR", help="where reports go")


@events.init.add_listener
def prepare(environment: Any, **_: Any) -> None:
    if isinstance(environment.runner, MasterRunner | WorkerRunner):
        raise SystemExit("the books are kept by one process: run without --processes, --master and --worker")
    environment.stop_timeout = environment.stop_timeout or FINISHES_WITHIN
    RUN.server = LoadServer(environment.parsed_options.server)
    RUN.reports = Path(environment.parsed_options.reports)
    gevent.get_hub().threadpool.maxsize = 32


@events.test_start.add_listener
def begin(environment: Any, **_: Any) -> None:
    RUN.begin()
    RUN.server.start()
    with RUN.server.client() as client:
        RUN.books.open(client)
        RUN.compares = _knows_ifeq(client)
    RUN.watcher = gevent.spawn(_watch_memory)


def _watch_memory() -> None:
    while True:
        RUN.resident.append(RUN.server.resident())
        gevent.sleep(WATCHED_EVERY)


def _knows_ifeq(client: Any) -> bool:
    """Whether the server has Valkey's conditional SET."""
    client.set("probe", "1")
    try:
        client.execute_command("SET", "probe", "2", "IFEQ", "1")
    except redis.ResponseError:
        return False
    return bool(client.delete("probe"))


@events.test_stop.add_listener
def finish(environment: Any, **_: Any) -> None:
    RUN.watcher.kill()
    try:
        _check()
    except Exception as error:
        _log.exception("the check itself failed")
        RUN.books.broken.append(f"the check itself failed: {error!r}")
    if not environment.stats.total.num_requests:
        RUN.books.broken.append("there was no request")
    for problem in RUN.books.broken:
        _log.error("BROKEN %s", problem)
    RUN.finished = True
    load_report.write(RUN.reports, RUN.times, RUN.failures, RUN.books.broken, RUN.resident)
    _log.info("the server's memory: %s", load_report.memory(RUN.resident))
    _log.info("%d invariants broken; the report is %s", len(RUN.books.broken), RUN.reports / "report.html")


def _check() -> None:
    with RUN.server.client() as client:
        RUN.books.check(client, "under load")
    if RUN.server.own:
        RUN.server.restart()
        with RUN.server.client() as client:
            RUN.books.check(client, "after the restart")
    RUN.books.broken += RUN.maps.broken()


@events.quitting.add_listener
def quit_with_status(environment: Any, **_: Any) -> None:
    RUN.server.stop()
    failed = environment.stats.total.fail_ratio > 0 or RUN.books.broken or not RUN.finished
    environment.process_exit_code = 1 if failed or environment.stats.total.num_requests == 0 else 0


@events.request.add_listener
def record(request_type: str, name: str, response_time: float, exception: Exception | None, **_: Any) -> None:
    RUN.times[request_type, name].record(response_time / 1e3)
    if exception is not None:
        RUN.failures[request_type, name] += 1
        if isinstance(exception, AssertionError):
            RUN.books.broken.append(f"{request_type} {name}: {exception}")


# -- users of the service ---------------------------------------------------------------------------------------------


class RedisUser(User):  # type: ignore[misc, unused-ignore]
    """A client with a connection of its own."""

    abstract = True
    wait_time = constant(0.002)

    def on_start(self) -> None:
        self.random = random.Random()
        self.name = f"{type(self).__name__}:{id(self):x}"
        self.client = RUN.server.client()

    def on_stop(self) -> None:
        self.client.close()

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Around a request, which becomes an event with its own time, failed or not."""
        began = time.perf_counter()
        failure: Exception | None = None
        try:
            yield
        except (redis.RedisError, BrokenError) as error:
            failure = error
        spent = (time.perf_counter() - began) * 1e3
        self.environment.events.request.fire(
            request_type="redis", name=name, response_time=spent, response_length=0, exception=failure, context={}
        )


def expect(holds: object, problem: str) -> None:
    if not holds:
        raise BrokenError(problem)


class Reader(RedisUser):
    """Reads what never changes."""

    weight = 8

    @task(10)
    def get(self) -> None:
        number = self.random.randrange(load_books.PERMANENT)
        with self.timed("GET"):
            found = self.client.get(load_books.permanent_key(number))
            expect(found == load_books.permanent_value(number), f"permanent:{number} is {found!r}")

    @task(3)
    def get_many(self) -> None:
        numbers = self.random.sample(range(load_books.PERMANENT), 20)
        with self.timed("MGET 20"):
            found = self.client.mget([load_books.permanent_key(number) for number in numbers])
            expect(found == [load_books.permanent_value(number) for number in numbers], "MGET gave other values")

    @task(3)
    def pipeline(self) -> None:
        numbers = self.random.sample(range(load_books.PERMANENT), 50)
        with self.timed("pipeline of 50 STRLEN"), self.client.pipeline(transaction=False) as pipe:
            for number in numbers:
                pipe.strlen(load_books.permanent_key(number))
            expected = [len(load_books.permanent_value(number)) for number in numbers]
            expect(pipe.execute() == expected, "STRLEN gave other lengths")

    @task
    def miss(self) -> None:
        with self.timed("GET of nothing"):
            expect(self.client.get("nobody writes this") is None, "there is what nobody wrote")


class Writer(RedisUser):
    """Reads what it wrote itself."""

    weight = 8

    def on_start(self) -> None:
        super().on_start()
        self.mine: dict[str, bytes | None] = {}

    def _key(self) -> str:
        return f"own:{self.name}:{self.random.randrange(100)}"

    def _read(self, key: str) -> None:
        with self.timed("GET of own"):
            found = self.client.get(key)
            expect(found == self.mine.get(key), f"{key} is {found!r}, and was set to {self.mine.get(key)!r}")

    @task(6)
    def set(self) -> None:
        key, value = self._key(), self.random.randbytes(self.random.choice([0, 8, 64, 64, 64, 1_000, 20_000]))
        with self.timed("SET"), RUN.books.writing(key, value):
            self.client.set(key, value)
            self.mine[key] = value
        self._read(key)

    @task(2)
    def append(self) -> None:
        key = self._key()
        value = (self.mine.get(key) or b"") + b"+more"
        if len(value) > 30_000:
            return
        with self.timed("APPEND"), RUN.books.writing(key, value):
            length = self.client.append(key, b"+more")
            self.mine[key] = value
            expect(length == len(value), f"{key} has {length} bytes, and should have {len(value)}")
        self._read(key)

    @task(2)
    def delete(self) -> None:
        key = self._key()
        with self.timed("DEL"), RUN.books.writing(key, None):
            found = self.client.delete(key)
            existed = self.mine.get(key) is not None
            self.mine[key] = None
            expect(found == existed, f"DEL {key} found {found}")
        self._read(key)

    @task
    def swap(self) -> None:
        key, value = self._key(), self.random.randbytes(64)
        with self.timed("SET GET"), RUN.books.writing(key, value):
            before = self.client.set(key, value, get=True)
            expected = self.mine.get(key)
            self.mine[key] = value
            expect(before == expected, f"{key} was {before!r}, and should have been {expected!r}")


class Counting(RedisUser):
    """Adds to counters that all share."""

    weight = 8

    @task(6)
    def one(self) -> None:
        name = self.random.choice(COUNTERS)
        with self.timed("INCR"), RUN.books.counting(Counter({name: 1})):
            self.client.incr(name)

    @task(2)
    def pipeline(self) -> None:
        amounts = Counter({name: self.random.randrange(1, 10) for name in COUNTERS})
        with (
            self.timed("pipeline of 8 INCRBY"),
            RUN.books.counting(amounts),
            self.client.pipeline(transaction=False) as pipe,
        ):
            for name, amount in amounts.items():
                pipe.incrby(name, amount)
            pipe.execute()

    @task(2)
    def transaction(self) -> None:
        amounts = Counter({name: self.random.randrange(1, 10) for name in self.random.sample(COUNTERS, 3)})
        with self.timed("MULTI 3 INCRBY EXEC"), RUN.books.counting(amounts), self.client.pipeline() as pipe:
            for name, amount in amounts.items():
                pipe.incrby(name, amount)
            pipe.execute()

    @task
    def halves(self) -> None:
        with self.timed("INCRBYFLOAT"), RUN.books.counting(Counter({HALVES: 1})):
            self.client.incrbyfloat(HALVES, 1.0)


class Ledger(RedisUser):
    """Moves money between accounts; there is always as much."""

    weight = 6

    def _choose(self) -> tuple[str, str, int]:
        source, target = self.random.sample(range(load_books.ACCOUNTS), 2)
        return load_books.account(source), load_books.account(target), self.random.randrange(100)

    @task(3)
    def compare_and_set(self) -> None:
        """WATCH, GET, MULTI, SET, EXEC, until no other has come between."""
        source, target, amount = self._choose()

        def move(pipe: Any) -> None:
            balances = [int(pipe.get(key)) for key in (source, target)]
            pipe.multi()
            pipe.mset({source: balances[0] - amount, target: balances[1] + amount})

        with self.timed("WATCH GET MULTI MSET EXEC"):
            self.client.transaction(move, source, target)

    @task(3)
    def transaction(self) -> None:
        source, target, amount = self._choose()
        with self.timed("MULTI DECRBY INCRBY EXEC"), self.client.pipeline() as pipe:
            pipe.decrby(source, amount).incrby(target, amount).execute()

    @task(2)
    @tag("ifeq")
    def if_equal(self) -> None:
        """Two balances in one value, by SET IFEQ."""
        if not RUN.compares:
            return
        key, amount = load_books.pair(self.random.randrange(load_books.PAIRS)), self.random.randrange(50)
        with self.timed("GET, SET IFEQ"):
            while True:
                before = self.client.get(key)
                one, two = map(int, before.split(b":"))
                if self.client.execute_command("SET", key, f"{one - amount}:{two + amount}", "IFEQ", before):
                    break

    @task(2)
    def audit(self) -> None:
        with self.timed("MGET of all accounts"):
            total = sum(map(int, self.client.mget([load_books.account(n) for n in range(load_books.ACCOUNTS)])))
            expected = load_books.ACCOUNTS * load_books.BALANCE
            expect(total == expected, f"the accounts sum up to {total}, and should to {expected}")


class Scanner(RedisUser):
    """Walks over everything; what is there all along must be found."""

    weight = 1
    wait_time = constant(0.2)

    @task
    def scan(self) -> None:
        count = self.random.choice([100, 500, 2_000])
        with self.timed("SCAN of everything"):
            found = set(self.client.scan_iter(count=count))
            missed = sum(load_books.permanent_key(n).encode() not in found for n in range(load_books.PERMANENT))
            expect(not missed, f"SCAN has missed {missed} permanent keys")

    @task
    def match(self) -> None:
        with self.timed("SCAN MATCH"):
            found = set(self.client.scan_iter(match="permanent:12?", count=1_000))
            expected = {b"permanent:12%d" % number for number in range(10)}
            expect(found == expected, f"SCAN MATCH has found {sorted(found)}")


class Expirer(RedisUser):
    """Sets entries that end; they are there until then and not after."""

    weight = 3

    @task(4)
    def short(self) -> None:
        key, life = f"short:{self.name}:{self.random.randrange(1 << 30)}", self.random.randrange(20, 200)
        earliest = latest = 0.0
        with self.timed("SET PX"):
            earliest = time.monotonic() + life / 1e3 - SLACK
            self.client.set(key, "v", px=life)
            latest = time.monotonic() + life / 1e3 + SLACK
        with self.timed("PTTL"):
            left = self.client.pttl(key)
            early = time.monotonic() < earliest
            expect(left <= life and (left > 0 or not early), f"{key} has {left} of {life} ms left")
        with self.timed("GET before it ends"):
            found = self.client.get(key)
            expect(found == b"v" or time.monotonic() > earliest, f"{key} has ended too early")
        gevent.sleep(max(0.0, latest - time.monotonic()))
        with self.timed("GET after its end"):
            expect(self.client.get(key) is None, f"{key} has outlived its {life} ms")

    @task(2)
    def far(self) -> None:
        key = f"far:{self.name}:{self.random.randrange(20)}"
        at = int(time.time() * 1e3) + self.random.randrange(10**7, 10**9)
        with self.timed("SET PXAT"), RUN.books.expiring(key, at):
            self.client.set(key, "v", pxat=at)
        with self.timed("PEXPIRETIME"):
            found = self.client.pexpiretime(key)
            expect(abs(found - at) <= load_books.TOLERANCE, f"{key} expires at {found}, and should at {at}")


# -- users of maps in this process ------------------------------------------------------------------------------------


class MapUser(User):  # type: ignore[misc, unused-ignore]
    """A program that embeds the maps: batches of operations on native threads, which share them."""

    weight = 3
    wait_time = constant(0.01)

    def _batch(self, name: str) -> None:
        failure: Exception | None = None
        spent = 0.0
        try:
            spent = gevent.get_hub().threadpool.apply(RUN.maps.run, (name,))
        except Exception as error:
            failure = error
        self.environment.events.request.fire(
            request_type="map", name=f"batch: {name}", response_time=spent * 1e3, response_length=0,
            exception=failure, context={},
        )  # fmt: skip

    @task(4)
    def count(self) -> None:
        self._batch("count")

    @task(4)
    def transfer(self) -> None:
        self._batch("transfer")

    @task(4)
    def own(self) -> None:
        self._batch("own")

    @task
    def iterate(self) -> None:
        self._batch("iterate")

    @task(2)
    def expire(self) -> None:
        self._batch("expire")
