"""Every operation on one key is linearizable: recorded histories of threads at work are judged by `linearizability`.

Each round works a few keys of a small map with all operations; every value is written once in a round, so that a read
tells which write it saw. The map is of the stressed kind, whose buckets overflow and move all the time.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any, TypeAlias

import pytest
from concurrency import SETUPS, AnyMap, Setup, assert_settled, give_way, new_random, on_every_setup, run_copies, scaled
from linearizability import ABSENT, KEY_ERROR, Operation, explain

from shardmap import MISSING

OPERATIONS = 250
ROUNDS = scaled(12)


# -- what the threads do ----------------------------------------------------------------------------------------------


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
        give_way()
        return fn(*arguments)

    return slow


#: Name, arguments for the specification, and how it is done; all are given a new value and one that was seen.
Choice: TypeAlias = tuple[str, Callable[[int, Any], tuple[Any, ...]], Callable[[AnyMap, Any, int, Any], Any]]
CHOICES: list[Choice] = [
    ("[]", lambda value, seen: (), lambda m, k, value, seen: m[k]),
    ("get", lambda value, seen: (), lambda m, k, value, seen: m.get(k)),
    ("get", lambda value, seen: (), lambda m, k, value, seen: m.get_many([k])[0]),
    ("get", lambda value, seen: (), lambda m, k, value, seen: m.snapshot().get(k)),
    ("in", lambda value, seen: (), lambda m, k, value, seen: k in m),
    ("set", lambda value, seen: (value,), lambda m, k, value, seen: m.__setitem__(k, value)),
    ("set", lambda value, seen: (value,), lambda m, k, value, seen: m.set_many([(k, value)])),
    ("set", lambda value, seen: (value,), lambda m, k, value, seen: m.update({k: value})),
    ("del", lambda value, seen: (), lambda m, k, value, seen: m.__delitem__(k)),
    ("delete_many", lambda value, seen: (), lambda m, k, value, seen: m.delete_many([k])),
    ("pop", lambda value, seen: (), lambda m, k, value, seen: m.pop(k, None)),
    ("setdefault", lambda value, seen: (value,), lambda m, k, value, seen: m.setdefault(k, value)),
    ("insert", lambda value, seen: (value,), lambda m, k, value, seen: m.insert(k, value)),
    ("replace", lambda value, seen: (value,), lambda m, k, value, seen: m.replace(k, value)),
    ("swap", lambda value, seen: (value,), lambda m, k, value, seen: m.swap(k, value)),
    (
        "compare_and_set",
        lambda value, seen: (seen, value),
        lambda m, k, value, seen: m.compare_and_set(k, seen, value),
    ),
    ("compare_and_delete", lambda value, seen: (seen,), lambda m, k, value, seen: m.compare_and_delete(k, seen)),
    ("compute", lambda value, seen: (Put(value),), lambda m, k, value, seen: m.compute(k, slowly(Put(value)))),
    ("compute", lambda value, seen: (Put(MISSING),), lambda m, k, value, seen: m.compute(k, slowly(Put(MISSING)))),
    ("compute", lambda value, seen: (PlusOne(value),), lambda m, k, value, seen: m.compute(k, PlusOne(value))),
    ("compute_if_absent", lambda value, seen: (value,), lambda m, k, value, seen: m.compute_if_absent(k, Put(value))),
    (
        "compute_if_present",
        lambda value, seen: (PlusOne(value),),
        lambda m, k, value, seen: m.compute_if_present(k, slowly(PlusOne(value))),
    ),
    (
        "merge",
        lambda value, seen: (value, PlusOne(value)),
        lambda m, k, value, seen: m.merge(k, value, slowly(PlusOne(value))),
    ),
    ("add", lambda value, seen: (value,), lambda m, k, value, seen: m.add(k, value)),
    ("count", lambda value, seen: (), lambda m, k, value, seen: m.count([k])),
]


class Recorder:
    """One thread's operations on the map, each with its times and its result."""

    def __init__(self, m: AnyMap, setup: Setup, thread: int, seed: int, keys: int) -> None:
        self.m = m
        self.setup = setup
        self.thread = thread
        self.choose = random.Random(seed + thread)
        self.keys = keys
        self.seen: list[Any] = [None] * keys
        self.history: list[tuple[int, Operation]] = []

    def record(self, number: int, choice: Choice, value: int) -> None:
        name, arguments, do = choice
        key = self.setup.key(number)
        seen = self.seen[number]
        called = perf_counter_ns()
        try:
            result = do(self.m, key, value, seen)
        except KeyError as error:
            assert error.args == (key,)
            result = KEY_ERROR
        returned = perf_counter_ns()
        if isinstance(result, int) and result > 1:
            self.seen[number] = result
        self.history.append((number, Operation(self.thread, name, arguments(value, seen), result, called, returned)))

    def run(self, operations: int) -> list[tuple[int, Operation]]:
        for written in range(1, operations + 1):
            # Nobody else writes this value, not even by adding ones to another.
            value = (self.thread + 1) * 10**9 + written * 10**4
            self.record(self.choose.randrange(self.keys), self.choose.choice(CHOICES), value)
        return self.history


# -- and whether it was right -----------------------------------------------------------------------------------------


def judge(recorded: list[list[tuple[int, Operation]]], entries: dict[int, Any]) -> None:
    """Every key's history, with the value that the key has in the end as one more read."""
    histories: defaultdict[int, list[Operation]] = defaultdict(list)
    for history in recorded:
        for number, operation in history:
            histories[number].append(operation)
    end = max(operation.returned for history in histories.values() for operation in history) + 1
    for number, operations in histories.items():
        operations.append(Operation(-1, "get", (), entries.get(number), end, end + 1))
        explanation = explain(operations)
        assert explanation is None, f"key {number}: {explanation}"


@on_every_setup
@pytest.mark.parametrize("threads", [2, 4])
def test_single_key_operations_are_linearizable(setup: Setup, threads: int) -> None:
    choose = new_random()
    for _ in range(ROUNDS):
        m = setup.new()
        seed = choose.randrange(1 << 32)
        keys = choose.randrange(1, 6)
        recorded = run_copies(lambda thread: Recorder(m, setup, thread, seed, keys).run(OPERATIONS), threads)
        entries = assert_settled(m)
        judge(recorded, {number: entries.get(setup.key(number)) for number in range(keys)})


@on_every_setup
def test_they_are_while_other_keys_come_and_go(setup: Setup) -> None:
    """The same while the buckets around the keys move without end, and the whole map is looked at."""
    choose = new_random()
    for _ in range(ROUNDS):
        m = setup.new()
        seed = choose.randrange(1 << 32)
        keys = 3

        def churn() -> None:
            numbers = range(keys, keys + 60)
            m.set_many((setup.key(number), number) for number in numbers)
            m.snapshot()
            m.delete_many(setup.key(number) for number in numbers)
            m.shrink()

        recorded = run_copies(
            lambda thread: Recorder(m, setup, thread, seed, keys).run(OPERATIONS), 3, background=[churn]
        )
        entries = assert_settled(m)
        judge(recorded, {number: entries.get(setup.key(number)) for number in range(keys)})


def test_a_map_that_loses_updates_is_found_out() -> None:
    """The recorder and the checker together notice a map whose additions are not atomic."""

    class Careless(dict[Any, Any]):
        def add(self, key: Any) -> int:
            old = self.get(key, 0)
            give_way()
            self[key] = old + 1
            return int(self[key])

    add: Choice = ("add", lambda value, seen: (value,), lambda m, k, value, seen: m.add(k))
    for _ in range(1000):
        m: Any = Careless()

        def body(thread: int) -> list[tuple[int, Operation]]:
            recorder = Recorder(m, SETUPS[0], thread, 0, 1)
            for _ in range(20):
                recorder.record(0, add, 1)
            return recorder.history

        recorded = run_copies(body)
        explanation = explain([operation for history in recorded for _, operation in history])
        if explanation is not None:
            assert "not linearizable; the state before was one of" in explanation
            return
    raise AssertionError("nothing was lost, or it was not noticed")


def test_absent_is_what_a_map_cannot_hold() -> None:
    assert ABSENT is MISSING
