"""Caches of frameworks, with their Redis backends as they come: Django, Flask-Caching, aiocache."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from targets import Target


def _url(server: Target) -> str:
    return "redis://{}:{}".format(*server.address)


@pytest.fixture
def django_cache(server: Target) -> Any:
    pytest.importorskip("redis", reason="redis-py is not installed (pip install redis)")
    pytest.importorskip("django", reason="Django is not installed (pip install django)")
    from django.conf import settings

    if not settings.configured:
        settings.configure()
    from django.core.cache.backends.redis import RedisCache

    cache = RedisCache(_url(server), {"TIMEOUT": 300, "KEY_PREFIX": "site"})
    yield cache
    cache._cache._get_connection_pool(write=True).disconnect()


def test_django(django_cache: Any) -> None:
    cache = django_cache
    assert cache.get("k") is None
    assert cache.get("k", "default") == "default"
    cache.set("k", {"a": [1, 2, ("x", None)]})
    assert cache.get("k") == {"a": [1, 2, ("x", None)]}
    assert cache.add("k", 1) is False
    assert cache.add("l", 1, timeout=50) is True
    assert cache.incr("l") == 2
    assert cache.incr("l", 10) == 12
    assert cache.decr("l", 2) == 10
    with pytest.raises(ValueError, match="not found"):
        cache.incr("none")
    assert cache.get_or_set("m", lambda: "made") == "made"
    cache.set_many({"n": 1, "o": b"\0\xff", "p": "ü"}, timeout=30)
    assert cache.get_many(["n", "o", "p", "none"]) == {"n": 1, "o": b"\0\xff", "p": "ü"}
    assert "n" in cache
    assert cache.has_key("none") is False
    assert cache.touch("n", 100) is True
    assert cache.touch("n", None) is True
    assert cache.touch("none") is False
    assert cache.delete("n") is True
    assert cache.delete("n") is False
    cache.delete_many(["o", "p"])
    assert cache.get_many(["o", "p"]) == {}
    cache.set("gone", 1, timeout=0)
    assert cache.get("gone") is None
    cache.set("k", "other", version=2)
    assert cache.get("k") != cache.get("k", version=2) == "other"
    cache.clear()
    assert cache.get("k") is None


def test_django_expires(django_cache: Any) -> None:
    django_cache.set("k", 1, timeout=1)
    assert django_cache.get("k") == 1
    time.sleep(1.1)
    assert django_cache.get("k") is None


def test_flask_caching(server: Target) -> None:
    pytest.importorskip("redis", reason="redis-py is not installed (pip install redis)")
    flask = pytest.importorskip("flask", reason="Flask is not installed (pip install flask-caching)")
    flask_caching = pytest.importorskip(
        "flask_caching", reason="Flask-Caching is not installed (pip install flask-caching)"
    )
    app = flask.Flask("tests")
    app.config.update(
        CACHE_TYPE="RedisCache", CACHE_REDIS_URL=_url(server), CACHE_DEFAULT_TIMEOUT=60, CACHE_KEY_PREFIX="flask:"
    )
    cache = flask_caching.Cache(app)
    calls: list[object] = []

    @cache.memoize(50)
    def slow(number: int) -> int:
        calls.append(number)
        return number * 2

    @app.route("/page")
    @cache.cached(timeout=50)
    def page() -> str:
        calls.append("page")
        return "hello"

    with app.app_context():
        assert cache.set("k", {"a": 1})
        assert cache.get("k") == {"a": 1}
        assert cache.add("k", 2) is False
        assert cache.set_many({"a": 1, "b": 2})
        assert cache.get_many("a", "b", "none") == [1, 2, None]
        assert cache.get_dict("a", "b") == {"a": 1, "b": 2}
        assert cache.cache.inc("count", 5) == 5
        assert cache.cache.dec("count", 2) == 3
        assert cache.has("a")
        assert cache.delete("a")
        assert cache.get("a") is None
        assert cache.delete_many("b", "k")
        assert [slow(4), slow(4), slow(5)] == [8, 8, 10]
        assert calls == [4, 5]
        cache.delete_memoized(slow)
        assert slow(4) == 8
        assert calls == [4, 5, 4]
        client = app.test_client()
        assert [client.get("/page").data for _ in range(3)] == [b"hello"] * 3
        assert calls.count("page") == 1
        assert cache.clear()
        assert cache.get("count") is None


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of redis-py, for what aiocache calls
def test_aiocache(server: Target) -> None:
    pytest.importorskip("redis", reason="redis-py is not installed (pip install redis)")
    aiocache = pytest.importorskip("aiocache", reason="aiocache is not installed (pip install aiocache)")
    serializers = pytest.importorskip("aiocache.serializers")

    async def work() -> None:
        host, port = server.address
        cache = aiocache.Cache(aiocache.Cache.REDIS, endpoint=host, port=port, namespace="ns", serializer=serializers.PickleSerializer())  # fmt: skip
        async with cache:
            assert await cache.set("k", {"a": (1, 2)}, ttl=60)
            assert await cache.get("k") == {"a": (1, 2)}
            assert await cache.exists("k")
            with pytest.raises(ValueError, match="already exists"):
                await cache.add("k", 1)
            assert await cache.multi_set([("a", 1), ("b", 2)], ttl=60)
            assert await cache.multi_get(["a", "b", "none"]) == [1, 2, None]
            assert await cache.expire("a", 10)
            assert await cache.delete("a") == 1
            assert await cache.get("a") is None
            counter = aiocache.Cache(aiocache.Cache.REDIS, endpoint=host, port=port, serializer=serializers.StringSerializer())  # fmt: skip
            async with counter:
                assert await counter.increment("n", 5) == 5
                assert await counter.increment("n", -2) == 3
            assert await cache.clear()
            assert await cache.get("b") is None

    asyncio.run(work())


@pytest.mark.ours
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_aiocache_locks_are_refused_clearly(server: Target) -> None:
    """They are scripts of its own by EVAL, which the service does not run; it says so, and changes nothing."""
    redis = pytest.importorskip("redis", reason="redis-py is not installed (pip install redis)")
    aiocache = pytest.importorskip("aiocache", reason="aiocache is not installed (pip install aiocache)")

    async def work() -> None:
        host, port = server.address
        async with aiocache.Cache(aiocache.Cache.REDIS, endpoint=host, port=port) as cache:
            await cache.set("k", "v")
            with pytest.raises(redis.ResponseError, match=r"(?i)script"):
                async with aiocache.lock.OptimisticLock(cache, "k") as optimistic:
                    await optimistic.cas("new")
            assert await cache.get("k") == "v"

    asyncio.run(work())
