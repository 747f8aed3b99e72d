"""redis-py against the service: defaults (RESP3), protocol 2, pipelines, transactions, scan_iter, pool, asyncio, Lock."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from concurrency import scaled
from targets import ServerWith, Target

redis = pytest.importorskip("redis", reason="redis-py is not installed (pip install redis)")

NewClient = Callable[..., Any]


@pytest.fixture(params=["default", "resp2"])
def new_client(server: Target, request: pytest.FixtureRequest) -> Iterator[NewClient]:
    """``new_client(**options)``: redis-py with its defaults or with ``protocol=2``."""
    made: list[Any] = []
    options = {"protocol": 2} if request.param == "resp2" else {}

    def make(**more: Any) -> Any:
        made.append(redis.Redis(host=server.address[0], port=server.port, **options, **more))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(new_client: NewClient) -> Any:
    return new_client()


def test_everyday_commands(client: Any) -> None:
    assert client.ping() is True
    assert client.set("k", b"\0\xff") is True
    assert client.get("k") == b"\0\xff"
    assert client.get("none") is None
    assert client.set("k", "w", nx=True) is None
    assert client.set("k", "w", xx=True, get=True) == b"\0\xff"
    assert client.mset({"a": 1, "b": 2.5, "c": "x"}) is True
    assert client.mget("a", "b", "none") == [b"1", b"2.5", None]
    assert client.incr("a", 5) == 6
    assert client.decr("a") == 5
    assert client.incrbyfloat("b", 0.5) == 3.0
    assert client.append("c", "yz") == 3
    assert client.getrange("c", 0, 1) == b"xy"
    assert client.setrange("c", 1, "--") == 3
    assert client.strlen("c") == 3
    assert client.exists("a", "b", "none") == 2
    assert client.delete("a", "none") == 1
    assert client.unlink("b") == 1
    assert client.type("c") == b"string"
    assert client.rename("c", "d") is True
    assert client.renamenx("d", "k") is False
    assert client.copy("d", "e") is True
    assert sorted(client.keys("*")) == [b"d", b"e", b"k"]
    assert client.randomkey() in {b"d", b"e", b"k"}
    assert client.dbsize() == 3
    assert client.getdel("d") == b"x--"
    assert client.getex("e", ex=100) == b"x--"
    assert client.ttl("e") in {99, 100}
    assert client.echo("hello") == b"hello"
    assert client.touch("e", "k") == 2
    assert client.setnx("n", 1) is True
    assert client.msetnx({"n": 2, "o": 3}) is False
    assert client.flushdb() is True
    assert client.flushall() is True
    assert client.dbsize() == 0


def test_expiry(client: Any) -> None:
    client.set("k", "v", ex=100)
    assert 99 <= client.ttl("k") <= 100
    assert client.persist("k") is True
    assert client.ttl("k") == -1
    assert client.expire("k", 50, nx=True) is True
    assert client.expire("k", 10, gt=True) is False
    assert client.pexpireat("k", 33_177_117_420_000) is True
    assert client.expiretime("k") == 33_177_117_420
    assert client.pexpiretime("k") == 33_177_117_420_000
    client.set("k", "v", px=30)
    time.sleep(0.06)
    assert client.get("k") is None


def test_decoding_and_errors(new_client: NewClient) -> None:
    text = new_client(decode_responses=True)
    text.set("ключ", "значение")
    assert text.get("ключ") == "значение"
    text.set("word", "x")
    with pytest.raises(redis.ResponseError, match="not an integer or out of range"):
        text.incr("word")
    with pytest.raises(redis.ResponseError, match="unknown command"):
        text.execute_command("NOSUCH", "x")
    with pytest.raises(redis.ResponseError, match="DB index is out of range"):
        new_client(db=1).ping()


def test_pipelines(client: Any) -> None:
    for transaction in (False, True):
        with client.pipeline(transaction=transaction) as pipe:
            for number in range(500):
                pipe.set(f"k{number}", number).incr(f"k{number}")
            assert pipe.execute() == [answer for number in range(500) for answer in (True, number + 1)]
    with client.pipeline() as pipe:
        pipe.set("a", "x").incr("a").set("b", 1)
        replies = pipe.execute(raise_on_error=False)
        assert replies[0] is True
        assert isinstance(replies[1], redis.ResponseError)
        assert replies[2] is True
    with client.pipeline() as pipe, pytest.raises(redis.ResponseError, match="unknown command 'NOSUCH'"):
        pipe.set("a", 1).execute_command("NOSUCH")
        pipe.execute()


def test_watch(client: Any, new_client: NewClient) -> None:
    other = new_client()
    with client.pipeline() as pipe:
        pipe.watch("k")
        assert pipe.get("k") is None
        other.set("k", "theirs")
        pipe.multi()
        pipe.set("k", "mine")
        with pytest.raises(redis.WatchError):
            pipe.execute()
    assert client.get("k") == b"theirs"

    def longer(pipe: Any) -> None:
        value = pipe.get("k")
        pipe.multi()
        pipe.set("k", value + b"!")

    assert client.transaction(longer, "k") == [True]
    assert client.get("k") == b"theirs!"


def test_optimistic_counting_in_threads(client: Any) -> None:
    rounds = scaled(50)

    def count() -> None:
        for _ in range(rounds):
            client.transaction(lambda pipe: _increment(pipe, "n"), "n")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.get("n") == b"%d" % (4 * rounds)


def _increment(pipe: Any, key: str) -> None:
    value = int(pipe.get(key) or 0)
    pipe.multi()
    pipe.set(key, value + 1)


def test_scan_iter(client: Any) -> None:
    client.mset({f"user:{number}": number for number in range(3000)})
    client.mset({f"other:{number}": number for number in range(1000)})
    assert {*client.scan_iter()} == {*client.keys()}
    assert {*client.scan_iter(match="user:*", count=500)} == {b"user:%d" % number for number in range(3000)}
    assert {*client.scan_iter(match="other:1?", _type="STRING")} == {b"other:1%d" % number for number in range(10)}
    assert [*client.scan_iter(_type="HASH")] == []


def test_server_commands(client: Any) -> None:
    client.set("k", "v" * 100)
    assert client.info()["redis_mode"] == "standalone"
    assert client.info("server")["redis_version"].startswith("7.")
    assert client.info("keyspace")["db0"]["keys"] == 1
    assert client.config_get("maxmemory") == {"maxmemory": "0"}
    assert client.config_set("slowlog-log-slower-than", 20_000) is True
    assert client.config_get("slowlog-*")["slowlog-log-slower-than"] == "20000"
    assert client.config_set("slowlog-log-slower-than", 10_000) is True
    assert client.config_resetstat() is True
    assert client.memory_usage("k") > 100
    assert client.object("encoding", "k") in {b"raw", b"embstr"}
    assert client.client_setname("me") is True
    assert client.client_getname() in {"me", b"me"}
    assert client.client_id() > 0
    assert "me" in {one["name"] for one in client.client_list()}
    assert client.client_info()["name"] == "me"
    assert client.slowlog_len() >= 0
    assert isinstance(client.slowlog_get(), list)
    assert client.slowlog_reset() is True
    assert client.command_count() > 70
    assert client.command()["get"]["arity"] == 2
    assert abs(client.time()[0] - time.time()) < 5
    assert client.lastsave() is not None


def test_a_pool_shared_by_threads(new_client: NewClient) -> None:
    client = new_client(max_connections=50)

    def work(name: int) -> None:
        for number in range(scaled(100)):
            client.set(f"{name}:{number}", number)
            assert client.get(f"{name}:{number}") == b"%d" % number
            client.incr("total")

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.get("total") == b"%d" % (8 * scaled(100))


def test_reconnecting_after_the_server_has_closed(client: Any) -> None:
    client.set("k", "v")
    for _ in range(5):
        client.client_kill_filter(_id=client.client_id(), skipme=False)
        assert client.get("k") == b"v"


def test_large_values(client: Any) -> None:
    value = bytes(range(256)) * 40_000
    client.set("big", value)
    assert client.get("big") == value
    client.mset({f"big:{number}": value for number in range(5)})
    assert client.mget(*(f"big:{number}" for number in range(5))) == [value] * 5


@pytest.mark.parametrize("protocol", [2, 3])
def test_asyncio(server: Target, protocol: int) -> None:
    async def work() -> None:
        import redis.asyncio

        async with redis.asyncio.Redis(host=server.address[0], port=server.port, protocol=protocol) as client:
            assert await client.ping() is True
            assert await client.set("k", "v", ex=100) is True
            assert await client.get("k") == b"v"
            await asyncio.gather(*(client.incr("n") for _ in range(80)))
            assert await client.get("n") == b"80"
            async with client.pipeline(transaction=True) as pipe:
                pipe.set("a", 1)
                pipe.incr("a")
                pipe.get("a")
                assert await pipe.execute() == [True, 2, b"2"]
            assert {key async for key in client.scan_iter()} == {b"k", b"n", b"a"}

    asyncio.run(work())


def test_password(server_with: ServerWith) -> None:
    host, port = server_with(password="s3cret").address

    def ping(**options: Any) -> bool:
        # By default a wrong password is tried ten times, with pauses between.
        retry = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
        with redis.Redis(host=host, port=port, retry=retry, **options) as client:
            return bool(client.ping())

    for protocol in (2, 3):
        assert ping(password="s3cret", protocol=protocol)
        assert ping(username="default", password="s3cret", protocol=protocol)
        with pytest.raises(redis.AuthenticationError):
            ping(password="wrong", protocol=protocol)
        with pytest.raises(redis.AuthenticationError):
            ping(protocol=protocol)


# -- Lock: its three scripts are known to the service -------------------------------------------------------------------


def test_lock(client: Any) -> None:
    lock = client.lock("lock", timeout=10)
    assert lock.acquire(blocking=False) is True
    assert client.lock("lock", timeout=10).acquire(blocking=False) is False
    assert lock.owned()
    assert lock.extend(20) is True
    assert 25_000 <= client.pttl("lock") <= 30_000
    assert lock.extend(5, replace_ttl=True) is True
    assert 4_000 <= client.pttl("lock") <= 5_000
    assert lock.reacquire() is True
    assert 9_000 <= client.pttl("lock") <= 10_000
    lock.release()
    assert client.exists("lock") == 0


def test_lock_of_another(client: Any) -> None:
    """Who does not hold it any more is told so, and does it no harm."""
    lock = client.lock("lock", timeout=10)
    assert lock.acquire()
    client.set("lock", "someone else's", px=60_000)
    for act in (lock.release, lambda: lock.extend(5), lock.reacquire):
        with pytest.raises(redis.exceptions.LockNotOwnedError):
            act()
        lock.local.token = b"kept"
    assert client.get("lock") == b"someone else's"
    assert client.pttl("lock") > 50_000


def test_lock_that_has_expired(client: Any) -> None:
    lock = client.lock("lock", timeout=0.03)
    assert lock.acquire()
    time.sleep(0.06)
    with pytest.raises(redis.exceptions.LockNotOwnedError):
        lock.release()
    forever = client.lock("forever")
    assert forever.acquire()
    with pytest.raises(redis.exceptions.LockError):
        forever.extend(5)
    forever.release()


def test_lock_excludes(client: Any) -> None:
    inside, most, count = [0], [0], [0]

    def work() -> None:
        for _ in range(scaled(20)):
            with client.lock("lock", timeout=30, sleep=0.001):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                count[0] += 1
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most[0], count[0]) == (1, 4 * scaled(20))


def test_the_scripts_of_lock_are_known_once_they_are_loaded(client: Any) -> None:
    """What a client sends if EVALSHA says NOSCRIPT; then the same under its digest."""
    from redis.lock import Lock

    for script, words in (
        (Lock.LUA_RELEASE_SCRIPT, ["token"]),
        (Lock.LUA_EXTEND_SCRIPT, ["token", 1000, "1"]),
        (Lock.LUA_REACQUIRE_SCRIPT, ["token", 1000]),
    ):
        digest = client.script_load(script)
        assert client.script_exists(digest) == [True]
        assert client.evalsha(digest, 1, "none", *words) == 0


@pytest.mark.ours
def test_other_scripts_are_refused(client: Any) -> None:
    with pytest.raises(redis.exceptions.NoScriptError):
        client.evalsha("f" * 40, 0)
    with pytest.raises(redis.ResponseError):
        client.eval("return 1", 0)
