"""The rows of ByteMap's table of one thread (``python -m perf.byte_bench``): 16-byte keys, 64-byte values.

Two sizes: 1,000 keys, which stay in the processor's caches and show the instructions; and a million, of which random
ones are looked up in random order, where the lines of memory that a look-up touches are what counts. A dict finds its
own keys by identity and hashes fresh ones; ByteMap hashes all but those objects that its thread has used lately, which
of 1,000 own or equal keys are all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import cycle, islice
from types import MappingProxyType
from typing import Any

from perf import keys as make_keys
from perf.measure import Row
from perf.peers import BYTEMAP, DICT, LOCKED, spelled

__all__ = ["RESIDENT", "table"]

#: Keys that stay in the caches.
RESIDENT = 1_000

_VALUE_BYTES = 64

#: Keys of one ``get_many``.
_AT_ONCE = 1_000

#: ByteMap's time over dict's.
_READ: Mapping[str, float] = MappingProxyType({DICT: 1.6})
_WRITE: Mapping[str, float] = MappingProxyType({DICT: 2.0})
_NO_TARGET: Mapping[str, float] = MappingProxyType({})

_EACH, _PAIRS = "for k in keys", "for k, v in zip(keys, values)"

#: Makes a loop's arguments, before each measurement.
Arguments = Callable[[], Mapping[str, Any]]


def table(many: int, operations: int) -> Iterator[Row]:
    """All rows: for 1,000 entries and for many, in loops of so many operations."""
    for count in (RESIDENT, many):
        work = _Work(count, operations)
        yield from _reads(work)
        yield from _writes(work)
        yield from _counting(work)
    yield from _growing(many)


class _Work:
    """The entries of a map, and the keys that a loop looks up in it."""

    def __init__(self, count: int, operations: int) -> None:
        self.group = f"{count:,} keys"
        self.count = count
        self.operations = operations
        self.keys = make_keys.byte_strings(count)
        self.entries = [(key, _value(key)) for key in self.keys]
        chosen = make_keys.shuffled(self.keys)[:operations]
        self.own = self.repeated(chosen)
        self.equal = self.repeated(make_keys.byte_copies(chosen))
        for key in self.equal:
            hash(key)
        self.others = self.repeated(make_keys.byte_strings(min(count, operations), make_keys.SEED + 1))
        self.values = self.repeated([_value(key[::-1]) for key in chosen])

    def repeated(self, items: Sequence[bytes]) -> list[bytes]:
        """As many as a loop has operations, so that it is long enough for the clock."""
        return list(islice(cycle(items), self.operations))

    def kinds(self) -> Iterator[tuple[str, Arguments]]:
        """The kinds of keys that a program looks up, with values to set."""
        yield "own keys", lambda: {"keys": self.own, "values": self.values}
        yield "equal keys hashed before", lambda: {"keys": self.equal, "values": self.values}
        yield "fresh keys", lambda: {"keys": make_keys.byte_copies(self.own), "values": self.values}

    def row(
        self,
        name: str,
        loop: str,
        statements: Mapping[str, str],
        arguments: Arguments,
        targets: Mapping[str, float] = _NO_TARGET,
        baseline: str = DICT,
    ) -> Row:
        entries = self.entries
        return Row(
            self.group, name, loop, statements, self.operations, arguments, entries, targets=targets, baseline=baseline
        )


def _in_parts(arguments: Arguments) -> Mapping[str, Any]:
    """The keys in lists as long as a program's may be: the results of a long one would be made in new memory."""
    keys = arguments()["keys"]
    return {"parts": [keys[first : first + _AT_ONCE] for first in range(0, len(keys), _AT_ONCE)]}


def _value(key: bytes) -> bytes:
    """64 bytes of the key's own: entries that shared a value object would share its cache line."""
    return key * (_VALUE_BYTES // len(key))


def _reads(work: _Work) -> Iterator[Row]:
    for kind, arguments in work.kinds():
        yield work.row(f"m.get(k), {kind}", _EACH, spelled("m.get(k)"), arguments, _READ)
        yield work.row(f"m[k], {kind}", _EACH, spelled("m[k]"), arguments, _READ)
        yield work.row(f"k in m, {kind}", _EACH, spelled("k in m"), arguments)
    absent = {"keys": work.others}
    yield work.row("m.get(k), absent", _EACH, spelled("m.get(k)"), lambda: absent)
    yield work.row("k in m, absent", _EACH, spelled("k in m"), lambda: absent)
    one_by_one = "[m.get(k) for k in some]"
    many = spelled(one_by_one, locked=f"with lock:\n    {one_by_one}", bytemap="m.get_many(some)")
    for kind, arguments in work.kinds():
        yield work.row(f"get_many, {kind}", "for some in parts", many, partial(_in_parts, arguments))


def _writes(work: _Work) -> Iterator[Row]:
    for kind, arguments in work.kinds():
        yield work.row(f"m.set(k, v), {kind}", _PAIRS, spelled("m[k] = v", bytemap="m.set(k, v)"), arguments, _WRITE)
        yield work.row(f"m[k] = v, {kind}", _PAIRS, spelled("m[k] = v"), arguments, _WRITE)
    there_and_gone = {
        name: f"{statement}\n{statement.replace('m[k] = v', 'del m[k]')}"
        for name, statement in spelled("m[k] = v").items()
    }
    absent = {"keys": work.others, "values": work.values}
    yield work.row("m[k] = v; del m[k], absent before", _PAIRS, there_and_gone, lambda: absent)


def _counting(work: _Work) -> Iterator[Row]:
    """Against the lock and dict that a program would otherwise need."""
    add = "m[k] = b'%d' % (int(m.get(k, b'0')) + 1)"
    statements = {DICT: add, LOCKED: f"with lock:\n    {add}", BYTEMAP: "m.add(k)"}
    numbers = [(key, b"1000000") for key in work.keys]
    own = {"keys": work.own}
    yield Row(work.group, "add(k), own keys", _EACH, statements, work.operations, lambda: own, numbers, baseline=LOCKED)


def _growing(count: int) -> Iterator[Row]:
    """From nothing to all entries, and back."""
    keys = make_keys.byte_strings(count)
    entries = [(key, _value(key)) for key in keys]
    values = [value for _, value in entries]
    in_order = make_keys.shuffled(keys)
    put, group = spelled("m[k] = v"), f"{count:,} keys, from none to all and back"

    def fresh() -> Mapping[str, Any]:
        return {"keys": make_keys.byte_copies(keys), "values": values}

    yield Row(group, "insert, fresh keys", _PAIRS, put, count, fresh, consumes=True, targets=_WRITE)
    yield Row(
        group,
        "delete, own keys",
        _EACH,
        spelled("del m[k]"),
        count,
        lambda: {"keys": in_order},
        entries,
        consumes=True,
    )
