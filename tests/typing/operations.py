"""What type checkers make of every operation of ``ShardMap[str, int]``: checked by mypy and pyright, never run."""

from __future__ import annotations

import copy
from collections.abc import Iterator, MutableMapping
from types import MappingProxyType
from typing import Any, assert_type

from shardmap import MISSING, Diff, MissingType, ShardMap, Stats, fnv1a_64


def made() -> None:
    from_mapping = ShardMap({"a": 1})
    assert_type(from_mapping, ShardMap[str, int])
    pairs = [("a", 1)]
    from_pairs = ShardMap(pairs, shards=4, capacity=100, hash_seed=7)
    assert_type(from_pairs, ShardMap[str, int])
    assert_type(ShardMap[str, int](), ShardMap[str, int])
    assert_type(ShardMap.fromkeys(["a"], 1), ShardMap[str, int])
    assert_type(ShardMap.fromkeys(["a"]), ShardMap[str, Any | None])


def mapping(m: ShardMap[str, int]) -> None:
    assert_type(m["a"], int)
    m["a"] = 1
    del m["a"]
    assert_type("a" in m, bool)
    assert_type(len(m), int)
    assert_type(iter(m), Iterator[str])
    assert_type(m.get("a"), int | None)
    assert_type(m.get("a", 0), int)
    assert_type(m.get("a", "none"), int | str)
    assert_type(m.get("a", MISSING), int | MissingType)
    assert_type(m.setdefault("a", 1), int)
    assert_type(m.pop("a"), int)
    assert_type(m.pop("a", 0), int)
    assert_type(m.pop("a", None), int | None)
    assert_type(m.popitem(), tuple[str, int])
    m.update({"a": 1})
    m.update([("a", 1)], b=2)
    m.update(c=3)
    m.clear()
    m |= {"a": 1}
    m |= [("a", 1)]
    assert_type(m | {"a": 1.5}, ShardMap[str, int | float])
    assert_type({1: "a"} | m, ShardMap[str | int, int | str])
    assert_type(m == {}, bool)
    assert_type(copy.copy(m), ShardMap[str, int])
    assert_type(dict(m), dict[str, int])
    assert_type({**m}, dict[str, int])


def optional_values(m: ShardMap[str, int | None]) -> None:
    assert_type(m.setdefault("a"), int | None)


def views(m: ShardMap[str, int]) -> None:
    for key in m.keys():  # noqa: SIM118
        assert_type(key, str)
    for value in m.values():
        assert_type(value, int)
    for pair in m.items():
        assert_type(pair, tuple[str, int])
    assert_type(m.keys() & {"a"}, set[str])
    assert_type(m.view(), MappingProxyType[str, int])


def conditional(m: ShardMap[str, int]) -> None:
    assert_type(m.insert("a", 1), bool)
    assert_type(m.replace("a", 2), bool)
    assert_type(m.swap("a", 3), int | None)
    assert_type(m.swap("a", 3, 0), int)
    assert_type(m.swap("a", 3, MISSING), int | MissingType)
    assert_type(m.compare_and_set("a", 3, 4), bool)
    assert_type(m.compare_and_delete("a", "anything"), bool)


def increment(old: int | MissingType) -> int:
    # `is MISSING` narrows: the sum below would not check otherwise.
    return 1 if old is MISSING else old + 1


def halve(old: int | MissingType) -> int | MissingType:
    return MISSING if old is MISSING or old < 2 else old // 2


def halve_present(old: int) -> int | MissingType:
    return old // 2 or MISSING


def look_up(key: str) -> int | MissingType:
    return len(key) or MISSING


def plus(old: int, value: int) -> int:
    return old + value


def subtract(old: int, value: int) -> int | MissingType:
    return old - value or MISSING


def compute(m: ShardMap[str, int]) -> None:
    assert_type(m.compute("a", increment), int)
    assert_type(m.compute("a", halve), int | MissingType)
    assert_type(m.compute("a", lambda old: 1 if old is MISSING else old + 1), int)
    assert_type(m.compute_if_absent("a", len), int)
    assert_type(m.compute_if_absent("a", lambda key: 0), int)
    assert_type(m.compute_if_absent("a", look_up), int | MissingType)
    assert_type(m.compute_if_present("a", halve_present), int | MissingType)
    assert_type(m.merge("a", 1, plus), int)
    assert_type(m.merge("a", 1, lambda old, value: old + value), int)
    assert_type(m.merge("a", 1, subtract), int | MissingType)


def counting(m: ShardMap[str, int], weights: ShardMap[str, float]) -> None:
    assert_type(m.add("a"), int)
    assert_type(m.add("a", 5), int)
    assert_type(weights.add("a", 0.5), float)
    m.count(["a", "b", "a"])


def bulk(m: ShardMap[str, int]) -> None:
    assert_type(m.get_many(["a", "b"]), list[int | None])
    assert_type(m.get_many(["a", "b"], 0), list[int])
    assert_type(m.get_many(["a", "b"], MISSING), list[int | MissingType])
    m.set_many({"a": 1})
    m.set_many([("a", 1)])
    m.set_many(m)
    assert_type(m.delete_many(["a", "b"]), int)
    assert_type(m.retain(lambda key, value: key != "a" and value > 0), int)
    for part in m.partitions(4):
        for pair in part:
            assert_type(pair, tuple[str, int])


def whole_map(m: ShardMap[str, int]) -> None:
    assert_type(m.snapshot(), dict[str, int])
    assert_type(m.copy(), ShardMap[str, int])
    difference = m.diff({"a": 1})
    assert_type(difference, Diff[str, int])
    assert_type(difference.added, dict[str, int])
    assert_type(difference.changed, dict[str, tuple[int, int]])
    m.reserve(1000)
    m.shrink()
    assert_type(m.shard_of("a"), int)
    assert_type(m.stats(), Stats)
    assert_type(m.stats()["load"], float)


def fill(target: MutableMapping[str, int]) -> None:
    target["a"] = 1


def elsewhere(m: ShardMap[str, int]) -> None:
    """A ShardMap goes where a MutableMapping is asked for, and is matched as a mapping."""
    fill(m)
    match m:
        case {"a": value}:
            assert_type(value, int)
        case _:
            pass
    assert_type(fnv1a_64(b"a"), int)
    assert_type(fnv1a_64(memoryview(bytearray(b"a"))), int)


class Hits(ShardMap[str, int]):
    """A subclass keeps its type where one is made of it."""

    def hit(self, path: str) -> int:
        return self.add(path)


def subclass(hits: Hits) -> None:
    assert_type(hits.hit("/"), int)
    assert_type(hits.copy(), Hits)
