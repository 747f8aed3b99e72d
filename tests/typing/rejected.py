"""Wrong uses of ``ShardMap[str, int]``: each line must be an error, for mypy and for pyright; never run.

Both report an ignore comment that suppresses nothing, so a use that starts to pass the checkers is found.
"""

from __future__ import annotations

from shardmap import MissingType, ShardMap


def halve(old: int) -> int | MissingType:
    raise NotImplementedError


def name(old: int | MissingType) -> str | MissingType:
    raise NotImplementedError


def wrong(m: ShardMap[str, int], names: ShardMap[int, str]) -> None:
    m[1]  # type: ignore[index]  # pyright: ignore[reportArgumentType]
    m["a"] = "one"  # type: ignore[assignment]  # pyright: ignore[reportArgumentType]
    m.insert("a", None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    m.get(key="a")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    m.setdefault("a")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    m.compute("a", halve)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    m.merge("a", 1, halve)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    m.compute("a", name)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    m.compute_if_absent("a", lambda key: key)  # type: ignore[arg-type, return-value]  # pyright: ignore[reportArgumentType]
    m.merge("a", 1, lambda old, value: None)  # type: ignore[arg-type, return-value]  # pyright: ignore[reportArgumentType]
    m.set_many(a=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    m.update({1: 1})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType, reportCallIssue]
    names.add(1, "a")
    names.count([1])  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    names.update(a="b")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    ShardMap(a=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    ShardMap(shards="4")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    {m}  # pyright: ignore[reportUnhashable]  (mypy does not look at __hash__)
