"""Many clients at once: each command is one step, a transaction is one step, over however many shards its keys lie."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from functools import partial

import pytest
from concurrency import scaled
from targets import Connect, Target
from wire import NO_LIST, OK, QUEUED, Wire

CLIENTS = 4


def together(*work: Callable[[], object]) -> None:
    """Run these in threads that begin together; the first error of any is raised here."""
    barrier = threading.Barrier(len(work))
    errors: list[BaseException] = []

    def run(one: Callable[[], object]) -> None:
        barrier.wait(30)
        try:
            one()
        except BaseException as error:  # Raised again in the thread that waits.
            errors.append(error)

    threads = [threading.Thread(target=run, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("pipeline", [1, 50])
def test_no_increment_is_lost(connect: Connect, pipeline: int) -> None:
    rounds = scaled(1000 // pipeline)

    def count(wire: Wire) -> None:
        for _ in range(rounds):
            wire.pipeline(["INCR shared", "INCRBYFLOAT float 0.5", "DECRBY down 2", "APPEND long x"] * pipeline)

    together(*(lambda wire=connect(): count(wire) for _ in range(CLIENTS)))
    total = CLIENTS * rounds * pipeline
    wire = connect()
    assert wire("MGET shared float down") == [
        str(total).encode(),
        f"{total / 2:g}".encode() if total % 2 else b"%d" % (total // 2),
        b"%d" % (-2 * total),
    ]
    assert wire("STRLEN long") == total


def test_one_of_all_wins(connect: Connect) -> None:
    """SETNX, SET NX, GETDEL, RENAMENX, MSETNX: what only one can do, one does."""
    for command, worth in (
        ("SETNX k {}", 1), ("SET k {} NX", OK), ("MSETNX a {} k {}", 1), ("RENAMENX own:{} k", 1), ("COPY own:{} k", 1),
    ):  # fmt: skip
        for _ in range(scaled(30)):
            clients = [connect() for _ in range(CLIENTS)]
            connect()("FLUSHALL")
            for number, wire in enumerate(clients):
                wire("SET", f"own:{number}", number)
            answers: list[object] = []
            together(
                *(
                    lambda wire=wire, number=number: answers.append(wire(command.replace("{}", str(number))))
                    for number, wire in enumerate(clients)
                )
            )
            assert answers.count(worth) == 1, (command, answers)
            for wire in clients:
                wire.close()


def test_getdel_gives_each_value_to_one(connect: Connect) -> None:
    taken: list[bytes] = []

    def take(wire: Wire) -> None:
        for number in range(scaled(500)):
            value = wire("GETDEL", f"k{number}")
            if value is not None:
                taken.append(value)

    wire = connect()
    wire.pipeline(("SET", f"k{number}", number) for number in range(scaled(500)))
    together(*(lambda wire=connect(): take(wire) for _ in range(CLIENTS)))
    assert sorted(map(int, taken)) == list(range(scaled(500)))


KEYS = [f"account:{number}" for number in range(20)]


@pytest.mark.parametrize("reading", ["mget", "transaction"])
def test_mset_is_one_step(connect: Connect, reading: str) -> None:
    """Whoever reads all the keys at once finds them from one MSET."""
    rounds = scaled(300)
    writers_left = [2]

    def write(wire: Wire, name: str) -> None:
        for number in range(rounds):
            keys = random.Random(number).sample(KEYS, len(KEYS))
            assert wire("MSET", *(word for key in keys for word in (key, f"{name}{number}"))) == OK
        writers_left[0] -= 1

    def read(wire: Wire) -> None:
        while writers_left[0]:
            if reading == "mget":
                found = wire("MGET", *KEYS)
            else:
                found = wire.pipeline(["MULTI", *(("GET", key) for key in KEYS), "EXEC"])[-1]
            assert len(set(found)) == 1, found

    one, two, three, four = (connect() for _ in range(4))
    together(lambda: write(one, "a"), lambda: write(two, "b"), lambda: read(three), lambda: read(four))


def test_msetnx_is_all_or_nothing(connect: Connect) -> None:
    def write(wire: Wire, name: str) -> None:
        for number in range(scaled(300)):
            keys = [f"{number}:{one}" for one in range(10)]
            random.Random(f"{name}{number}").shuffle(keys)
            wire("MSETNX", *(word for key in keys for word in (key, name)))

    together(*(lambda wire=connect(), name=str(number): write(wire, name) for number in range(CLIENTS)))
    wire = connect()
    for number in range(scaled(300)):
        assert len(set(wire("MGET", *(f"{number}:{one}" for one in range(10))))) == 1


def test_transfers_in_transactions_lose_no_money(connect: Connect) -> None:
    """DECRBY here, INCRBY there; the sum, read in a transaction or by MGET, is always the same."""
    rounds, left = scaled(300), [2]
    connect().pipeline(("SET", key, 1000) for key in KEYS)

    def transfer(wire: Wire, seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(rounds):
            source, target = rng.sample(KEYS, 2)
            amount = rng.randrange(100)
            replies = wire.pipeline(["MULTI", ("DECRBY", source, amount), ("INCRBY", target, amount), "EXEC"])
            assert replies[:3] == [OK, QUEUED, QUEUED]
            assert len(replies[3]) == 2
        left[0] -= 1

    def audit(wire: Wire) -> None:
        while left[0]:
            assert sum(map(int, wire("MGET", *KEYS))) == 1000 * len(KEYS)
            found = wire.pipeline(["MULTI", *(("GET", key) for key in KEYS), "EXEC"])[-1]
            assert sum(map(int, found)) == 1000 * len(KEYS)

    one, two, three = (connect() for _ in range(3))
    together(lambda: transfer(one, 1), lambda: transfer(two, 2), lambda: audit(three))
    assert sum(map(int, connect()("MGET", *KEYS))) == 1000 * len(KEYS)


def test_compare_and_set_with_watch(connect: Connect) -> None:
    """WATCH, GET, MULTI, SET, EXEC, again until it succeeds: no update is lost."""
    rounds, retries = scaled(150), [0]

    def add(wire: Wire) -> None:
        for _ in range(rounds):
            while True:
                assert wire("WATCH n other") == OK
                before = int(wire("GET n") or 0)
                replies = wire.pipeline(["MULTI", ("SET", "n", before + 1), "EXEC"])
                if replies[-1] is not NO_LIST:
                    assert replies[-1] == [OK]
                    break
                retries[0] += 1

    together(*(lambda wire=connect(): add(wire) for _ in range(CLIENTS)))
    assert connect()("GET n") == b"%d" % (CLIENTS * rounds)


@pytest.mark.valkey
def test_compare_and_set_with_ifeq(connect: Connect) -> None:
    rounds = scaled(300)
    connect()("SET n 0")

    def add(wire: Wire) -> None:
        for _ in range(rounds):
            while True:
                before = wire("GET n")
                if wire("SET", "n", int(before) + 1, "IFEQ", before) == OK:
                    break

    together(*(lambda wire=connect(): add(wire) for _ in range(CLIENTS)))
    assert connect()("GET n") == b"%d" % (CLIENTS * rounds)


def test_renames_neither_lose_nor_double(connect: Connect) -> None:
    """Tokens are renamed among places, also the same ones at once; each token is somewhere, once."""
    tokens = 8
    wire = connect()
    for number in range(tokens):
        wire("SET", f"place:{number}", number)

    def move(wire: Wire, seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(scaled(400)):
            wire("RENAMENX", f"place:{rng.randrange(2 * tokens)}", f"place:{rng.randrange(2 * tokens)}")

    together(*(lambda wire=connect(), seed=seed: move(wire, seed) for seed in range(CLIENTS)))
    places = wire("MGET", *(f"place:{number}" for number in range(2 * tokens)))
    assert sorted(value for value in places if value is not None) == [b"%d" % number for number in range(tokens)]


def test_flushall_is_one_step(connect: Connect) -> None:
    """Keys are only ever set together, so after a flush all of them are there, or none."""
    done = threading.Event()

    def write(wire: Wire) -> None:
        for number in range(scaled(200)):
            wire("MSET", *(word for key in KEYS for word in (key, number)))
            if number % 3 == 0:
                wire("FLUSHALL")
        done.set()

    def read(wire: Wire) -> None:
        while not done.is_set():
            found = wire.pipeline(["MULTI", ["EXISTS", *KEYS], "EXEC"])[-1]
            assert found in ([0], [len(KEYS)])

    one, two, three = (connect() for _ in range(3))
    together(lambda: write(one), lambda: read(two), lambda: read(three))


def test_application_and_network_share_counters(server: Target, connect: Connect) -> None:
    if server.byte_map is None:
        pytest.skip("not in this process")
    m, rounds = server.byte_map, scaled(2000)

    def inside() -> None:
        for _ in range(rounds):
            m.add(b"n", 1)

    def outside(wire: Wire) -> None:
        for _ in range(rounds // 100):
            wire.pipeline(["INCR n"] * 100)

    work: Sequence[Callable[[], object]] = [inside, inside, *(lambda wire=connect(): outside(wire) for _ in range(2))]
    together(*work)
    assert m[b"n"] == b"%d" % (2 * rounds + 2 * (rounds // 100) * 100)


@pytest.mark.parametrize("command", ["MSET", "MSETNX"])
def test_mset_of_one_pair(server: Target, command: str) -> None:
    """One key needs its shard's lock as several do; the fixture looks whether the store is sound."""

    def work(own: int) -> None:
        pairs = [(command, "k", "x" * (own * 37 + size * 3)) for size in range(100)]
        with server.connect() as wire:
            for _ in range(scaled(100)):
                wire.pipeline([word for pair in pairs for word in (pair, "DEL k")])

    together(*(partial(work, own) for own in range(CLIENTS)))


@pytest.mark.parametrize("command", ["OBJECT ENCODING k", "MEMORY USAGE k"])
def test_a_transaction_asks_about_a_key(server: Target, command: str) -> None:
    """Its shard is locked then, although the key is not where other commands have theirs."""

    def work(*commands: str) -> None:
        with server.connect() as wire:
            for _ in range(scaled(50)):
                wire.pipeline(list(commands))

    together(
        partial(work, "MULTI", *[command] * 100, "EXEC"),
        partial(work, "MULTI", *[command] * 100, "EXEC"),
        partial(work, *["SET k abc PX 1", "DEL k", "SET k " + "x" * 90] * 30),
        partial(work, *["SET k abc PX 1", "GET k", "APPEND k x"] * 30),
    )
