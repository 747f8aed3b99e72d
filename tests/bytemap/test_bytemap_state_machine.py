"""Random sequences of all operations, on a byte map and on a plain dict at once; everything must agree, always.

hypothesis makes the sequences and shrinks a failing one. After every step the invariants of the map are walked, its
entries and its times to live compared, and every view that is held looked at. The keys are few, and their objects come
again; tables are tiny and always on the move; with a bound, a write may be refused, and then nothing has changed, or
evict, and then what is left must be right.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from bytemaps import LONG, AnyMap, policy
from concurrency import scaled
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from shardmap import ByteMap

SETTINGS = settings(
    max_examples=scaled(50),
    stateful_step_count=40,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)

KEYS = st.one_of(
    st.sampled_from([b"", b"\0", b"a", b"b", b"key", b"key\0", b"12345678", b"123456789", b"k" * 40, b"k" * 41]),
    st.integers(0, 30).map(lambda number: b"%d" % number),
    st.sampled_from([b"large key" * 100, b"large kez" * 100]),
)
#: Often of sizes that fit where another value was, or just do not; some in memory of their own.
VALUES = st.one_of(
    st.sampled_from([b"", b"v", b"w", b"0", b"7", b"-1", b"9223372036854775807", b"value 1", b"value 12"]),
    st.builds(lambda octet, size: octet * size, st.sampled_from([b"x", b"y"]), st.integers(0, 70)),
    st.builds(lambda octet, size: octet * size, st.sampled_from([b"l", b"m"]), st.integers(400, 3000)),
)
PAIRS = st.lists(st.tuples(KEYS, VALUES), max_size=8)
TTLS = st.sampled_from([None, None, LONG])
REFUSED = "refused"


class ByteMapMachine(RuleBasedStateMachine):
    """One map, one dict of values, one set of the keys that have a time to live."""

    shards: ClassVar[int] = 1
    slots: ClassVar[int] = 1
    limit: ClassVar[int] = 0
    eviction: ClassVar[str] = "noeviction"

    def __init__(self) -> None:
        super().__init__()
        self.m: AnyMap
        self.entries: dict[bytes, bytes] = {}
        self.mortal: set[bytes] = set()
        self.views: list[tuple[memoryview, bytes]] = []
        self.iterators: list[tuple[Iterator[bytes], set[bytes], list[bytes]]] = []

    @initialize(seed=st.integers(0, 2**64 - 1), pairs=PAIRS)
    def begin(self, seed: int, pairs: list[tuple[bytes, bytes]]) -> None:
        self.m = ByteMap.__new__(ByteMap)
        self.m._configure(self.shards, seed, self.limit, policy(self.eviction), 0, self.slots, 1, True)
        for key, value in pairs:
            self.set_item(key, value)

    # -- helpers ------------------------------------------------------------------------------------------------------

    def attempt(self, call: Callable[[], Any]) -> Any:
        """What a write returns, or REFUSED if the bound does not allow it; without a bound it is never refused."""
        try:
            return call()
        except MemoryError:
            assert self.limit
            return REFUSED

    def note(self, key: bytes, value: bytes, ttl: float | None) -> None:
        self.entries[key] = value
        (self.mortal.discard if ttl is None else self.mortal.add)(key)

    def forget(self, key: bytes) -> None:
        self.entries.pop(key, None)
        self.mortal.discard(key)

    def reconcile(self) -> None:
        """What has been evicted is no longer expected."""
        if self.eviction != "noeviction":
            present = set(self.m)
            for key in self.entries.keys() - present:
                assert self.eviction == "allkeys-lru" or key in self.mortal, "an entry without a time to live went"
                self.forget(key)

    # -- always -------------------------------------------------------------------------------------------------------

    @invariant()
    def sound(self) -> None:
        self.m._check()
        memory = self.m.memory()
        assert self.limit == 0 or memory.reserved <= self.limit

    @invariant()
    def agrees(self) -> None:
        self.reconcile()
        assert self.m.snapshot() == self.entries
        assert len(self.m) == len(self.entries)
        assert dict(self.m.items()) == self.entries
        assert self.m.memory().content >= sum(len(key) + len(value) for key, value in self.entries.items())
        for key, value in self.entries.items():
            assert self.m[key] == value
            left = self.m.ttl(key)
            assert (left is not None) == (key in self.mortal)
            assert left is None or 0 < left <= LONG

    @invariant()
    def views_are_unchanged(self) -> None:
        for view, value in self.views:
            assert view == value
        assert self.m.stats()["kept"] >= len(self.views)
        for _, throughout, _ in self.iterators:
            throughout.intersection_update(self.entries)

    # -- reading ------------------------------------------------------------------------------------------------------

    @rule(key=KEYS)
    def look_up(self, key: bytes) -> None:
        expected = self.entries.get(key)
        for same in (key, bytes(bytearray(key)), bytearray(key)):
            assert self.m.get(same) == expected
            assert (same in self.m) == (expected is not None)
        assert self.m.get_many([key, key], b"default") == [b"default" if expected is None else expected] * 2

    @rule(key=KEYS)
    def hold_view(self, key: bytes) -> None:
        view = self.m.get_view(key)
        assert (view is None) == (key not in self.entries)
        if view is not None:
            self.views.append((view, self.entries[key]))

    @rule(which=st.integers(0, 100))
    def drop_view(self, which: int) -> None:
        if self.views:
            del self.views[which % len(self.views)]

    @rule()
    def begin_iterating(self) -> None:
        del self.iterators[2:]
        self.iterators.append((iter(self.m), set(self.entries), []))

    @rule(which=st.integers(0, 2), steps=st.sampled_from([1, 3, 1000]))
    def iterate(self, which: int, steps: int) -> None:
        if not self.iterators:
            return
        iterator, throughout, yielded = self.iterators[which % len(self.iterators)]
        for _ in range(steps):
            try:
                yielded.append(next(iterator))
            except StopIteration:
                assert throughout <= set(yielded), "a key that was always present is missing"
                del self.iterators[which % len(self.iterators)]
                break
        assert len(yielded) == len(set(yielded)), "a key came twice"

    # -- writing one key ----------------------------------------------------------------------------------------------

    @rule(key=KEYS, value=VALUES)
    def set_item(self, key: bytes, value: bytes) -> None:
        if self.attempt(lambda: self.m.__setitem__(key, value)) != REFUSED:
            self.note(key, value, None)

    @rule(key=KEYS, value=VALUES, ttl=TTLS)
    def set_with_ttl(self, key: bytes, value: bytes, ttl: float | None) -> None:
        if self.attempt(lambda: self.m.set(key, value, ttl=ttl)) != REFUSED:
            self.note(key, value, ttl)

    @rule(key=KEYS, value=VALUES, ttl=TTLS, name=st.sampled_from(["insert", "replace"]))
    def set_if(self, key: bytes, value: bytes, ttl: float | None, name: str) -> None:
        due = (key in self.entries) == (name == "replace")
        done = self.attempt(lambda: getattr(self.m, name)(key, value, ttl=ttl))
        if done is True:
            # To make room for it, with eviction, the entry itself may have gone first.
            assert due or self.eviction != "noeviction"
            self.note(key, value, ttl)
        else:
            assert not due or done == REFUSED or self.eviction != "noeviction"

    @rule(key=KEYS, expected=VALUES, right=st.booleans(), value=VALUES, ttl=TTLS)
    def compare_and_set(self, key: bytes, expected: bytes, right: bool, value: bytes, ttl: float | None) -> None:
        if right:
            expected = self.entries.get(key, expected)
        done = self.attempt(lambda: self.m.compare_and_set(key, expected, value, ttl=ttl))
        if done is True:
            assert self.entries[key] == expected
            self.note(key, value, ttl)
        else:
            assert self.entries.get(key) != expected or done == REFUSED or self.eviction != "noeviction"

    @rule(key=KEYS, value=VALUES)
    def swap(self, key: bytes, value: bytes) -> None:
        former = self.attempt(lambda: self.m.swap(key, value))
        if former != REFUSED:
            assert former == self.entries.get(key) or (former is None and self.eviction != "noeviction")
            self.note(key, value, None)

    @rule(key=KEYS, value=VALUES)
    def set_default(self, key: bytes, value: bytes) -> None:
        found = self.attempt(lambda: self.m.setdefault(key, value))
        if found != REFUSED:
            if key not in self.entries or self.eviction != "noeviction":
                assert found in (value, self.entries.get(key))
                if found != self.entries.get(key):
                    self.note(key, value, None)
                self.mortal = {each for each in self.m if self.m.ttl(each) is not None} & {*self.mortal, key}
            else:
                assert found == self.entries[key]

    @rule(key=KEYS, delta=st.sampled_from([1, -1, 0, 10**6, 2**63 - 1]))
    def add(self, key: bytes, delta: int) -> None:
        value = self.entries.get(key, b"0")
        try:
            number = int(value) if value == b"%d" % int(value) else None
        except ValueError:
            number = None
        try:
            total = self.m.add(key, delta)
        except (ValueError, OverflowError):
            assert number is None or number + delta >= 2**63 or len(key) > 490
        except MemoryError:
            assert self.limit
        else:
            assert number is not None
            assert total == number + delta
            self.entries[key] = b"%d" % total

    @rule(key=KEYS)
    def expire(self, key: bytes) -> None:
        done = self.attempt(lambda: self.m.expire(key, LONG))
        if done is True:
            assert key in self.entries
            self.mortal.add(key)
        else:
            assert done == REFUSED or key not in self.entries

    @rule(key=KEYS)
    def persist(self, key: bytes) -> None:
        assert self.m.persist(key) is (key in self.mortal)
        self.mortal.discard(key)

    # -- removing -----------------------------------------------------------------------------------------------------

    @rule(key=KEYS)
    def pop(self, key: bytes) -> None:
        assert self.m.pop(key, None) == self.entries.get(key)
        self.forget(key)

    @rule(key=KEYS, expected=VALUES, right=st.booleans())
    def compare_and_delete(self, key: bytes, expected: bytes, right: bool) -> None:
        if right:
            expected = self.entries.get(key, expected)
        assert self.m.compare_and_delete(key, expected) is (self.entries.get(key) == expected)
        if self.entries.get(key) == expected:
            self.forget(key)

    @rule()
    def pop_item(self) -> None:
        if self.entries:
            key, value = self.m.popitem()
            assert self.entries[key] == value
            self.forget(key)

    @rule(keys=st.lists(KEYS, max_size=8))
    def delete_many(self, keys: list[bytes]) -> None:
        assert self.m.delete_many(keys) == len(self.entries.keys() & set(keys))
        for key in keys:
            self.forget(key)

    @rule(modulus=st.integers(1, 3))
    def retain(self, modulus: int) -> None:
        gone = {key for key, value in self.entries.items() if len(key + value) % modulus == 0}
        assert self.m.retain(lambda key, value: len(key + value) % modulus) == len(gone)
        for key in gone:
            self.forget(key)

    @rule()
    def clear(self) -> None:
        self.m.clear()
        self.entries.clear()
        self.mortal.clear()

    # -- many at once -------------------------------------------------------------------------------------------------

    @rule(pairs=PAIRS, ttl=TTLS)
    def set_many(self, pairs: list[tuple[bytes, bytes]], ttl: float | None) -> None:
        for key, value in pairs:
            if self.attempt(lambda: self.m.set_many([(key, value)], ttl=ttl)) == REFUSED:
                break
            self.reconcile()
            self.note(key, value, ttl)

    @rule(count=st.integers(1, 80), size=st.integers(0, 40))
    def fill(self, count: int, size: int) -> None:
        for number in range(count):
            self.set_item(b"fill %d" % number, b"f" * size)

    @rule(keep=st.integers(0, 20))
    def thin(self, keep: int) -> None:
        for key in list(self.entries)[keep:]:
            del self.m[key]
            self.forget(key)

    # -- the whole map ------------------------------------------------------------------------------------------------

    @rule(room=st.integers(0, 300))
    def reserve(self, room: int) -> None:
        self.attempt(lambda: self.m.reserve(room))

    @rule()
    def shrink(self) -> None:
        self.attempt(self.m.shrink)

    @rule()
    def sweep(self) -> None:
        assert self.m.sweep() == 0

    @rule(n=st.integers(1, 5))
    def partitions(self, n: int) -> None:
        found = [pair for part in self.m.partitions(n) for pair in part]
        assert len(found) == len(self.entries)
        assert dict(found) == self.entries

    @rule(how=st.sampled_from([ByteMap.copy, copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]))
    def copies(self, how: Callable[[AnyMap], AnyMap]) -> None:
        made = self.attempt(lambda: how(self.m))
        if made != REFUSED:
            made._check()
            if self.eviction == "noeviction":
                assert made == self.entries
                assert {key for key in made if made.ttl(key) is not None} == self.mortal
            else:
                assert made.snapshot().items() <= self.entries.items()

    def teardown(self) -> None:
        self.iterators.clear()
        self.m.clear()
        self.m._check()
        for view, value in self.views:
            assert view == value
            view.release()
        assert self.m.stats()["kept"] == self.m.memory().used == self.m.memory().content == 0
        self.m._check()


class OneSlotMachine(ByteMapMachine):
    """Every bucket overflows with the second key."""


class TwoShardsMachine(ByteMapMachine):
    shards = 2
    slots = 2


class BoundedMachine(ByteMapMachine):
    """Writes are refused all the time."""

    slots = 12
    limit = 64 * 1024


class LruMachine(BoundedMachine):
    eviction = "allkeys-lru"


class TtlMachine(BoundedMachine):
    shards = 2
    limit = 128 * 1024
    eviction = "volatile-ttl"


for machine in (OneSlotMachine, TwoShardsMachine, BoundedMachine, LruMachine, TtlMachine):
    machine.TestCase.settings = SETTINGS
TestOneSlot = OneSlotMachine.TestCase
TestTwoShards = TwoShardsMachine.TestCase
TestBounded = BoundedMachine.TestCase
TestLru = LruMachine.TestCase
TestTtl = TtlMachine.TestCase
