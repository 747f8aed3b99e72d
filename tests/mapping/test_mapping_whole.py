"""The mapping suite: snapshot, diff, stats, and the options and hints of a sharded map."""

from __future__ import annotations

import collections
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import pytest
from implementations import Implementation

from shardmap import Diff, Stats

NewMap = Callable[..., Any]


@pytest.mark.needs("whole")
@pytest.mark.parametrize("count", [0, 1, 2000])
def test_snapshot(new: NewMap, impl: Implementation, count: int) -> None:
    m = new(impl.pairs(count))
    taken = m.snapshot()
    assert type(taken) is dict
    assert taken == dict(impl.pairs(count))
    m[impl.key(count)] = impl.value(0)
    m.pop(impl.key(0))
    taken[impl.key(-1)] = 1
    assert impl.key(count) not in taken
    assert impl.key(-1) not in m
    assert len(taken) == count + 1


@pytest.mark.needs("whole", "objects")
def test_snapshot_calls_neither_hash_nor_eq_of_keys(new: NewMap) -> None:
    """It holds all locks meanwhile; a dict that is filled with known hashes still compares equal hashes."""
    calls = []

    class Watched:
        def __init__(self, code: int) -> None:
            self.code = code

        def __hash__(self) -> int:
            calls.append("hash")
            return self.code

    m = new((Watched(number), number) for number in range(100))
    calls.clear()
    assert m.copy() is not m
    assert calls == []
    assert len(m) == 100


@pytest.mark.needs("whole")
def test_diff(new: NewMap, impl: Implementation) -> None:
    def key(number: int) -> Any:
        return impl.key(number)

    m = new(impl.pairs(3))
    changes = {key(1): impl.value(1), key(2): impl.value(22), key(3): impl.value(3)}
    expected = Diff(
        added={key(3): impl.value(3)},
        removed={key(0): impl.value(0)},
        changed={key(2): (impl.value(2), impl.value(22))},
    )
    for other in (changes, new(changes.items()), MappingProxyType(changes), collections.UserDict(changes)):
        found = m.diff(other)
        assert found == expected
        assert (found.added, found.removed, found.changed) == tuple(expected)
    assert m.diff(m) == Diff({}, {}, {})
    assert m.diff({}) == Diff({}, dict(impl.pairs(3)), {})
    assert new().diff(m) == Diff(dict(impl.pairs(3)), {}, {})
    for bad in (None, 7, impl.pairs(3), "text"):
        with pytest.raises(TypeError, match="mapping"):
            m.diff(bad)


@pytest.mark.needs("whole", "objects")
def test_diff_compares_by_identity_first(new: NewMap) -> None:
    nan = float("nan")
    assert new([("k", nan)]).diff({"k": nan}) == Diff({}, {}, {})
    assert list(new([("k", nan)]).diff({"k": float("nan")}).changed) == ["k"]
    assert new([("k", 1)]).diff({"k": 1.0}).changed == {}


@pytest.mark.needs("whole")
def test_stats(new: NewMap, impl: Implementation) -> None:
    m = new()
    stats = m.stats()
    assert (stats["entries"], stats["shards_used"], stats["reserved"], stats["waiting"]) == (0, 0, 0, 0)
    assert stats["shards"] >= 1
    m.update(impl.pairs(1000))
    stats = m.stats()
    assert stats["entries"] == 1000
    assert 1 <= stats["shards_used"] <= stats["shards"]
    assert stats["shard_entries_min"] <= 1000 / stats["shards"] <= stats["shard_entries_max"]
    assert stats["buckets"] >= stats["shards_used"]
    assert stats["overflow_buckets"] >= 0
    assert stats["bytes"] > 1000 * 8
    assert stats["load"] >= 0
    assert 0 <= stats["growing"] <= stats["shards"]
    assert stats["growths"] > 0
    m.clear()
    assert m.stats()["entries"] == 0
    assert all(isinstance(value, (int, float)) for value in stats.values())
    assert set(stats) == set(Stats.__annotations__)


@pytest.mark.needs("shards")
def test_hints_change_nothing_but_memory(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(100))
    for hint in (lambda: m.reserve(0), lambda: m.reserve(10), lambda: m.reserve(5000), lambda: m.shrink(), m.shrink):
        assert hint() is None
        assert m == dict(impl.pairs(100))
        m._check()
    m.clear()
    m.shrink()
    assert m == {}
    m.update(impl.pairs(50))
    assert m == dict(impl.pairs(50))


@pytest.mark.needs("shards")
def test_reserve_refuses(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(5))
    for bad in (-1, -(2**80)):
        with pytest.raises((ValueError, OverflowError)):
            m.reserve(bad)
    for other in ("1", None, 1.5):
        with pytest.raises(TypeError):
            m.reserve(other)
    for huge in (2**62, 2**63, 2**64, 2**200):
        with pytest.raises((ValueError, OverflowError, MemoryError)):
            m.reserve(huge)
        m._check()
    assert m == dict(impl.pairs(5))


@pytest.mark.needs("shards")
def test_shard_of(impl: Implementation) -> None:
    for shards in (1, 2, 64):
        m = type(impl.make())(shards=shards, hash_seed=3)
        used = {m.shard_of(impl.key(number)) for number in range(2000)}
        assert used <= set(range(shards))
        assert len(m) == 0
        assert m.shard_of(impl.key(5)) == m.shard_of(impl.key(5))
        if impl.name != "stressed":  # four of its keys share a hash
            assert used == set(range(shards))


@pytest.mark.needs("shards")
def test_options(impl: Implementation) -> None:
    cls = type(impl.make())
    m = cls(impl.pairs(10), shards=8, capacity=1000, hash_seed=1)
    assert m == dict(impl.pairs(10))
    assert m.stats()["shards"] == 8
    assert cls(shards=8) == {}
    assert cls(None or [], hash_seed=0) == {}
    for bad in ("entries", "size", "a"):
        with pytest.raises(TypeError):
            cls(**{bad: 1})
    for positional in ((impl.pairs(1), 8), (impl.pairs(1), 8, 0)):
        with pytest.raises(TypeError):
            cls(*positional)


@pytest.mark.needs("shards")
def test_constructor_refuses_what_update_refuses(impl: Implementation) -> None:
    cls = type(impl.make())
    for bad in (None, 7, False, 0):
        with pytest.raises(TypeError):
            cls(bad)
    assert cls("") == {}
    assert cls(["ab"]) == {"a": "b"}
