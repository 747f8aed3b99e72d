"""Histories of threads at work on a map: what is done in a round, the recorder, and what the checker makes of it.

A round is a small map of one kind, a few keys of one kind, and some threads that do a mix of operations on them, with
or without something in the background. All of it but the schedule follows from the `Round`.

Conventions:

1. Recording must not order the threads: everything that a thread is to do is laid out before it starts, it writes into
   lists of its own, and between two readings of the clock there is the operation alone.
2. Every value is written once in a round, so that a read tells which write it saw; only `add` and the callbacks that add
   one make others.
3. What is recorded is lists of plain values (`Tape`): cheap to hand to another process, which makes operations of them.
"""

from __future__ import annotations

import os
import random
import sys
import threading
from array import array
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter, contains, delitem, getitem, setitem
from time import perf_counter_ns
from typing import Any, TypeAlias

from concurrency import (
    GIL_ENABLED,
    KEY_FAMILIES,
    VARIANTS,
    WATCHDOG_SECONDS,
    AnyMap,
    assert_settled,
    give_way,
    run_threads,
)
from linearizability import KEY_ERROR, Operation

from shardmap import MISSING, ShardMap

__all__ = ["BACKGROUNDS", "CHOICES", "FAMILIES", "MAPS", "MIXES", "PlusOne", "Put", "Recorded", "Round", "record"]

#: On a build with a GIL threads change as often as can be asked for while a round runs.
SWITCH_INTERVAL = 1e-6
#: One of so many steps lets another thread run instead: there are more threads than processors.
PAUSE_EVERY = 24
#: Key objects of a thread for each key, where they are not one and the same for all threads.
KEY_OBJECTS = 16
#: Other keys, which come and go in the background.
OTHERS = 60

# -- callbacks --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Put:
    """A callback that returns a value, or MISSING, whatever was there."""

    value: Any

    def __call__(self, *_: Any) -> Any:
        return self.value


@dataclass(frozen=True)
class PlusOne:
    """A callback whose result shows which value it was given."""

    if_absent: int

    def __call__(self, old: Any, *_: Any) -> Any:
        return self.if_absent if old is MISSING else old + 1


def slowly(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The same callback; while it runs, others do."""

    def slow(*arguments: Any) -> Any:
        os.sched_yield()
        return fn(*arguments)

    return slow


# -- operations -------------------------------------------------------------------------------------------------------


def snapshot_get(m: AnyMap, key: Hashable) -> Any:
    return m.snapshot().get(key)


@dataclass(frozen=True)
class Choice:
    """One way to do an operation: its name and arguments in the specification, the function, and what that is given."""

    name: str
    specified: Callable[[int], tuple[Any, ...]]
    function: Callable[[AnyMap], Callable[..., Any]]
    given: Callable[[AnyMap, Any, int], tuple[Any, ...]]
    #: Takes a value that the thread has seen, after the key: that very object, or an equal one.
    expects: str = ""


def _operator(name: str, fn: Callable[..., Any], *, value: bool = False) -> Choice:
    """What the interpreter does at `m[k]` and the like."""
    if value:
        return Choice(name, _value, lambda m: fn, lambda m, k, v: (m, k, v))
    return Choice(name, _nothing, lambda m: fn, lambda m, k, v: (m, k))


def _method(name: str, method: str = "", *, value: bool = False, expects: str = "") -> Choice:
    """A method that takes the key and perhaps a value."""
    function = attrgetter(method or name)
    if value:
        return Choice(name, _value, function, lambda m, k, v: (k, v), expects)
    return Choice(name, _nothing, function, lambda m, k, v: (k,), expects)


def _bulk(name: str, method: str, given: Callable[[Any, int], Any], *, value: bool = False) -> Choice:
    """A method for many keys, given one."""
    return Choice(name, _value if value else _nothing, attrgetter(method), lambda m, k, v: (given(k, v),))


def _calling(name: str, callback: Callable[[int], Callable[..., Any]], *, slow: bool = False) -> Choice:
    """A method that is given a callback."""

    def given(m: AnyMap, key: Any, value: int) -> tuple[Any, ...]:
        return (key, slowly(callback(value)) if slow else callback(value))

    return Choice(name, lambda v: (callback(v),), attrgetter(name), given)


def _merging(*, slow: bool = False) -> Choice:
    def given(m: AnyMap, key: Any, value: int) -> tuple[Any, ...]:
        return (key, value, slowly(PlusOne(value)) if slow else PlusOne(value))

    return Choice("merge", lambda v: (v, PlusOne(v)), attrgetter("merge"), given)


def _nothing(_: int) -> tuple[Any, ...]:
    return ()


def _value(value: int) -> tuple[Any, ...]:
    return (value,)


#: By label.
CHOICES: dict[str, Choice] = {
    "[]": _operator("[]", getitem),
    "get": _method("get"),
    "get_many": _bulk("get", "get_many", lambda k, v: (k,)),
    "snapshot": Choice("get", _nothing, lambda m: snapshot_get, lambda m, k, v: (m, k)),
    "in": _operator("in", contains),
    "set": _operator("set", setitem, value=True),
    "set_many": _bulk("set", "set_many", lambda k, v: ((k, v),), value=True),
    "update": _bulk("set", "update", lambda k, v: {k: v}, value=True),
    "del": _operator("del", delitem),
    "delete_many": _bulk("delete_many", "delete_many", lambda k, v: (k,)),
    "pop": Choice("pop", _nothing, attrgetter("pop"), lambda m, k, v: (k, None)),
    "setdefault": _method("setdefault", value=True),
    "insert": _method("insert", value=True),
    "replace": _method("replace", value=True),
    "swap": _method("swap", value=True),
    "compare_and_set": _method("compare_and_set", value=True, expects="same"),
    "compare_and_set equal": _method("compare_and_set", value=True, expects="equal"),
    "compare_and_delete": _method("compare_and_delete", expects="same"),
    "compute": _calling("compute", Put),
    "compute slowly": _calling("compute", Put, slow=True),
    "compute to delete": _calling("compute", lambda _: Put(MISSING), slow=True),
    "compute plus one": _calling("compute", PlusOne),
    "compute_if_absent": Choice(
        "compute_if_absent", _value, attrgetter("compute_if_absent"), lambda m, k, v: (k, Put(v))
    ),
    "compute_if_present": _calling("compute_if_present", PlusOne),
    "compute_if_present slowly": _calling("compute_if_present", PlusOne, slow=True),
    "merge": _merging(),
    "merge slowly": _merging(slow=True),
    "add": _method("add", value=True),
    "count": _bulk("count", "count", lambda k, v: (k,)),
}

_READS = {"get": 6, "[]": 6, "in": 2, "get_many": 2}
#: What a round does, as weights of the labels.
MIXES: dict[str, dict[str, int]] = {
    "everything": dict.fromkeys(CHOICES, 1),
    "overwriting": {**_READS, "set": 10, "set_many": 1, "swap": 2, "replace": 2, "del": 1, "insert": 1},
    "coming and going": {**_READS, "set": 3, "insert": 4, "setdefault": 2, "del": 4, "pop": 3, "delete_many": 1},
    "conditional": {
        **_READS,
        "compare_and_set": 4,
        "compare_and_set equal": 4,
        "compare_and_delete": 3,
        "insert": 3,
        "replace": 2,
        "swap": 2,
    },
    "computing": {
        **_READS,
        "add": 4,
        "compute": 2,
        "compute plus one": 3,
        "compute slowly": 1,
        "compute to delete": 1,
        "compute_if_absent": 3,
        "compute_if_present": 2,
        "compute_if_present slowly": 1,
        "merge": 3,
        "merge slowly": 1,
        "set": 2,
        "del": 2,
    },
    "mostly reading": {"get": 30, "[]": 30, "in": 10, "get_many": 10, "snapshot": 1, "set": 6, "pop": 2, "insert": 2},
}

# -- maps and keys ----------------------------------------------------------------------------------------------------


def now_and_then() -> None:
    """Let another thread run, sometimes; nothing that threads share decides when."""
    if perf_counter_ns() // 100 % 4 == 0:
        os.sched_yield()


class Yielding:
    """A key that shares its hash with others; hashing and comparing it lets other threads run now and then."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __hash__(self) -> int:
        now_and_then()
        return self.number // 8

    def __eq__(self, other: object) -> bool:
        now_and_then()
        return isinstance(other, Yielding) and self.number == other.number

    def __repr__(self) -> str:
        return f"Yielding({self.number})"


class Noisy(int):
    """A value; comparing it lets other threads run now and then, freeing it always.

    The latter without a line of Python: at each of these a free-threaded interpreter may free what other threads have
    queued for this one, and call its `__del__` in turn, deeper and deeper.
    """

    def __eq__(self, other: object) -> bool:
        now_and_then()
        return int.__eq__(self, other)

    __hash__ = int.__hash__
    __del__ = os.sched_yield


def _one(name: str) -> Callable[[int], Hashable]:
    """The same object for the same number."""
    made: dict[int, Hashable] = {}
    return lambda number: made.setdefault(number, _FRESH[name](number))


_FRESH: dict[str, Callable[[int], Hashable]] = {
    "int": lambda number: 10**12 + number,
    "bytes": lambda number: b"key %d" % number,
    "tuple": lambda number: (number, f"key {number}"),
    "yielding": Yielding,
    "tuple of yielding": lambda number: (Yielding(number),),
}

#: Where it is not said that there is one, every call makes a new, equal key object.
FAMILIES: dict[str, Callable[[int], Hashable]] = {
    **KEY_FAMILIES,
    **_FRESH,
    **{f"one {name}": _one(name) for name in _FRESH},
    "small int": lambda number: number,
}
#: On a build with a GIL other threads can run amid an operation only where it runs Python code: there these come often.
_DRAWN_FAMILIES = list(FAMILIES) + ["yielding", "tuple of yielding"] * (4 if GIL_ENABLED else 0)

VALUES: dict[str, Callable[[int], int]] = {"int": int, "noisy": Noisy}
_DRAWN_VALUES = ["noisy"] if GIL_ENABLED else list(VALUES)


def _crowded() -> AnyMap:
    """Its tiny buckets overflow at once too, but it is resized only when that is due."""
    made: AnyMap = ShardMap(shards=1)
    made._stress(1, 1, False)
    return made


#: The maps of the thread tests, and one more.
MAPS: dict[str, Callable[[], AnyMap]] = {**VARIANTS, "crowded-one-shard": _crowded}

# -- in the background ------------------------------------------------------------------------------------------------

#: What a background thread has done to all keys: the operation, the result for each key, and its times.
Seen: TypeAlias = tuple[str, tuple[Any, ...], int, int]


@dataclass(frozen=True)
class Behind:
    """What a background thread works with."""

    m: AnyMap
    key: Callable[[int], Hashable]
    keys: int
    seen: list[Seen] = field(default_factory=list)

    def note(self, name: str, results: Iterable[Any], called: int) -> None:
        returned = perf_counter_ns()
        self.seen.append((name, tuple(_plain(results)), called, returned))


def _churn(behind: Behind) -> None:
    """Other keys come and go, so that the buckets around the keys move without end."""
    others = [behind.key(number) for number in range(behind.keys, behind.keys + OTHERS)]
    behind.m.set_many((key, number) for number, key in enumerate(others))
    behind.m.delete_many(others[: OTHERS // 2])
    for key in others[OTHERS // 2 :]:
        behind.m.pop(key, None)
    behind.m.shrink()


def _resize(behind: Behind) -> None:
    behind.m.reserve(1000)
    behind.m.shrink()


def _look(behind: Behind) -> None:
    """A snapshot is a read of every key; an iteration need only end."""
    keys = [behind.key(number) for number in range(behind.keys)]
    called = perf_counter_ns()
    found = behind.m.snapshot()
    behind.note("get", map(found.get, keys), called)
    for _ in behind.m.items():
        pass
    len(list(behind.m.values()))


def _get_all(behind: Behind) -> None:
    keys = [behind.key(number) for number in range(behind.keys)]
    called = perf_counter_ns()
    behind.note("get", behind.m.get_many(keys), called)


def _clear(behind: Behind) -> None:
    """For each key by itself, clearing the map is a deletion."""
    called = perf_counter_ns()
    behind.m.clear()
    behind.note("clear", [None] * behind.keys, called)


BACKGROUNDS: dict[str, Callable[[Behind], None] | None] = {
    "nothing": None,
    "other keys": _churn,
    "reserve and shrink": _resize,
    "snapshot and iterate": _look,
    "get_many": _get_all,
    "clear": _clear,
}

# -- one round --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Round:
    """All that decides what a round does, except for the schedule of the threads."""

    seed: int
    variant: str
    family: str
    values: str
    mix: str
    background: str
    threads: int
    keys: int
    #: Of all threads together.
    operations: int

    @classmethod
    def drawn(
        cls, choose: random.Random, operations: int, threads: int | None = None, maps: Mapping[str, Any] = MAPS
    ) -> Round:
        """Any round."""
        return cls(
            seed=choose.randrange(1 << 32),
            variant=choose.choice(list(maps)),
            family=choose.choice(_DRAWN_FAMILIES),
            values=choose.choice(_DRAWN_VALUES),
            mix=choose.choice(list(MIXES)),
            background=choose.choice(list(BACKGROUNDS)),
            threads=threads or choose.randint(2, 8),
            keys=choose.choice([1, 1, 1, 2, 2, 3, 5, 8]),
            operations=operations,
        )

    def __str__(self) -> str:
        return (
            f"{self.operations} operations ({self.mix}) of {self.threads} threads on {self.keys} keys ({self.family}), "
            f"values: {self.values}, map: {self.variant}, in the background: {self.background}, seed {self.seed}"
        )


def _plain(values: Iterable[Any]) -> list[Any]:
    """Without a value that is more than an int, and for the list that `get_many` answers its element."""
    taken = (value[0] if type(value) is list else value for value in values)
    return [int(value) if isinstance(value, Noisy) else value for value in taken]


@dataclass
class Tape:
    """What one thread did, step by step; a step without a label was a pause."""

    thread: int
    labels: list[str]
    numbers: list[int]
    expected: list[Any] = field(init=False)
    results: list[Any] = field(init=False)
    called: array[int] = field(init=False)
    returned: array[int] = field(init=False)

    def __post_init__(self) -> None:
        steps = len(self.labels)
        self.expected = [None] * steps
        self.results = [None] * steps
        self.called = array("q", bytes(8 * steps))
        self.returned = array("q", bytes(8 * steps))

    def value(self, at: int) -> int:
        """What the step at this place writes. Nobody else writes it, not even by adding ones to another."""
        return (self.thread + 1) * 10**9 + (at + 1) * 10**4

    def make_plain(self) -> None:
        """Leave nothing but plain values."""
        self.expected = _plain(self.expected)
        self.results = _plain(self.results)


@dataclass
class Recorded:
    """A round as it was recorded."""

    round: Round
    began: int
    tapes: list[Tape]
    seen: list[Seen]
    #: The value of every key in the end.
    final: list[Any]

    def histories(self) -> list[list[Operation]]:
        """For every key its operations, with its value in the end as one more read."""
        found: defaultdict[int, list[Operation]] = defaultdict(list)
        for tape in self.tapes:
            self._read(tape, found)
        for name, results, called, returned in self.seen:
            for number, result in enumerate(results):
                found[number].append(
                    Operation(len(self.tapes), name, (), result, called - self.began, returned - self.began)
                )
        end = max((operation.returned for history in found.values() for operation in history), default=0) + 1
        for number, value in enumerate(self.final):
            found[number].append(Operation(-1, "get", (), value, end, end + 1))
        return [found[number] for number in range(self.round.keys)]

    def _read(self, tape: Tape, found: defaultdict[int, list[Operation]]) -> None:
        for at, label in enumerate(tape.labels):
            if not label:
                continue
            choice = CHOICES[label]
            arguments = choice.specified(tape.value(at))
            if choice.expects:
                arguments = (tape.expected[at], *arguments)
            called, returned = tape.called[at] - self.began, tape.returned[at] - self.began
            found[tape.numbers[at]].append(
                Operation(tape.thread, choice.name, arguments, tape.results[at], called, returned)
            )


#: One step of a thread: the number of its key, the call, and which object a seen value is given as, if it takes one.
Step: TypeAlias = tuple[int, Callable[..., Any], tuple[Any, ...], str]


def _laid_out(m: AnyMap, key: Callable[[int], Hashable], thread: int, this: Round) -> tuple[Tape, list[Step]]:
    choose = random.Random(this.seed + thread)
    weights = MIXES[this.mix]
    steps = -(-this.operations // this.threads)
    labels = choose.choices(list(weights), weights=list(weights.values()), k=steps)
    for pause in range(choose.randrange(PAUSE_EVERY), steps, PAUSE_EVERY):
        labels.insert(pause, "")
    numbers = choose.choices(range(this.keys), k=len(labels))
    tape = Tape(thread, labels, numbers)
    as_value = VALUES[this.values]
    objects = [[key(number) for _ in range(KEY_OBJECTS)] for number in range(this.keys)]
    functions = {label: CHOICES[label].function(m) for label in weights}
    program: list[Step] = []
    for at, (label, number) in enumerate(zip(labels, numbers, strict=True)):
        if label:
            choice = CHOICES[label]
            given = choice.given(m, choose.choice(objects[number]), as_value(tape.value(at)))
            program.append((number, functions[label], given, choice.expects))
        else:
            program.append((number, os.sched_yield, (), ""))
    program.reverse()
    return tape, program


def _play(tape: Tape, program: list[Step], keys: int) -> None:
    """Do the steps, the last first, and note what came of them.

    Steps are taken off the program, so that the map alone holds the values and an operation may free what it displaces.
    """
    clock = perf_counter_ns
    results, all_called, all_returned = tape.results, tape.called, tape.returned
    next_step = program.pop
    seen = [0] * keys
    for at in range(len(program)):
        number, fn, arguments, expects = next_step()
        if expects:
            tape.expected[at] = expected = seen[number] if expects == "same" else seen[number] + 0
            arguments = (arguments[0], expected, *arguments[1:])
        called = clock()
        try:
            result = fn(*arguments)
            returned = clock()
        except KeyError as error:
            returned = clock()
            assert error.args == (arguments[-1],)
            result = KEY_ERROR
        all_called[at] = called
        all_returned[at] = returned
        results[at] = result
        if isinstance(result, int) and result > 1:
            seen[number] = result


def record(this: Round, maps: Mapping[str, Callable[[], AnyMap]] = MAPS) -> Recorded:
    """Run the threads of a round on a new map."""
    m = maps[this.variant]()
    key = FAMILIES[this.family]
    tapes: list[Tape] = [Tape(thread, [], []) for thread in range(this.threads)]
    behind = Behind(m, key, this.keys)
    in_background = BACKGROUNDS[this.background]
    laid_out = threading.Barrier(this.threads)

    def body(thread: int) -> None:
        if GIL_ENABLED:
            sys.setswitchinterval(SWITCH_INTERVAL)  # `run_threads` sets it back
        # Here, and not before: on a free-threaded build objects of another thread are freed by that thread.
        tapes[thread], program = _laid_out(m, key, thread, this)
        laid_out.wait(WATCHDOG_SECONDS)
        _play(tapes[thread], program, this.keys)

    def background() -> None:
        if in_background is not None and all(tape.labels for tape in tapes):
            in_background(behind)
        give_way()

    began = perf_counter_ns()
    run_threads(
        [partial(body, thread) for thread in range(this.threads)], [] if in_background is None else [background]
    )
    entries = assert_settled(m)
    for tape in tapes:
        tape.make_plain()
    final = _plain(entries.get(key(number)) for number in range(this.keys))
    return Recorded(this, began, tapes, behind.seen, final)
