"""The rows of the tables of threads (``python -m perf.threads`` and ``python -m perf.scaling``).

Every row's operations are shared out evenly or done by each thread alike; ``per_thread`` says how many each does. What
a worker works on is made by ``arguments`` inside that worker, before the barrier: keys that come from input are objects
of the thread that read them. Only "own keys" shares key objects between threads, which is what it measures.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, repeat
from typing import Any

from perf import keys as make_keys
from perf import peers

__all__ = ["HANDLE", "PRIVATE", "ThreadRow", "inserts", "private_keys", "shares", "table"]

#: The same loop on a ``dict`` that each thread has for itself: how far this machine scales when nothing is shared.
PRIVATE = "private dicts"

#: cereggii's proxy that spares its map's reference count; each thread makes one for itself.
HANDLE = "cereggii handle"

#: Called in the worker with its number and the number of threads.
Arguments = Callable[[int, int], Mapping[str, Any]]

#: Called likewise; the worker's own map besides, whose objects no other thread knows.
Control = Callable[[int, int], tuple[Any, Mapping[str, Any]]]

_FIRST_VALUE = 1_000_000

#: Keys that a thread keeps to itself, few enough to stay in its core's cache.
_PRIVATE_KEYS = 1_000

#: Operations in one round of a loop that mixes reads and writes: one for each percent.
_MIXED = 100


@dataclass(frozen=True)
class ThreadRow:
    """One line of the table of threads."""

    name: str
    loop: str
    statements: Mapping[str, str]
    arguments: Arguments
    #: Operations of each thread, given the number of threads.
    per_thread: Callable[[int], int]
    entries: Iterable[tuple[Any, Any]] = ()
    #: Whether each measurement needs a new map.
    consumes: bool = False
    #: Whether the loop names the map as a global, not as a local.
    global_map: bool = False
    #: The map that the row is about.
    subject: str = peers.SHARDMAP
    #: The control: the same loop in each thread on a map of its own.
    private: str = PRIVATE
    #: What the control works on, where a dict with copies of the entries and the same arguments would not be the same.
    control: Control | None = None
    #: Whether one of the peers may go on for ever, so that each measurement is done in a fork.
    may_hang: bool = False


def table(random_keys: int, resident_operations: int, counted: int) -> Iterator[ThreadRow]:
    """The rows of ``perf.threads``."""
    pool = _Pool(random_keys)
    yield _reads("get, fresh keys", pool)
    yield _own(pool)
    yield _overwrites(pool)
    yield inserts(random_keys)
    yield _mixed("90% get, 10% set", pool, 90)
    yield _mixed("50% get, 50% set", pool, 50)
    yield private_keys(resident_operations)
    yield private_keys(resident_operations, global_map=True)
    yield _hot(resident_operations)
    yield _counting(counted, 64)
    yield _counting(counted, 10_000)


def shares(random_keys: int, percentages: Iterable[int]) -> dict[int, ThreadRow]:
    """Rows of ``perf.scaling`` by their share of reads in percent; the others are overwrites."""
    pool = _Pool(random_keys)
    return {percent: _mixed(f"{percent}% reads", pool, percent) for percent in percentages}


class _Pool:
    """Random keys, the entries of a map that has them, and for each thread an order to look them up in."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.keys = make_keys.strings(count)
        self.entries = list(zip(self.keys, range(_FIRST_VALUE, _FIRST_VALUE + count), strict=True))
        self.order: Callable[[int], Sequence[str]] = cache(self._order)

    def _order(self, index: int) -> Sequence[str]:
        return make_keys.shuffled(self.keys, index)

    def fresh(self, index: int) -> list[str]:
        """All keys, as objects that nobody has hashed."""
        return make_keys.copies(self.order(index))


def _values(index: int, count: int) -> list[int]:
    """Values of this thread's own making; other threads have others."""
    first = (2 + index) * _FIRST_VALUE
    return list(range(first, first + count))


def _spelled(statement: str) -> dict[str, str]:
    return peers.spelled(statement) | {HANDLE: statement, PRIVATE: statement}


def _spelled_all(statements: Sequence[str]) -> dict[str, str]:
    """Several operations a round, each under the lock of its own for "dict + Lock"."""
    spelled = [_spelled(statement) for statement in statements]
    return {name: "\n".join(one[name] for one in spelled) for name in spelled[0]}


def _reads(name: str, pool: _Pool) -> ThreadRow:
    def fresh(index: int, threads: int) -> Mapping[str, Any]:
        return {"keys": pool.fresh(index)}

    return ThreadRow(name, "for k in keys", _spelled("m[k]"), fresh, lambda threads: pool.count, pool.entries)


def _own(pool: _Pool) -> ThreadRow:
    def own(index: int, threads: int) -> Mapping[str, Any]:
        return {"keys": pool.order(index)}

    def control(index: int, threads: int) -> tuple[dict[str, int], Mapping[str, Any]]:
        mine = make_keys.copies(pool.keys)
        return dict(zip(mine, _values(index, pool.count), strict=True)), {"keys": make_keys.shuffled(mine, index)}

    get = _spelled("m[k]")
    return ThreadRow(
        "get, own keys", "for k in keys", get, own, lambda threads: pool.count, pool.entries, control=control
    )


def _overwrites(pool: _Pool) -> ThreadRow:
    def fresh_pairs(index: int, threads: int) -> Mapping[str, Any]:
        return {"keys": pool.fresh(index), "values": _values(index, pool.count)}

    pairs = "for k, v in zip(keys, values)"
    return ThreadRow(
        "overwrite, fresh keys", pairs, _spelled("m[k] = v"), fresh_pairs, lambda threads: pool.count, pool.entries
    )


def inserts(count: int) -> ThreadRow:
    """The threads fill an empty map with disjoint parts of the keys."""
    keys = make_keys.strings(count)

    def part(index: int, threads: int) -> Mapping[str, Any]:
        mine = make_keys.copies(keys[index::threads][: count // threads])
        return {"keys": mine, "values": _values(index, len(mine))}

    return ThreadRow(
        "insert, growing",
        "for k, v in zip(keys, values)",
        _spelled("m[k] = v"),
        part,
        lambda threads: count // threads,
        consumes=True,
    )


def _mixed(name: str, pool: _Pool, percent: int) -> ThreadRow:
    """So many reads of a hundred operations.

    The hundred are unrolled: no branch that a processor could mispredict decides what comes next, and the loop costs
    the same whatever the share. Each write has a value of its own; one value in all entries would make its reference
    count the thing that all threads meet on.
    """
    writes = [place for place in range(_MIXED) if (place + 1) * percent // _MIXED == place * percent // _MIXED]
    names = [f"k{place}" for place in range(_MIXED)]
    value_names = [f"v{place}" for place in writes]
    statements = [f"m[k{place}] = v{place}" if place in writes else f"m[k{place}]" for place in range(_MIXED)]
    rounds = pool.count // _MIXED

    def tuples(index: int, threads: int) -> Mapping[str, Any]:
        key, value = iter(pool.fresh(index)), iter(_values(index, rounds * len(writes)))
        return {"tuples": list(zip(*[key] * _MIXED, *[value] * len(writes), strict=False))}

    return ThreadRow(
        name,
        f"for {', '.join([*names, *value_names])} in tuples",
        _spelled_all(statements),
        tuples,
        lambda threads: rounds * _MIXED,
        pool.entries,
    )


def private_keys(operations: int, *, global_map: bool = False) -> ThreadRow:
    """Each thread writes and reads keys that no other thread uses, on the map that all share."""

    def private(index: int, threads: int) -> Mapping[str, Any]:
        mine = make_keys.strings(_PRIVATE_KEYS, make_keys.SEED + 1 + index)
        rounds = operations // 2 // _PRIVATE_KEYS
        return {"keys": list(chain.from_iterable(repeat(mine, rounds))), "v": _FIRST_VALUE + index}

    return ThreadRow(
        "private keys, the map a global" if global_map else "private keys, get + set",
        "for k in keys",
        _spelled_all(["m[k] = v", "m[k]"]),
        private,
        lambda threads: operations,
        global_map=global_map,
    )


def _hot(operations: int) -> ThreadRow:
    def hot(index: int, threads: int) -> Mapping[str, Any]:
        return {"k": make_keys.copies(["the hot key"])[0], "rounds": repeat(None, operations)}

    entries = [("the hot key", _FIRST_VALUE)]
    return ThreadRow("one hot key", "for _ in rounds", _spelled("m[k]"), hot, lambda threads: operations, entries)


def _counting(counted: int, different: int) -> ThreadRow:
    """The threads count a list each into one map, all of them the same keys."""

    def words(index: int, threads: int) -> Mapping[str, Any]:
        mine = make_keys.copies(make_keys.strings(different))
        return {"keys": random.Random(index).choices(mine, k=counted // threads)}

    one_by_one = "for k in keys:\n    with lock:\n        m[k] = m.get(k, 0) + 1"
    statements = {
        peers.LOCKED: one_by_one,
        peers.SHARDMAP: "m.count(keys)",
        peers.CEREGGII: "m.reduce_count(keys)",
        PRIVATE: one_by_one.replace("with lock", "if True"),
    }
    return ThreadRow(
        f"bulk counting, {different:,} keys",
        "",
        statements,
        words,
        lambda threads: counted // threads,
        consumes=True,
        may_hang=True,
    )
