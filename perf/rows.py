"""The rows of the one-thread table (``python -m perf.bench``).

Two sizes: 1,000 keys, which stay in the processor's caches and show the instructions; and 200,000 random ones in random
order, where the lines of memory that a lookup touches are what counts.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, repeat
from types import MappingProxyType
from typing import Any

from perf import keys as make_keys
from perf.measure import Row
from perf.peers import CEREGGII, DICT, FT_UTILS, LOCKED, SHARDMAP, spelled

__all__ = ["RESIDENT", "table"]

#: Keys that stay in the caches.
RESIDENT = 1_000

#: Values are beyond the small integers that the interpreter shares.
_FIRST_VALUE = 1_000_000

_NO_TARGETS: Mapping[str, float] = MappingProxyType({})

_COUNT = "with lock:\n    m[k] = m.get(k, 0) + 1"


def table(random_keys: int, resident_operations: int, counted: int, slack: float) -> Iterator[Row]:
    """All rows. ``slack`` is added to the targets (free-threaded builds: reads take a lock)."""
    yield from _resident(resident_operations, slack)
    yield from _random(random_keys, slack)
    yield from _integers(random_keys)
    yield from _atomic(resident_operations)
    yield from _counting(counted)
    yield from _whole(random_keys)


def _entries(keys: Sequence[Any]) -> list[tuple[Any, int]]:
    return list(zip(keys, range(_FIRST_VALUE, _FIRST_VALUE + len(keys)), strict=True))


def _always(**arguments: Any) -> Callable[[], Mapping[str, Any]]:
    return lambda: arguments


def _always_fresh(keys: Sequence[str]) -> Callable[[], Mapping[str, Any]]:
    return lambda: {"keys": make_keys.copies(keys)}


def _over(keys: Sequence[Any], operations: int) -> list[Any]:
    """The keys again and again, in one list, so that one loop is long enough for the clock."""
    return list(chain.from_iterable(repeat(make_keys.shuffled(keys), max(1, operations // len(keys)))))


def _resident(operations: int, slack: float) -> Iterator[Row]:
    group = f"{RESIDENT:,} str keys"
    keys = make_keys.strings(RESIDENT)
    entries = _entries(keys)
    own = _over(keys, operations)
    equal = _over(make_keys.copies(keys), operations)
    others = _over(make_keys.strings(RESIDENT, make_keys.SEED + 1), operations)

    def row(name: str, statements: Mapping[str, str], looked_up: list[Any], target: float | None = None) -> Row:
        arguments = _always(keys=looked_up, v=_FIRST_VALUE)
        targets = {} if target is None else {DICT: target + slack}
        return Row(group, name, "for k in keys", statements, len(looked_up), arguments, entries, targets=targets)

    contains = spelled("k in m", cereggii="")
    yield row("m[k]", spelled("m[k]"), own, 1.10)
    yield row("m[k] = v", spelled("m[k] = v"), own, 1.15)
    yield row("k in m", contains, own, 1.15)
    yield row("m.get(k)", spelled("m.get(k)"), own, 1.25)
    yield row("k in m, absent", contains, others, 1.15)
    yield row("m.get(k), absent", spelled("m.get(k)"), others, 1.25)
    yield row("m[k], equal keys", spelled("m[k]"), equal)
    yield row("m[k] = v, equal keys", spelled("m[k] = v"), equal)
    numbers = make_keys.integers(RESIDENT)
    group = f"{RESIDENT:,} int keys"
    entries = _entries(numbers)
    yield row("m[k]", spelled("m[k]"), _over(numbers, operations))
    yield row("m[k] = v", spelled("m[k] = v"), _over(numbers, operations))


def _random(count: int, slack: float) -> Iterator[Row]:
    group = f"{count:,} random str keys"
    keys = make_keys.strings(count)
    entries = _entries(keys)
    own = make_keys.shuffled(keys)
    equal = make_keys.copies(own)
    others = make_keys.strings(count, make_keys.SEED + 1)
    values = list(range(2 * _FIRST_VALUE, 2 * _FIRST_VALUE + count))
    get, put = spelled("m[k]"), spelled("m[k] = v")
    each, pairs = "for k in keys", "for k, v in zip(keys, values)"

    def fresh_pairs() -> Mapping[str, Any]:
        return {"keys": make_keys.copies(own), "values": values}

    in_order, equal_pairs = _always(keys=keys, values=values), _always(keys=equal, values=values)
    own_only, own_pairs = _always(keys=own), _always(keys=own, values=values)
    bound = {DICT: 1.15 + slack}
    yield Row(group, "get, fresh keys", each, get, count, _always_fresh(own), entries, targets=bound)
    yield Row(group, "get, equal keys hashed before", each, get, count, _always(keys=equal), entries, targets=bound)
    yield Row(group, "get, own keys", each, get, count, own_only, entries, targets=bound)
    yield Row(group, "get, own keys, as inserted", each, get, count, in_order, entries)
    yield Row(group, "m.get(k), absent", each, spelled("m.get(k)"), count, _always(keys=others), entries)
    yield Row(group, "insert, growing", pairs, put, count, in_order, consumes=True, targets=bound)
    yield Row(group, "insert, growing, fresh keys", pairs, put, count, fresh_pairs, consumes=True, targets=bound)
    yield Row(group, "overwrite, fresh keys", pairs, put, count, fresh_pairs, entries, targets=bound)
    yield Row(group, "overwrite, equal keys hashed before", pairs, put, count, equal_pairs, entries, targets=bound)
    yield Row(group, "overwrite, own keys", pairs, put, count, own_pairs, entries, targets=bound)
    yield Row(group, "delete, own keys", each, spelled("del m[k]"), count, own_only, entries, consumes=True)


def _integers(count: int) -> Iterator[Row]:
    get, put = spelled("m[k]"), spelled("m[k] = v")
    values = list(range(2 * _FIRST_VALUE, 2 * _FIRST_VALUE + count))
    for kind, keys in (("random", make_keys.integers(count)), ("consecutive", make_keys.consecutive(count))):
        group = f"{count:,} {kind} int keys"
        entries = _entries(keys)
        looked_up = _always(keys=make_keys.shuffled(keys) if kind == "random" else keys)
        pairs = _always(keys=keys, values=values)
        yield Row(group, "get", "for k in keys", get, count, looked_up, entries)
        yield Row(group, "insert, growing", "for k, v in zip(keys, values)", put, count, pairs, consumes=True)


def _atomic(operations: int) -> Iterator[Row]:
    """Against the lock and ``dict`` that a program would otherwise need."""
    group = f"read-modify-write, {RESIDENT:,} str keys"
    keys = make_keys.strings(RESIDENT)
    entries = [(key, _FIRST_VALUE) for key in keys]
    own = _over(keys, operations)

    def row(name: str, statements: Mapping[str, str], targets: Mapping[str, float] = _NO_TARGETS) -> Row:
        arguments = _always(keys=own, v=_FIRST_VALUE, missing=object(), make=_make, plus=_plus)
        each = "for k in keys"
        return Row(group, name, each, statements, len(own), arguments, entries, baseline=LOCKED, targets=targets)

    yield row("add(k)", {DICT: "m[k] = m.get(k, 0) + 1", LOCKED: _COUNT, SHARDMAP: "m.add(k)"}, {LOCKED: 0.2})
    hit = "with lock:\n    if (got := m.get(k, missing)) is missing:\n        got = m[k] = make(k)"
    yield row(
        "compute_if_absent(k, fn), present",
        {DICT: hit.replace("with lock", "if True"), LOCKED: hit, SHARDMAP: "m.compute_if_absent(k, make)"},
    )
    yield row(
        "merge(k, v, fn)",
        # Of 0: values that grow without end would measure the addition of long integers.
        {LOCKED: "with lock:\n    m[k] = plus(m[k], 0)", SHARDMAP: "m.merge(k, 0, plus)"},
    )
    yield row("setdefault(k, v), present", spelled("m.setdefault(k, v)", cereggii=""))
    yield row(
        "swap(k, v)",
        {LOCKED: "with lock:\n    old = m.get(k)\n    m[k] = v", SHARDMAP: "m.swap(k, v)"},
    )
    yield row(
        "compare_and_set(k, v, v)",
        {
            LOCKED: "with lock:\n    if m.get(k, missing) == v:\n        m[k] = v",
            SHARDMAP: "m.compare_and_set(k, v, v)",
            CEREGGII: "m.compare_and_set(k, v, v)",
        },
    )


def _make(key: object) -> int:
    return _FIRST_VALUE


def _plus(old: int, new: int) -> int:
    return old + new


def _counting(counted: int) -> Iterator[Row]:
    """``count``'s baseline is ``Counter.update``, which is neither atomic nor safe to share."""
    group = f"counting {counted:,} keys from empty"
    chosen = random.Random(make_keys.SEED)
    statements = {
        DICT: "m.update(keys)",
        LOCKED: "for k in keys:\n    with lock:\n        m[k] = m.get(k, 0) + 1",
        SHARDMAP: "m.count(keys)",
        CEREGGII: "m.reduce_count(keys)",
    }
    for different in (64, 10_000):
        keys = chosen.choices(make_keys.strings(different), k=counted)
        for kind, arguments in (("own", _always(keys=keys)), ("fresh", _always_fresh(keys))):
            yield Row(
                group,
                f"count(keys), {different:,} different, {kind} keys",
                "",
                statements,
                counted,
                arguments,
                consumes=True,
                makes={DICT: Counter},
                may_hang=(CEREGGII,),
                targets={DICT: 1.0, CEREGGII: 1.0},
            )


def _whole(count: int) -> Iterator[Row]:
    """Operations on many keys and on all of them; nanoseconds an entry, nothing subtracted."""
    keys = make_keys.strings(count)
    entries = _entries(keys)
    own = make_keys.shuffled(keys)
    many = spelled(
        "got = [m.get(k) for k in keys]",
        locked="with lock:\n    got = [m.get(k) for k in keys]",
        shardmap="got = m.get_many(keys)",
    )

    few = keys[:RESIDENT]
    group = "bulk and whole map"
    resident = _always(keys=make_keys.shuffled(few))
    yield Row(group, f"get_many, {len(few):,} own keys", "", many, len(few), resident, _entries(few))
    yield Row(group, f"get_many, {count:,} own keys", "", many, count, _always(keys=own), entries)
    yield Row(group, f"get_many, {count:,} fresh keys", "", many, count, _always_fresh(own), entries)
    snapshot = {
        DICT: "got = dict(m)",
        LOCKED: "with lock:\n    got = dict(m)",
        SHARDMAP: "got = m.snapshot()",
        CEREGGII: "got = dict(m.fast_iter())",
        FT_UTILS: "got = m.as_dict()",
    }
    nothing = _always(nothing=None)
    yield Row(group, f"snapshot(), {count:,} entries", "", snapshot, count, nothing, entries)
    for name, loop, sources in (
        ("for k in m", "for k in {}: pass", {DICT: "m", SHARDMAP: "m", FT_UTILS: "m"}),
        (
            "for k, v in m.items()",
            "for k, v in {}: pass",
            {DICT: "m.items()", SHARDMAP: "m.items()", CEREGGII: "m.fast_iter()", FT_UTILS: "m.items()"},
        ),
    ):
        statements = {peer: loop.format(source) for peer, source in sources.items()}
        yield Row(group, f"{name}, {count:,} entries", "", statements, count, nothing, entries)
