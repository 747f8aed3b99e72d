"""get_many, set_many, delete_many, retain, partitions, and popitem until nothing is left."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from bytemaps import LONG, VARIANTS, AnyMap, pairs, pass_away

from shardmap import ByteMap


def test_get_many(m: AnyMap) -> None:
    m.update(pairs(100))
    keys = [b"key %d" % number for number in range(-10, 110)]
    assert m.get_many(keys) == [m.get(key) for key in keys]
    assert m.get_many(iter(keys), b"default") == [m.get(key, b"default") for key in keys]
    for count in range(40):
        assert m.get_many(keys[:count]) == [m.get(key) for key in keys[:count]]
    assert m.get_many([b"key 1"] * 50) == [b"value 1"] * 50
    assert m.get_many(m) == list(m.values())
    assert m.get_many(()) == []


def test_get_many_of_bad_keys(m: AnyMap) -> None:
    for bad in ([b"k", "text"], [None], 5, None, "text"):
        with pytest.raises(TypeError):
            m.get_many(bad)


def test_set_many_with_a_time_to_live(m: AnyMap) -> None:
    m.set_many(pairs(10))
    m.set_many(dict(pairs(5)), ttl=LONG)
    assert [m.ttl(b"key %d" % number) is None for number in range(10)] == [False] * 5 + [True] * 5
    m.set_many(pairs(2))
    assert m.ttl(b"key 0") is m.ttl(b"key 1") is None
    with pytest.raises(ValueError, match="ttl"):
        m.set_many([(b"new", b"v")], ttl=0)
    assert m == dict(pairs(10))


def test_delete_many(m: AnyMap) -> None:
    m.update(pairs(100))
    assert m.delete_many([]) == 0
    assert m.delete_many([b"absent", b"key 0", b"key 0", bytearray(b"key 1")]) == 2
    assert m.delete_many(key for key, _ in pairs(50)) == 48
    assert m.delete_many(m) == 50
    assert len(m) == 0
    m.update(pairs(3))
    pass_away(m, [b"key 1"])
    assert m.delete_many([b"key 0", b"key 1", b"key 2"]) == 2


def test_delete_many_that_is_interrupted(m: AnyMap) -> None:
    def interrupted() -> Iterator[bytes]:
        yield b"key 0"
        raise ZeroDivisionError

    m.update(pairs(3))
    with pytest.raises(ZeroDivisionError):
        m.delete_many(interrupted())
    with pytest.raises(TypeError):
        m.delete_many([b"key 1", "key 2"])
    assert list(m) == [b"key 2"]


def test_retain(m: AnyMap) -> None:
    m.update(pairs(200))
    judged: dict[bytes, bytes] = {}

    def even(key: bytes, value: bytes) -> object:
        assert key not in judged
        judged[key] = value
        return [] if int(value[6:]) % 2 else "anything true"

    assert m.retain(even) == 100
    assert judged == dict(pairs(200))
    assert m == {key: value for key, value in pairs(200) if int(value[6:]) % 2 == 0}
    assert m.retain(lambda key, value: True) == 0
    assert m.retain(lambda key, value: False) == 100
    assert m.retain(lambda key, value: pytest.fail("nothing is left")) == 0


def test_retain_spares_what_has_changed_since(m: AnyMap) -> None:
    m.update(pairs(20))

    def change(key: bytes, value: bytes) -> bool:
        if key == b"key 3":
            m[key] = b"changed"
        elif key == b"key 4":
            del m[key]
        elif key == b"key 5":
            m[key] = value
        return False

    assert m.retain(change) == 18
    assert m == {b"key 3": b"changed"}


def test_retain_that_raises(m: AnyMap) -> None:
    m.update(pairs(50))
    judged: list[bytes] = []

    def judge(key: bytes, value: bytes) -> bool:
        if len(judged) == 10:
            raise ZeroDivisionError
        judged.append(key)
        return False

    with pytest.raises(ZeroDivisionError):
        m.retain(judge)
    assert set(m) == {key for key, _ in pairs(50)} - set(judged)
    assert m.stats()["kept"] == 0


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 31, 32, 33, 1000, 65536])
def test_partitions(m: AnyMap, n: int) -> None:
    m.update(pairs(500))
    partitions = m.partitions(n)
    assert len(partitions) == n
    found = [pair for partition in partitions for pair in partition]
    assert len(found) == 500
    assert dict(found) == dict(pairs(500))
    by_shard = [{m.shard_of(key) for key, _ in partition} for partition in m.partitions(n)[:40]]
    assert sum(map(len, by_shard)) == len(set().union(*by_shard))


@pytest.mark.parametrize("bad", [0, -1, 65537, 2**40, "2", 1.0, None])
def test_bad_numbers_of_partitions(m: AnyMap, bad: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        m.partitions(bad)


# -- popitem ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 2, 12, 13, 1000])
def test_popitem_empties_the_map(m: AnyMap, count: int) -> None:
    m.update(pairs(count))
    popped = []
    for left in range(count, 0, -1):
        assert len(m) == left
        item = m.popitem()
        assert type(item) is tuple
        assert item[0] not in m
        popped.append(item)
        if left % 100 == 0:
            m._check()
    assert len(popped) == count
    assert dict(popped) == dict(pairs(count))
    for _ in range(2):
        with pytest.raises(KeyError, match="empty"):
            m.popitem()
    m[b"k"] = b"v"
    assert m.popitem() == (b"k", b"v")


def test_popitem_between_inserts(m: AnyMap) -> None:
    alive: dict[bytes, bytes] = {}
    for number in range(1000):
        m[b"%d" % number] = alive[b"%d" % number] = b"v%d" % number
        if number % 3:
            key, value = m.popitem()
            assert alive.pop(key) == value
    assert m == alive


def test_popitem_goes_on_where_it_found_something() -> None:
    """It stays with a shard until that is empty: whoever empties a map does not look at each shard for each entry."""
    m = ByteMap(pairs(1000), shards=64)
    shards = [m.shard_of(m.popitem()[0]) for _ in range(1000)]
    changes = sum(former != latter for former, latter in itertools.pairwise(shards))
    assert changes < 64


@pytest.mark.parametrize("variant", VARIANTS)
def test_popitem_passes_over_what_has_expired(variant: str) -> None:
    m = VARIANTS[variant]()
    m.update(pairs(100))
    pass_away(m, [b"key %d" % number for number in range(0, 100, 2)])
    popped = [m.popitem() for _ in range(50)]
    assert {key for key, _ in popped} == {b"key %d" % number for number in range(1, 100, 2)}
    with pytest.raises(KeyError):
        m.popitem()
    m._check()


def test_popitem_of_large_values(m: AnyMap) -> None:
    expected = {b"%d" % number: bytes([number]) * (number * 4000) for number in range(30)}
    m.update(expected)
    view = m.get_view(b"29")
    assert dict(m.popitem() for _ in range(30)) == expected
    assert view == expected[b"29"]
    del view
    assert m.stats()["kept"] == m.memory().used == 0
