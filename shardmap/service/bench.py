"""``shardmap bench``: many clients on one thread, each with a pipeline of GET and SET; rates and latencies.

A Python program: it finds out whether a service answers, and how fast it looks from Python. Its own processor time is
the limit long before the service's is; redis-benchmark measures that.
"""

from __future__ import annotations

import random
import selectors
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from shardmap.service.client import Client, encode

__all__ = ["Plan", "Result", "percentile", "run"]

#: Commands that are prepared, and sent again and again.
PREPARED = 65_536
READ_SIZE = 1 << 18


@dataclass(frozen=True)
class Plan:
    """What to do."""

    clients: int = 50
    pipeline: int = 16
    requests: int = 100_000
    keys: int = 100_000
    size: int = 64
    #: The share of GET.
    ratio: float = 0.9
    seed: int | None = None


@dataclass
class Result:
    """What came of it."""

    requests: int = 0
    errors: int = 0
    seconds: float = 0.0
    #: Of each pipeline, from its sending to its last reply, in seconds; sorted.
    times: list[float] = field(default_factory=list)
    first_error: str = ""


class _Connection:
    """One client: what it waits for."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.missing = 0
        self.sent = 0.0
        self.rest = b""
        self.unsent = memoryview(b"")

    def parse(self, data: bytes, result: Result) -> None:
        """Take replies off the front."""
        data = self.rest + data
        at = 0
        while self.missing:
            end = data.find(b"\r\n", at)
            if end < 0:
                break
            kind = data[at]
            following = end + 2
            if kind == 0x24:  # $
                length = int(data[at + 1 : end])
                if length >= 0:
                    following += length + 2
                    if following > len(data):
                        break
            elif kind == 0x2D:  # -
                result.errors += 1
                result.first_error = result.first_error or data[at + 1 : end].decode("utf-8", "replace")
            at = following
            self.missing -= 1
        self.rest = data[at:]


def run(plan: Plan, connect: Callable[[], Client], report: Callable[[int, float], None]) -> Result:
    """Do it. *report* is called a few times a second with how many replies have come, and after how many seconds."""
    pipelines = _prepare(plan)
    connections = [_Connection(connect()) for _ in range(plan.clients)]
    result = Result()
    try:
        _exchange(plan, connections, pipelines, result, report)
    finally:
        for connection in connections:
            connection.client.close()
    result.times.sort()
    return result


def _prepare(plan: Plan) -> list[bytes]:
    chance = random.Random(plan.seed)
    value = chance.randbytes(plan.size)

    def request() -> bytes:
        key = b"key:%012d" % chance.randrange(plan.keys)
        return encode("GET", key) if chance.random() < plan.ratio else encode("SET", key, value)

    number = max(1, min(PREPARED, plan.requests) // plan.pipeline)
    return [b"".join(request() for _ in range(plan.pipeline)) for _ in range(number)]


def _exchange(
    plan: Plan,
    connections: Sequence[_Connection],
    pipelines: Sequence[bytes],
    result: Result,
    report: Callable[[int, float], None],
) -> None:
    began = reported = time.perf_counter()
    to_send = max(1, plan.requests // plan.pipeline)
    chance = random.Random(plan.seed)
    with selectors.DefaultSelector() as selector:

        def send(connection: _Connection) -> None:
            nonlocal to_send
            if not to_send:
                selector.unregister(connection.client.socket)
                return
            to_send -= 1
            connection.missing = plan.pipeline
            connection.unsent = memoryview(chance.choice(pipelines))
            connection.sent = time.perf_counter()
            push(connection)

        def push(connection: _Connection) -> None:
            try:
                done = connection.client.socket.send(connection.unsent)
            except BlockingIOError:
                done = 0
            connection.unsent = connection.unsent[done:]
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.unsent else 0)
            if selector.get_key(connection.client.socket).events != events:
                selector.modify(connection.client.socket, events, connection)

        for connection in connections:
            connection.client.socket.setblocking(False)
            selector.register(connection.client.socket, selectors.EVENT_READ, connection)
        for connection in connections:
            send(connection)
        while selector.get_map():
            for key, events in selector.select(1.0):
                connection = key.data
                if events & selectors.EVENT_WRITE:
                    push(connection)
                if not events & selectors.EVENT_READ:
                    continue
                data = connection.client.socket.recv(READ_SIZE)
                if not data:
                    raise ConnectionResetError(f"{connection.client.where} closed the connection")
                connection.parse(data, result)
                if not connection.missing:
                    result.times.append(time.perf_counter() - connection.sent)
                    result.requests += plan.pipeline
                    send(connection)
            now = time.perf_counter()
            if now - reported > 0.25:
                reported = now
                report(result.requests, now - began)
    result.seconds = time.perf_counter() - began


def percentile(times: Sequence[float], share: float) -> float:
    """Of sorted times, the one that so large a share does not exceed."""
    if not times:
        return 0.0
    return times[min(len(times) - 1, max(0, round(share * len(times)) - 1))]
