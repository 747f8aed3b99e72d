"""On free-threaded builds, reading a key and overwriting a present one take no lock; and what that must not break.

The first half locks every shard and shows that nobody notices, for all types of keys and in the middle of growth. The
second half lets overwriters run against the operations that have to get along with them without a lock: those on the
whole map, and those that move entries.
"""

from __future__ import annotations

import gc
import itertools
import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from functools import partial
from typing import Any, Self

import pytest
from concurrency import (
    THREADS,
    AnyMap,
    Setup,
    assert_same_elements,
    assert_settled,
    join_all,
    on_every_setup,
    run_copies,
    run_threads,
    scaled,
    stressed,
    wait_until,
)
from hostile import Key
from reclamation import (
    Stalled,
    Worker,
    can_stall_writers,
    clean_slate,
    free_threaded_only,
    used_by_turns,
)
from reservations import Held, key_error, must_not_run

from shardmap import MISSING, ShardMap

# -- with all shards locked -------------------------------------------------------------------------------------------

can_hold = pytest.mark.skipif(not hasattr(ShardMap, "_hold"), reason="needs a core that can hold its locks for a test")


class AllLocked:
    """Every shard of the map is locked by another thread in the ``with`` block."""

    def __init__(self, m: Any) -> None:
        self.flags = bytearray(2)
        self.thread = threading.Thread(target=lambda: m._hold(self.flags), name="holds all locks", daemon=True)

    def __enter__(self) -> Self:
        self.thread.start()
        wait_until(lambda: self.flags[0] == 1)
        return self

    def __exit__(self, *_: object) -> None:
        self.flags[1] = 1
        join_all([self.thread])


KEYS = 40

#: Keys by their numbers; each call makes a new object, as far as the type lets it.
KEY_TYPES: dict[str, Callable[[int], Hashable]] = {
    "str": lambda number: f"key {number}",
    "not ASCII": lambda number: f"ключ {number}",
    "int": lambda number: number + 10**6,
    "small int": lambda number: number,
    "bytes": lambda number: b"key %d" % number,
    "tuple": lambda number: (number, f"{number}"),
    "float": lambda number: number + 0.5,
    "custom": lambda number: Key(number, number),
    "custom, colliding": lambda number: Key(number, number // 8),
}
key_types = pytest.mark.parametrize("make_key", KEY_TYPES.values(), ids=KEY_TYPES)


def growing(shards: int = 2) -> AnyMap:
    """A map all of whose shards have an old table beside the new one, after some inserts."""
    return stressed(2, shards=shards)


MAPS: dict[str, Callable[[], AnyMap]] = {
    "default": ShardMap,
    "one-shard": partial(ShardMap, shards=1),
    "growing": growing,
}
on_maps = pytest.mark.parametrize("variant", MAPS)


def filled(variant: str, make_key: Callable[[int], Hashable]) -> AnyMap:
    """KEYS keys, each with its number."""
    m = MAPS[variant]()
    for number in range(KEYS):
        m[make_key(number)] = number
    fillers = itertools.count()
    while variant == "growing" and m.stats()["growing"] < 2:
        m["filler", next(fillers)] = None
    return m


#: On a key that has this number: operation and result. None changes the value.
READS: dict[str, Callable[[Any, Any, int], tuple[object, object]]] = {
    "[]": lambda m, key, number: (m[key], number),
    "get": lambda m, key, number: (m.get(key), number),
    "get with a default": lambda m, key, number: (m.get(key, -1), number),
    "in": lambda m, key, number: (key in m, True),
    "get_many": lambda m, key, number: (m.get_many([key, key]), [number, number]),
    "a view": lambda m, key, number: (m.view()[key], number),
    "keys": lambda m, key, number: (key in m.keys(), True),  # noqa: SIM118
    "items": lambda m, key, number: ((key, number) in m.items(), True),
    "len": lambda m, key, number: (len(m) >= KEYS, True),
    "setdefault": lambda m, key, number: (m.setdefault(key, -1), number),
    "insert": lambda m, key, number: (m.insert(key, -1), False),
    "compute_if_absent": lambda m, key, number: (m.compute_if_absent(key, must_not_run), number),
    "compare_and_set, other": lambda m, key, number: (m.compare_and_set(key, -1, -2), False),
}
#: The same, and the value is the number again at last.
OVERWRITES: dict[str, Callable[[Any, Any, int], tuple[object, object]]] = {
    "[]=": lambda m, key, number: ((m.__setitem__(key, 500), m[key], m.__setitem__(key, number)), (None, 500, None)),
    "the same value": lambda m, key, number: (m.__setitem__(key, m[key]), None),
    "replace": lambda m, key, number: ((m.replace(key, 500), m[key], m.replace(key, number)), (True, 500, True)),
    "swap": lambda m, key, number: ((m.swap(key, 500), m.swap(key, number)), (number, 500)),
    "compare_and_set": lambda m, key, number: (
        (m.compare_and_set(key, number, 500), m.compare_and_set(key, number, 501), m.compare_and_set(key, 500, number)),
        (True, False, True),
    ),
    "add": lambda m, key, number: ((m.add(key), m.add(key, -1)), (number + 1, number)),
    "add of floats": lambda m, key, number: (
        (m.add(key, 0.5), m.add(key, -0.5), m.compare_and_set(key, number, number)),
        (number + 0.5, number, True),
    ),
    "update": lambda m, key, number: (m.update({key: 500}) or m.update([(key, number)]), None),
    "set_many": lambda m, key, number: (m.set_many([(key, 500), (key, number)]), None),
    "count": lambda m, key, number: (m.count([key, key]) or m.add(key, -2), number),
}
ABSENT: dict[str, Callable[[AnyMap, Any], tuple[object, object]]] = {
    "[]": lambda m, key: (key_error(lambda: m[key]), "KeyError"),
    "get": lambda m, key: (m.get(key), None),
    "get with a default": lambda m, key: (m.get(key, -1), -1),
    "in": lambda m, key: (key in m, False),
    "get_many": lambda m, key: (m.get_many([key] * 20, 7), [7] * 20),
}


@can_hold
@free_threaded_only
@on_maps
@key_types
@pytest.mark.parametrize("remembered", [False, True], ids=["", "remembered"])
def test_nothing_is_locked(variant: str, make_key: Callable[[int], Hashable], remembered: bool) -> None:
    """Key objects that the thread has looked up often before, and equal ones that it sees for the first time."""
    m = filled(variant, make_key)
    keys = list(m) if remembered else [make_key(number) for number in range(KEYS)]
    # Without the keys that only make the map grow.
    numbers = {key: m[key] for key in keys if m[key] is not None}

    def operate() -> None:
        for table in (READS, OVERWRITES):
            for name, operation in table.items():
                for key, number in numbers.items():
                    found, expected = operation(m, key, number)
                    # Not in the assertion: a failure's report would want to print the map.
                    now = m[key]
                    assert (found, now) == (expected, number), name
        for name, look in ABSENT.items():
            for absent in range(KEYS, 2 * KEYS):
                found, expected = look(m, make_key(absent))
                assert found == expected, name

    def remember() -> None:
        for _ in range(200):
            for key in keys:
                m[key]

    used_by_turns(m)
    with Worker() as worker:
        worker(remember if remembered else lambda: m.get(None))
        clean_slate()
        with AllLocked(m):
            worker(operate)
    if variant == "growing":
        assert m.stats()["growing"] == 2
    assert {key: number for key, number in assert_settled(m).items() if number is not None} == {
        make_key(number): number for number in range(KEYS)
    }


@can_hold
@free_threaded_only
@on_maps
def test_readers_of_a_key_that_is_being_computed(variant: str) -> None:
    m = used_by_turns(filled(variant, KEY_TYPES["str"]))
    key = "key 0"

    def read() -> None:
        for name in ("[]", "get", "get with a default", "in", "get_many", "a view"):
            found, expected = READS[name](m, key, 0)
            assert found == expected, name

    with Worker() as worker, Held(m, key, 5):
        worker(lambda: m.get(None))
        with AllLocked(m):
            worker(read)
    assert m[key] == 5


@can_hold
@free_threaded_only
def test_of_two_threads_that_overwrite_none_waits_for_the_other() -> None:
    """Nor for the locks: nothing of what they do needs them, whoever wins."""
    m = used_by_turns(ShardMap({"key": 0, "other": 0}))
    clean_slate()

    def body(thread: int) -> None:
        for number in range(1, scaled(3000)):
            m["key"] = (thread, number)
            m.add("other")
            found, value = m["key"]
            assert found != thread or value == number

    with AllLocked(m):
        run_copies(body, 3)
    assert m["other"] == 3 * (scaled(3000) - 1)
    assert_settled(m)


#: What needs the lock of the key's shard, or all.
LOCKING: dict[str, Callable[[AnyMap], object]] = {
    "a new key": lambda m: m.__setitem__("new", 1),
    "insert": lambda m: m.insert("new", 1),
    "setdefault": lambda m: m.setdefault("new", 1),
    "del": lambda m: m.__delitem__("key"),
    "pop": lambda m: m.pop("key"),
    "popitem": lambda m: m.popitem(),
    "compute": lambda m: m.compute("key", lambda old: 2),
    "snapshot": lambda m: m.snapshot(),
    "clear": lambda m: m.clear(),
    "shrink": lambda m: m.shrink(),
    "iteration": lambda m: list(m),
}


@can_hold
@free_threaded_only
@pytest.mark.parametrize("operation", LOCKING.values(), ids=LOCKING)
def test_the_locks_are_really_held(operation: Callable[[AnyMap], object]) -> None:
    """Without this the tests above would show nothing."""
    m = used_by_turns(ShardMap({"key": 1}))
    with Worker() as worker:
        worker(lambda: m["key"])
        with AllLocked(m):
            worker.begin(lambda: operation(m))
            wait_until(lambda: not worker.busy or worker.waits())
            assert worker.busy
            found = m["key"]
            assert found == 1
        worker.end()
    assert_settled(m)


# -- overwriters and the whole map ------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def slate() -> None:
    clean_slate()


writers_stall = pytest.mark.skipif(
    not can_stall_writers(), reason="needs a core that can stall an overwriter for a test"
)


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Who waits for an overwriter stays attached, since it holds locks, and a collection would wait for it; that the
    overwriter stalls is this test's doing."""
    gc.disable()
    yield
    gc.enable()


@writers_stall
@free_threaded_only
@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize(
    "look", [lambda m: m.snapshot(), lambda m: m.copy(), lambda m: m == {"key": 2}], ids=["snapshot", "copy", "=="]
)
def test_a_snapshot_waits_for_an_overwriter(look: Callable[[AnyMap], object]) -> None:
    """Who is in the middle of an overwrite may have looked before whether the map is frozen. Readers go on."""
    m = used_by_turns(ShardMap({"key": 1, (2,): 2}))
    with Worker() as observer, Worker() as reader:
        for worker in (observer, reader):
            worker(lambda: [m["key"] for _ in range(200)])
        with Stalled(writing=True):
            observer.begin(lambda: look(m))
            wait_until(lambda: not observer.busy or observer.waits())
            assert observer.busy
            found = reader(lambda: [m["key"], m.get((2,)), "key" in m, m.get_many(["key", 5])])
            assert found == [1, 2, True, [1, None]]
        assert observer.end() in ({"key": 1, (2,): 2}, False)
    assert_settled(m)


#: With a key that the thread has looked up often, and with one that it has not.
ONE_STEP: dict[str, Callable[[Any, Any], object]] = {
    "[]=": lambda m, key: m.__setitem__(key, 3),
    "add": lambda m, key: m.add(key, 2),
    "replace": lambda m, key: m.replace(key, 3),
    "swap": lambda m, key: m.swap(key, 3),
    "compare_and_set": lambda m, key: m.compare_and_set(key, 1, 3),
    "update": lambda m, key: m.update({key: 3}),
}


@writers_stall
@free_threaded_only
@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("remembered", [False, True], ids=["", "remembered"])
@pytest.mark.parametrize("step", ONE_STEP.values(), ids=ONE_STEP)
def test_overwriters_keep_out_while_a_snapshot_is_taken(step: Callable[[Any, Any], object], remembered: bool) -> None:
    m = used_by_turns(ShardMap({"key": 1}))
    with Worker() as observer, Worker() as writer:
        observer(lambda: m["key"])
        writer(lambda: [m["key"] for _ in range(200)])
        with Stalled(writing=True):
            observer.begin(m.snapshot)
            wait_until(observer.waits)
            writer.begin(lambda: step(m, "key" if remembered else " key"[1:]))
            wait_until(lambda: not writer.busy or writer.waits())
            assert writer.busy
            found = m["key"]
            assert found == 1
        assert observer.end() == {"key": 1}
        writer.end()
    assert assert_settled(m) == {"key": 3}


def across_shards(m: AnyMap, setup: Setup, count: int) -> list[Hashable]:
    """Keys of as many different shards as there are, up to *count*; in an order that is not the shards'."""
    by_shard: dict[int, Hashable] = {}
    for key in setup.keys(600):
        by_shard.setdefault(m.shard_of(key), key)
    chosen = [by_shard[shard] for shard in sorted(by_shard, key=lambda shard: (shard * 7919) % 64)][:count]
    return chosen + [key for key in setup.keys(count) if key not in chosen][: count - len(chosen)]


#: Ways to go from one number to the next that take no lock.
STEPS: dict[str, Callable[[AnyMap, Any, int], object]] = {
    "[]=": lambda m, key, number: m.__setitem__(key, number),
    "replace": lambda m, key, number: m.replace(key, number),
    "swap": lambda m, key, number: m.swap(key, number),
    "compare_and_set": lambda m, key, number: m.compare_and_set(key, number - 1, number),
    "add": lambda m, key, number: m.add(key),
}


@on_every_setup
@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_a_snapshot_is_one_instant(setup: Setup, step: Callable[[AnyMap, Any, int], object]) -> None:
    """A writer goes round its keys: those before it have its number, those behind have the one before."""
    m = setup.new()
    found = across_shards(m, setup, 16)
    # One that goes as an observer would that took the shards one by one, and one that goes against it.
    rows = [sorted(found[:8], key=m.shard_of), sorted(found[8:], key=m.shard_of, reverse=True)]
    m.update(dict.fromkeys(found, 0))
    # So that it takes a while to look at all.
    m.update((("filler", number), None) for number in range(2000 if setup == Setup("default", "str") else 50))

    def write(row: list[Hashable]) -> Callable[[], None]:
        numbers = itertools.count(1)

        def steps() -> None:
            for number in itertools.islice(numbers, 20):
                for key in row:
                    step(m, key, number)

        return steps

    def look() -> None:
        for turn in range(scaled(120)):
            seen = m.copy().snapshot() if turn % 5 == 0 else m.snapshot()
            for row in rows:
                numbers = [seen[key] for key in row]
                assert numbers == sorted(numbers, reverse=True)
                assert numbers[0] - numbers[-1] <= 1

    run_threads([look], background=[write(row) for row in rows])
    assert_settled(m)


@on_every_setup
def test_clear_is_one_instant(setup: Setup) -> None:
    """Who finds one key cleared finds no other with a value from before."""
    m = setup.new() if setup.variant != "default" else ShardMap(shards=1024)
    keys = across_shards(m, setup, 6)
    # The first and the last one that clear() comes to; between them it has a long way.
    keys = [*keys, *(max(setup.keys(600), key=m.shard_of), min(setup.keys(600), key=m.shard_of))]
    ended = False

    def write() -> None:
        nonlocal ended
        try:
            for number in range(scaled(1500)):
                for key in keys:
                    m[key] = number
                m.clear()
        finally:
            ended = True

    def read(thread: int) -> None:
        order = keys[::-1] if thread % 2 else keys
        seen = dict.fromkeys(keys, -1)
        while not ended:
            for first, second in zip(order, order[1:] + order[:1], strict=True):
                found = m.get(first)
                if found is not None:
                    assert found >= seen[first]
                    seen[first] = found
                    continue
                # What it had has been cleared, and all other keys' values of that time as well.
                found = m.get(second)
                assert found is None or found > seen[first]

    bodies: list[Callable[[], None]] = [write, *(partial(read, thread) for thread in range(2))]
    run_threads(bodies)
    assert assert_settled(m) == {}


@on_every_setup
def test_overwriters_bring_nothing_back_that_was_cleared(setup: Setup) -> None:
    """replace() does nothing for a key that is absent, so when clear() has returned the key stays away."""
    m = setup.new()
    keys = setup.keys(12)
    numbers = itertools.count()
    ended = False

    def replace() -> None:
        while not ended:
            for key in keys:
                m.replace(key, next(numbers))
                m.compare_and_set(key, m.get(key), next(numbers))

    def clear() -> None:
        nonlocal ended
        try:
            for turn in range(scaled(150)):
                for key in keys:
                    assert m.insert(key, 0)
                if turn % 3 == 0:
                    m.shrink()
                if turn % 2:
                    m.clear()
                else:
                    m.delete_many(keys)
                assert m.get_many(keys) == [None] * len(keys)
                assert [key for key in keys if key in m] == []
                assert (len(m), m.snapshot()) == (0, {})
        finally:
            ended = True

    run_threads([clear, replace, replace])
    assert assert_settled(m) == {}


@on_every_setup
def test_retain_removes_only_what_it_has_judged(setup: Setup) -> None:
    """Overwriters make even numbers odd; no odd one is ever removed, and what was removed is counted."""
    m = setup.new()
    keys = setup.keys(20)
    rounds = scaled(60)

    def write(thread: int) -> int:
        inserted = 0
        for number in range(rounds):
            for key in keys[thread::2]:
                inserted += m.insert(key, 2 * number)
                if m.replace(key, 2 * number + 1):
                    # Odd now, and it stays until this thread says otherwise.
                    assert m[key] == 2 * number + 1
                    m.replace(key, 2 * number + 2)
        return inserted

    removed = 0

    def retain() -> None:
        nonlocal removed
        removed += m.retain(lambda key, value: value % 2)

    inserted = sum(run_threads([partial(write, 0), partial(write, 1)], background=[retain]))
    assert inserted - removed == len(assert_settled(m))


@on_every_setup
def test_threads_read_what_they_have_written(setup: Setup) -> None:
    """However entries move meanwhile: no overwrite goes to an entry that has been left behind."""
    m = setup.new()
    everybody = [setup.key(5000 + number) for number in range(4)]
    m.update(dict.fromkeys(everybody, 0))
    rounds = scaled(60)

    def body(thread: int) -> None:
        mine = setup.keys(range(thread * 10, thread * 10 + 10))
        m.update(dict.fromkeys(mine, 0))
        for number in range(1, rounds):
            for key in mine:
                m[key] = number
                assert m[key] == number
                assert m.add(key, 5) == number + 5
                assert m.swap(key, -number) == number + 5
                assert m.compare_and_set(key, -number, number)
                assert m.get_many([key]) == [number]
            for key in everybody:
                m.add(key)

    def grow() -> None:
        m.update((setup.key(number), number) for number in range(1000, 1060))
        m.delete_many(setup.keys(range(1000, 1060)))

    run_copies(body, background=[m.shrink, grow, m.snapshot])
    entries = assert_settled(m)
    assert [entries[key] for key in everybody] == [THREADS * (rounds - 1)] * len(everybody)
    assert all(entries[setup.key(number)] == rounds - 1 for number in range(10 * THREADS))


@on_every_setup
def test_each_value_is_handed_out_once(setup: Setup) -> None:
    """By swap, pop, compare_and_set and clear() against each other, while shrink moves the entries."""
    m = setup.new()
    keys = setup.keys(6)
    rounds = scaled(150)

    def body(thread: int) -> tuple[list[Any], list[Any]]:
        put: list[Any] = []
        got: list[Any] = []
        for number in range(rounds):
            for index, key in enumerate(keys):
                value = (thread, number, index)
                kind = (number + index + thread) % 5
                if kind <= 1:
                    put.append(value)
                    got.append(m.swap(key, value, MISSING))
                elif kind == 2:
                    got.append(m.pop(key, MISSING))
                else:
                    seen = m.get(key, MISSING)
                    if seen is not MISSING and m.compare_and_set(key, seen, value):
                        put.append(value)
                        got.append(seen)
        return put, got

    results = run_copies(body, background=[m.shrink])
    left = list(assert_settled(m).values())
    assert_same_elements(
        [value for _, got in results for value in got if value is not MISSING] + left,
        [value for put, _ in results for value in put],
    )


@on_every_setup
@pytest.mark.parametrize("way", ["items", "partitions", "snapshot"])
def test_iteration_against_overwriters(setup: Setup, way: str) -> None:
    """Every key once, each with a value that it has had, and never an older one than the time before."""
    m = setup.new()
    keys = setup.keys(30)
    m.update(dict.fromkeys(keys, 0))

    def write() -> None:
        for number in range(1, scaled(200)):
            for key in keys:
                m[key] = number

    latest = dict.fromkeys(keys, 0)

    def look() -> None:
        ways: dict[str, Callable[[], Any]] = {
            "items": m.items,
            "partitions": lambda: itertools.chain.from_iterable(m.partitions(3)),
            "snapshot": lambda: m.snapshot().items(),
        }
        found = list(ways[way]())
        assert Counter(key for key, _ in found) == Counter(keys)
        for key, number in found:
            assert number >= latest[key]
            latest[key] = number

    run_threads([write], background=[look])
    assert set(assert_settled(m).values()) == {scaled(200) - 1}
