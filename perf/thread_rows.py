"""The rows of the table of threads (``python -m perf.threads``).

Every row's operations are shared out evenly or done by each thread alike; ``per_thread`` says how many each does. What
a worker works on is made by ``arguments`` inside that worker, before the barrier: keys that come from input are objects
of the thread that read them. Only "own keys" shares key objects between threads, which is what it measures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any

from perf import keys as make_keys
from perf import peers

__all__ = ["HANDLE", "PRIVATE", "ThreadRow", "table"]

#: The same loop on a ``dict`` that each thread has for itself: how far this machine scales when nothing is shared.
PRIVATE = "private dicts"

#: cereggii's proxy that spares its map's reference count; each thread makes one for itself.
HANDLE = "cereggii handle"

#: Called in the worker with its number and the number of threads.
Arguments = Callable[[int, int], Mapping[str, Any]]

_FIRST_VALUE = 1_000_000

#: Keys that a thread keeps to itself, few enough to stay in its core's cache.
_PRIVATE_KEYS = 1_000


@dataclass(frozen=True)
class ThreadRow:
    """One line of the table of threads."""

    name: str
    loop: str
    statements: Mapping[str, str]
    arguments: Arguments
    #: Operations of each thread, given the number of threads.
    per_thread: Callable[[int], int]
    entries: Sequence[tuple[Any, Any]] = ()
    #: Whether each measurement needs a new map.
    consumes: bool = False
    #: Whether the loop names the map as a global, not as a local.
    global_map: bool = False
    makes: Mapping[str, Callable[[], Any]] = field(default_factory=dict)


def table(random_keys: int, resident_operations: int, counted: int) -> Iterator[ThreadRow]:
    """All rows."""
    yield from _random(random_keys)
    yield from _resident(resident_operations)
    yield _counting(counted)


def _spelled(statement: str) -> dict[str, str]:
    return peers.spelled(statement) | {HANDLE: statement, PRIVATE: statement}


def _random(count: int) -> Iterator[ThreadRow]:
    keys = make_keys.strings(count)
    entries = list(zip(keys, range(_FIRST_VALUE, _FIRST_VALUE + count), strict=True))
    get, put = _spelled("m[k]"), _spelled("m[k] = v")
    each, pairs = "for k in keys", "for k, v in zip(keys, values)"
    orders = [make_keys.shuffled(keys, seed) for seed in range(64)]

    def order(index: int) -> list[str]:
        return orders[index % len(orders)]

    def own(index: int, threads: int) -> Mapping[str, Any]:
        return {"keys": order(index)}

    def fresh(index: int, threads: int) -> Mapping[str, Any]:
        return {"keys": make_keys.copies(order(index))}

    def fresh_pairs(index: int, threads: int) -> Mapping[str, Any]:
        first = (2 + index) * _FIRST_VALUE
        return {"keys": make_keys.copies(order(index)), "values": list(range(first, first + count))}

    def part(index: int, threads: int) -> Mapping[str, Any]:
        mine = make_keys.copies(keys[index::threads])
        return {"keys": mine, "values": list(range(_FIRST_VALUE, _FIRST_VALUE + len(mine)))}

    def mixed(size: int) -> Arguments:
        def tuples(index: int, threads: int) -> Mapping[str, Any]:
            mine = iter(make_keys.copies(order(index)))
            return {"tuples": list(zip(*[mine] * size, strict=False)), "v": _FIRST_VALUE * (2 + index)}

        return tuples

    def all_keys(threads: int) -> int:
        return count

    yield ThreadRow("get, fresh keys", each, get, fresh, all_keys, entries)
    yield ThreadRow("get, own keys", each, get, own, all_keys, entries)
    yield ThreadRow("overwrite, fresh keys", pairs, put, fresh_pairs, all_keys, entries)
    yield ThreadRow("insert, growing", pairs, put, part, lambda threads: count // threads, consumes=True)
    # Unrolled, so that no branch a processor could mispredict decides between the two.
    yield ThreadRow(
        "90% get, 10% set",
        "for a, b, c, d, e, f, g, h, i, j in tuples",
        _spelled_all([*(f"m[{name}]" for name in "abcdefghi"), "m[j] = v"]),
        mixed(10),
        lambda threads: count // 10 * 10,
        entries,
    )
    yield ThreadRow(
        "50% get, 50% set",
        "for a, b in tuples",
        _spelled_all(["m[a]", "m[b] = v"]),
        mixed(2),
        lambda threads: count // 2 * 2,
        entries,
    )


def _spelled_all(statements: Sequence[str]) -> dict[str, str]:
    """Several operations a round, each under the lock of its own for "dict + Lock"."""
    spelled = [_spelled(statement) for statement in statements]
    return {name: "\n".join(one[name] for one in spelled) for name in spelled[0]}


def _resident(operations: int) -> Iterator[ThreadRow]:
    both = _spelled_all(["m[k] = v", "m[k]"])

    def private(index: int, threads: int) -> Mapping[str, Any]:
        mine = make_keys.strings(_PRIVATE_KEYS, make_keys.SEED + 1 + index)
        rounds = operations // 2 // _PRIVATE_KEYS
        return {"keys": list(chain.from_iterable(repeat(mine, rounds))), "v": _FIRST_VALUE + index}

    def hot(index: int, threads: int) -> Mapping[str, Any]:
        return {"k": make_keys.copies(["the hot key"])[0], "rounds": repeat(None, operations)}

    def as_many(threads: int) -> int:
        return operations

    yield ThreadRow("private keys, get + set", "for k in keys", both, private, as_many)
    yield ThreadRow("private keys, the map a global", "for k in keys", both, private, as_many, global_map=True)
    yield ThreadRow("one hot key", "for _ in rounds", _spelled("m[k]"), hot, as_many, [("the hot key", _FIRST_VALUE)])


def _counting(counted: int) -> ThreadRow:
    def words(index: int, threads: int) -> Mapping[str, Any]:
        mine = make_keys.copies(make_keys.strings(64))
        return {"keys": make_keys.shuffled(mine * (counted // threads // 64), index)}

    one_by_one = "for k in keys:\n    with lock:\n        m[k] = m.get(k, 0) + 1"
    statements = {
        peers.LOCKED: one_by_one,
        peers.SHARDMAP: "m.count(keys)",
        peers.CEREGGII: "m.reduce_count(keys)",
        PRIVATE: one_by_one.replace("with lock", "if True"),
    }
    return ThreadRow(
        "bulk counting, 64 keys", "", statements, words, lambda threads: counted // threads // 64 * 64, consumes=True
    )
