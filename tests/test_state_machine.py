"""Random sequences of all operations, on the map and on `plain_map.PlainMap` at once; everything must agree, always.

hypothesis makes the sequences and shrinks a failing one. After every step the invariants of the map are walked and its
entries compared, keys and values by identity. A failure prints the steps and a ``@reproduce_failure`` line.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

import pytest
from concurrency import VARIANTS, AnyMap, Colliding, scaled
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from plain_map import PlainMap

from shardmap import MISSING, ShardMap

_T = TypeVar("_T")

SETTINGS = settings(
    max_examples=scaled(50),
    stateful_step_count=50,
    deadline=None,
    derandomize=False,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)

# -- keys and values --------------------------------------------------------------------------------------------------

#: Small families whose members are often equal without being identical, or collide without being equal.
KEYS = st.one_of(
    # hash(-1) == hash(-2), hash(2**61 - 1) == hash(0), hash(2**61) == hash(1)
    st.sampled_from([-2, -1, 0, 1, 2, 3, 2**61 - 1, 2**61, 2**62]),
    st.sampled_from([-1.0, -0.0, 0.0, 1.0, 0.5, True, False, 1 + 0j, float(2**61)]),
    st.sampled_from([None, (), "", b""]),
    st.integers(0, 5).map("text {}".format),
    st.sampled_from([f"text {n}" for n in range(6)]),
    st.integers(0, 5).map(lambda n: b"bytes %d" % n),
    st.integers(0, 3).map(lambda n: (n, float(n))),
    st.integers(0, 3).map(lambda n: (float(n), n)),
    st.integers(0, 2).map(lambda n: frozenset({n})),
    # All with the hash of the int 1, and with the hash of 2.
    st.integers(0, 9).map(lambda label: Colliding(label, 1)),
    st.integers(10, 13).map(lambda label: Colliding(label, 2)),
)
VALUES = st.one_of(
    st.none(), st.integers(-2, 3), st.sampled_from([0.0, 1.0, True, "", "a", 10**20]), st.tuples(st.integers(0, 2))
)
PAIRS = st.lists(st.tuples(KEYS, VALUES), max_size=8)
OTHERS = st.dictionaries(KEYS, VALUES, max_size=8)
NUMBERS = st.sampled_from([1, -1, 0, 2, 0.5, 10**20])


class CallbackError(Exception):
    """Raised by callbacks and iterables; the operation must pass it on."""


class Callback:
    """What a callback does when called, and with what it was called; the map and the reference each get their own."""

    def __init__(self, kind: str, value: Any) -> None:
        self.kind = kind
        self.value = value
        self.calls: list[tuple[Any, ...]] = []

    def fresh(self) -> Callback:
        return Callback(self.kind, self.value)

    def __call__(self, *arguments: Any) -> Any:
        self.calls.append(arguments)
        if self.kind == "raise":
            raise CallbackError
        return {"return": self.value, "delete": MISSING, "keep": arguments[0], "wrap": (arguments,)}[self.kind]

    def __repr__(self) -> str:
        return f"Callback({self.kind!r}, {self.value!r})"


CALLBACKS = st.builds(Callback, st.sampled_from(["return", "return", "delete", "keep", "wrap", "raise"]), VALUES)


def then_raise(items: Iterable[_T], raises: bool) -> Iterator[_T]:
    yield from items
    if raises:
        raise CallbackError


def same(found: Any, expected: Any) -> bool:
    """Identical, or equal and of one type (a sum is computed twice)."""
    return found is expected or (type(found) is type(expected) and found == expected)


def outcome(call: Callable[[], Any]) -> tuple[Any, Any]:
    """What a call returned, or the type of what it raised and, for KeyError, the key."""
    try:
        return "returned", call()
    except (CallbackError, LookupError, ValueError, TypeError, RuntimeError) as error:
        return type(error), error.args if isinstance(error, KeyError) else None


class Iteration:
    """An iterator on its way through a changing map, and what it may and must still yield."""

    def __init__(self, kind: str, iterator: Iterator[Any], entries: Mapping[Any, Any]) -> None:
        self.kind = kind
        self.iterator = iterator
        self.throughout = set(entries)
        self.ever: dict[Any, list[Any]] = {}
        self.yielded: list[Any] = []
        self.observe(entries)

    def observe(self, entries: Mapping[Any, Any]) -> None:
        self.throughout &= entries.keys()
        for key, value in entries.items():
            values = self.ever.setdefault(key, [])
            if not any(value is known for known in values):
                values.append(value)

    def advance(self, steps: int) -> bool:
        """False when it has ended; then it has yielded what it must."""
        for _ in range(steps):
            try:
                element = next(self.iterator)
            except StopIteration:
                if self.kind != "values":
                    assert self.throughout <= set(self.yielded), "a key that was always present is missing"
                assert next(self.iterator, self) is self, "an iterator that has ended goes on"
                return False
            if self.kind == "values":
                assert any(any(same(element, value) for value in values) for values in self.ever.values())
                continue
            key = element if self.kind == "keys" else element[0]
            assert key in self.ever
            if self.kind == "items":
                assert any(same(element[1], value) for value in self.ever[key])
            assert key not in self.yielded, f"{key!r} came twice: {self.yielded}"
            self.yielded.append(key)
        return True


class MapMachine(RuleBasedStateMachine):
    """One map, one reference, all operations on both. Each variant of the map has a subclass."""

    variant: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.m: AnyMap
        self.reference = PlainMap()
        self.iterations: list[Iteration] = []
        # Which entry popitem takes, or an iterator yields next, must not differ when a sequence is repeated.
        self.environment = pytest.MonkeyPatch()

    def both(self, name: str, *arguments: Any) -> None:
        """Call the method of that name on both; callbacks are copied, iterators are to be wrapped in a function."""

        def call(target: Any) -> tuple[tuple[Any, Any], list[list[tuple[Any, ...]]]]:
            callbacks = [a.fresh() if isinstance(a, Callback) else a for a in arguments]
            made = [a() if getattr(a, "__name__", "") == "<lambda>" else a for a in callbacks]
            result = outcome(lambda: getattr(target, name)(*made))
            return result, [c.calls for c in callbacks if isinstance(c, Callback)]

        (how, result), calls = call(self.m)
        (expected_how, expected), expected_calls = call(self.reference)
        assert how == expected_how, f"{name}: {how}, not {expected_how}"
        assert same(result, expected), f"{name} gives {result!r}, not {expected!r}"
        assert calls == expected_calls, f"{name} called back with {calls}, not {expected_calls}"

    def adopt(self, made: AnyMap) -> None:
        """Go on with an equal map made from this one; with its entries, where the variant needs a map of its own."""
        made._check()
        assert made == self.reference
        assert made is not self.m
        self.m = made
        if self.variant != "default":
            self.m = VARIANTS[self.variant]()
            self.m.update(made)
        self.reference = PlainMap(self.m.snapshot())
        self.iterations.clear()

    @initialize(entries=PAIRS, capacity=st.sampled_from([0, 0, 1, 100]), seed=st.integers(0, 2**64 - 1))
    def begin(self, entries: list[tuple[Any, Any]], capacity: int, seed: int) -> None:
        self.environment.setenv("SHARDMAP_HASH_SEED", str(seed))
        self.m = VARIANTS[self.variant]()
        self.m.reserve(capacity)
        self.m.update(entries)
        self.reference.update(entries)

    # -- always -------------------------------------------------------------------------------------------------------

    @invariant()
    def sound(self) -> None:
        self.m._check()

    @invariant()
    def agrees(self) -> None:
        m, reference = self.m, self.reference
        assert len(m) == len(reference) == m.stats()["entries"]
        assert bool(m) == bool(reference)
        found = {id(key): value for key, value in m.items()}
        expected = {id(key): value for key, value in reference.items()}
        assert found.keys() == expected.keys(), f"{m} has not the keys of {reference}"
        for identity, value in expected.items():
            assert same(found[identity], value), f"{m} has not the values of {reference}"
        assert m == reference
        assert {id(key) for key in m} == expected.keys()

    @invariant()
    def settled(self) -> None:
        stats = self.m.stats()
        assert (stats["reserved"], stats["waiting"]) == (0, 0)

    @invariant()
    def iterators_see_it(self) -> None:
        for iteration in self.iterations:
            iteration.observe(self.reference)

    @rule()
    def forget(self) -> None:
        """What follows finds its keys by the table, not where this thread found them before."""
        self.m._forget()

    # -- mapping ------------------------------------------------------------------------------------------------------

    @rule(key=KEYS)
    def look_up(self, key: Any) -> None:
        self.both("__getitem__", key)
        self.both("__contains__", key)
        self.both("get", key)
        self.both("get", key, "default")
        assert self.m.shard_of(key) in range(self.m.stats()["shards"])

    @rule(key=KEYS, value=VALUES)
    def set_item(self, key: Any, value: Any) -> None:
        self.both("__setitem__", key, value)

    @rule(key=KEYS)
    def delete_item(self, key: Any) -> None:
        self.both("__delitem__", key)

    @rule(key=KEYS, value=VALUES)
    def set_default(self, key: Any, value: Any) -> None:
        self.both("setdefault", key, value)

    @rule(key=KEYS)
    def set_default_of_none(self, key: Any) -> None:
        self.both("setdefault", key)

    @rule(key=KEYS)
    def pop(self, key: Any) -> None:
        self.both("pop", key)

    @rule(key=KEYS, default=VALUES)
    def pop_with_default(self, key: Any, default: Any) -> None:
        self.both("pop", key, default)

    @rule()
    def pop_item(self) -> None:
        how, pair = outcome(self.m.popitem)
        if self.reference:
            key, value = pair
            assert same(self.reference.pop(key), value)
        else:
            assert how is KeyError

    @rule()
    def clear(self) -> None:
        self.both("clear")

    @rule(other=OTHERS, kind=st.sampled_from(["dict", "pairs", "iterator", "map", "proxy"]), method=st.booleans())
    def update(self, other: dict[Any, Any], kind: str, method: bool) -> None:
        makers: dict[str, Callable[[], Any]] = {
            "dict": lambda: other,
            "pairs": lambda: list(other.items()),
            "iterator": lambda: iter(other.items()),
            "map": lambda: ShardMap(other),
            "proxy": lambda: MappingProxyType(other),
        }
        (self.m.update if method else self.m.__ior__)(makers[kind]())
        self.reference.update(other)

    @rule(value=VALUES, also=OTHERS)
    def update_with_keywords(self, value: Any, also: dict[Any, Any]) -> None:
        self.m.update(also, entries=value, shards=value)
        self.reference.update(also, entries=value, shards=value)

    @rule(other=OTHERS)
    def operators(self, other: dict[Any, Any]) -> None:
        union: dict[Any, Any] = self.reference | other
        reversed_union: dict[Any, Any] = other | self.reference
        for made, expected in (
            (self.m | other, union),
            (self.m | ShardMap(other), union),
            (other | self.m, reversed_union),
        ):
            made._check()
            assert type(made) is ShardMap
            assert made == expected
        assert (self.m == other) == (self.reference == other)
        assert (self.m != ShardMap(other)) == (self.reference != other)
        assert (other == self.m) == (other == self.reference)
        assert self.m != list(self.reference)

    @rule(keys=st.lists(KEYS, max_size=5), value=VALUES)
    def from_keys(self, keys: list[Any], value: Any) -> None:
        assert ShardMap.fromkeys(keys, value) == dict.fromkeys(keys, value)

    @rule(other=st.sets(KEYS, max_size=6), value=VALUES)
    def views(self, other: set[Any], value: Any) -> None:
        keys, items = self.m.keys(), self.m.items()
        assert keys & other == self.reference.keys() & other
        assert keys | other == self.reference.keys() | other
        assert keys - other == self.reference.keys() - other
        assert keys ^ other == self.reference.keys() ^ other
        assert other - keys == other - self.reference.keys()
        assert keys.isdisjoint(other) == self.reference.keys().isdisjoint(other)
        assert (keys <= other, keys >= other) == (self.reference.keys() <= other, self.reference.keys() >= other)
        pairs = {(key, value) for key in other}
        assert items & pairs == self.reference.items() & pairs
        assert items - pairs == self.reference.items() - pairs
        assert all((pair in items) == (pair in self.reference.items()) for pair in pairs)
        assert (value in self.m.values()) == (value in self.reference.values())
        assert len(self.m.values()) == len(items) == len(keys) == len(self.reference)
        assert self.m.view() == self.reference

    # -- conditional --------------------------------------------------------------------------------------------------

    @rule(key=KEYS, value=VALUES)
    def insert(self, key: Any, value: Any) -> None:
        self.both("insert", key, value)

    @rule(key=KEYS, value=VALUES)
    def replace(self, key: Any, value: Any) -> None:
        self.both("replace", key, value)

    @rule(key=KEYS, value=VALUES)
    def swap(self, key: Any, value: Any) -> None:
        self.both("swap", key, value)

    @rule(key=KEYS, value=VALUES, default=VALUES)
    def swap_with_default(self, key: Any, value: Any, default: Any) -> None:
        self.both("swap", key, value, default)

    @rule(key=KEYS, expected=VALUES, value=VALUES, right=st.booleans())
    def compare_and_set(self, key: Any, expected: Any, value: Any, right: bool) -> None:
        self.both("compare_and_set", key, self.reference.get(key, expected) if right else expected, value)

    @rule(key=KEYS, expected=VALUES, right=st.booleans())
    def compare_and_delete(self, key: Any, expected: Any, right: bool) -> None:
        self.both("compare_and_delete", key, self.reference.get(key, expected) if right else expected)

    @rule(key=KEYS, name=st.sampled_from(["__setitem__", "insert", "replace", "swap", "compare_and_set", "merge"]))
    def missing_cannot_be_stored(self, key: Any, name: str) -> None:
        more = {"compare_and_set": [0, MISSING], "merge": [MISSING, Callback("keep", None)]}.get(name, [MISSING])
        self.both(name, key, *more)

    # -- compute ------------------------------------------------------------------------------------------------------

    @rule(key=KEYS, callback=CALLBACKS)
    def compute(self, key: Any, callback: Callback) -> None:
        self.both("compute", key, callback)

    @rule(key=KEYS, callback=CALLBACKS)
    def compute_if_absent(self, key: Any, callback: Callback) -> None:
        self.both("compute_if_absent", key, callback)

    @rule(key=KEYS, callback=CALLBACKS)
    def compute_if_present(self, key: Any, callback: Callback) -> None:
        self.both("compute_if_present", key, callback)

    @rule(key=KEYS, value=VALUES, callback=CALLBACKS)
    def merge(self, key: Any, value: Any, callback: Callback) -> None:
        self.both("merge", key, value, callback)

    @rule(
        key=KEYS,
        steps=st.lists(
            st.one_of(
                st.tuples(st.sampled_from(["__setitem__", "swap", "insert", "setdefault"]), KEYS, VALUES),
                st.tuples(st.sampled_from(["add", "__delitem__", "pop", "get", "__contains__"]), KEYS),
                st.tuples(st.just("compute"), KEYS, CALLBACKS),
                st.tuples(st.sampled_from(["clear", "shrink", "snapshot", "__len__"])),
                st.tuples(st.just("reserve"), st.integers(0, 200)),
            ),
            max_size=4,
        ),
        callback=CALLBACKS,
    )
    def callback_that_uses_the_map(self, key: Any, steps: list[tuple[Any, ...]], callback: Callback) -> None:
        """The running callback writes other keys, and fails to write its own, until the map is cleared."""

        def run(target: Any) -> tuple[tuple[Any, Any], list[tuple[Any, Any]]]:
            mine = callback.fresh()
            log: list[tuple[Any, Any]] = []

            def fn(old: Any) -> Any:
                for name, *arguments in steps:
                    made = [a.fresh() if isinstance(a, Callback) else a for a in arguments]
                    log.append(outcome(lambda: getattr(target, name)(*made)))
                return mine(old)

            return outcome(lambda: target.compute(key, fn)), log

        own_key = {"insert", "setdefault", "__delitem__", "pop"}
        steps = [step for step in steps if step[0] not in own_key or step[1] != key]
        found, expected = run(self.m), run(self.reference)
        assert found == expected

    # -- counting -----------------------------------------------------------------------------------------------------

    @rule(key=KEYS, delta=NUMBERS)
    def add(self, key: Any, delta: Any) -> None:
        self.both("add", key, delta)

    @rule(key=KEYS)
    def add_one(self, key: Any) -> None:
        self.both("add", key)

    @rule(keys=st.lists(KEYS, max_size=12), raises=st.booleans())
    def count(self, keys: list[Any], raises: bool) -> None:
        countable = [key for key in keys if isinstance(self.reference.get(key, 0), int | float)]
        self.both("count", lambda: then_raise(countable, raises))
        # Counting in batches, the map may keep another one of several equal new keys, such as 1 and 1.0.
        self.reference = PlainMap((key, self.reference[key]) for key in self.m)

    # -- bulk ---------------------------------------------------------------------------------------------------------

    @rule(keys=st.lists(KEYS, max_size=20), default=VALUES)
    def get_many(self, keys: list[Any], default: Any) -> None:
        self.both("get_many", keys)
        self.both("get_many", keys, default)
        self.both("get_many", lambda: iter(keys), default)

    @rule(pairs=PAIRS, raises=st.booleans())
    def set_many(self, pairs: list[tuple[Any, Any]], raises: bool) -> None:
        self.both("set_many", lambda: then_raise(pairs, raises))

    @rule(other=OTHERS)
    def set_many_of_a_mapping(self, other: dict[Any, Any]) -> None:
        self.both("set_many", other)

    @rule(keys=st.lists(KEYS, max_size=8), raises=st.booleans())
    def delete_many(self, keys: list[Any], raises: bool) -> None:
        self.both("delete_many", lambda: then_raise(keys, raises))

    @rule(start=st.integers(0, 100), count=st.integers(1, 150), value=VALUES)
    def fill(self, start: int, count: int, value: Any) -> None:
        """Enough at once to grow every kind of map."""
        pairs = [(number, value) for number in range(start, start + count)]
        self.both("set_many", pairs)

    @rule(start=st.integers(0, 100), count=st.integers(1, 150))
    def empty(self, start: int, count: int) -> None:
        self.both("delete_many", list(range(start, start + count)))

    @rule(modulus=st.integers(1, 4), remainder=st.integers(0, 3))
    def retain(self, modulus: int, remainder: int) -> None:
        def keep(key: Any, value: Any) -> bool:
            return len(repr((key, value))) % modulus != remainder

        self.both("retain", keep)

    @rule(after=st.integers(0, 3))
    def retain_that_raises(self, after: int) -> None:
        """What was judged before is removed, nothing else."""
        judged: list[Any] = []

        def judge(key: Any, value: Any) -> bool:
            if len(judged) == after:
                raise CallbackError
            judged.append(key)
            return False

        assert outcome(lambda: self.m.retain(judge))[0] is (
            CallbackError if len(self.reference) > after else "returned"
        )
        self.reference.delete_many(judged)

    @rule(n=st.sampled_from([1, 2, 3, 8, 100]))
    def partitions(self, n: int) -> None:
        partitions = self.m.partitions(n)
        assert len(partitions) == n
        pairs = [pair for partition in partitions for pair in partition]
        assert len(pairs) == len(self.reference)
        assert dict(pairs) == self.reference

    # -- iteration ----------------------------------------------------------------------------------------------------

    @rule(kind=st.sampled_from(["keys", "values", "items", "partition"]))
    def begin_iterating(self, kind: str) -> None:
        makers: dict[str, Callable[[], Iterator[Any]]] = {
            "keys": lambda: iter(self.m),
            "values": lambda: iter(self.m.values()),
            "items": lambda: iter(self.m.items()),
            "partition": lambda: self.m.partitions(1)[0],
        }
        del self.iterations[3:]
        self.iterations.append(Iteration("items" if kind == "partition" else kind, makers[kind](), self.reference))

    @rule(which=st.integers(0, 3), steps=st.sampled_from([1, 2, 5, 1000]))
    def iterate(self, which: int, steps: int) -> None:
        if not self.iterations:
            return
        iteration = self.iterations[which % len(self.iterations)]
        if not iteration.advance(steps):
            self.iterations.remove(iteration)

    # -- whole map ----------------------------------------------------------------------------------------------------

    @rule()
    def snapshot(self) -> None:
        self.both("snapshot")

    @rule(other=OTHERS)
    def diff(self, other: dict[Any, Any]) -> None:
        expected = self.reference.diff(other)
        assert tuple(self.m.diff(other)) == expected
        assert tuple(self.m.diff(ShardMap(other))) == expected

    @rule(n=st.integers(0, 300))
    def reserve(self, n: int) -> None:
        self.both("reserve", n)

    @rule()
    def shrink(self) -> None:
        self.both("shrink")

    @rule(how=st.sampled_from([ShardMap.copy, copy.copy, copy.deepcopy]))
    def copy(self, how: Callable[[AnyMap], AnyMap]) -> None:
        self.adopt(how(self.m))

    @rule(protocol=st.integers(2, pickle.HIGHEST_PROTOCOL))
    def pickle(self, protocol: int) -> None:
        self.adopt(pickle.loads(pickle.dumps(self.m, protocol)))

    @rule()
    def construct(self) -> None:
        self.adopt(ShardMap(self.m, shards=2, capacity=10))
        self.adopt(ShardMap(iter(self.m.items())))

    def teardown(self) -> None:
        self.environment.undo()
        for iteration in self.iterations:
            assert not iteration.advance(10**6)
        self.both("clear")
        self.m._check()


class DefaultMachine(MapMachine):
    variant = "default"


class OneShardMachine(MapMachine):
    variant = "one-shard"


class StressedMachine(MapMachine):
    variant = "stressed"


class StressedOneShardMachine(MapMachine):
    variant = "stressed-one-shard"


for machine in (DefaultMachine, OneShardMachine, StressedMachine, StressedOneShardMachine):
    machine.TestCase.settings = SETTINGS
TestDefault = DefaultMachine.TestCase
TestOneShard = OneShardMachine.TestCase
TestStressed = StressedMachine.TestCase
TestStressedOneShard = StressedOneShardMachine.TestCase
