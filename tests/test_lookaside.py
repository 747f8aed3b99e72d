"""Where a thread has found a key object before is a hint: it may be out of date in every way, and nobody can tell.

Each test makes sure first that the key is remembered, by looking it up often, and then makes that memory wrong.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeAlias

import pytest
from concurrency import on_every_setup, run_copies, scaled

from shardmap import MISSING, ShardMap

AnyMap: TypeAlias = Any

#: Lookups after which a key is remembered: a thread makes its table after 64 of them, and a slot that another key has
#: taken is given to this one after 16.
OFTEN = 200


def remembered(m: AnyMap, *keys: Hashable) -> None:
    """Look the keys up until this thread knows where they are."""
    for _ in range(OFTEN):
        for key in keys:
            assert key in m
            m[key]


def assert_reused(address_came_again: bool) -> None:
    """Without that the test has tested nothing. Debugging allocators keep freed memory back on purpose."""
    debugging = "libasan" in os.environ.get("LD_PRELOAD", "") or "PYTHONMALLOC" in os.environ
    assert address_came_again or debugging


def make_key(name: str = "key") -> str:
    """A str of its own."""
    return f"a {name}"


@pytest.fixture(params=["str", "int", "bytes", "float", "tuple"])
def key(request: pytest.FixtureRequest) -> Hashable:
    made: dict[str, Hashable] = {
        "str": make_key(),
        "int": 10**6,
        "bytes": b"a key",
        "float": 0.5,
        "tuple": (1, 2),
    }
    return made[request.param]


READS: dict[str, Callable[[AnyMap, Any], Any]] = {
    "[]": lambda m, key: m[key],
    "get": lambda m, key: m.get(key),
    "get with a default": lambda m, key: m.get(key, "absent"),
    "in": lambda m, key: key in m,
    "setdefault": lambda m, key: m.setdefault(key, "new"),
    "compute_if_absent": lambda m, key: m.compute_if_absent(key, lambda _: "new"),
    "add": lambda m, key: m.add(key, 1),
    "[]=": lambda m, key: m.__setitem__(key, "new"),
}
reads = pytest.mark.parametrize("read", READS.values(), ids=READS)

#: Each leaves the map without the key.
REMOVALS: dict[str, Callable[[AnyMap, Any], Any]] = {
    "del": lambda m, key: m.__delitem__(key),
    "pop": lambda m, key: m.pop(key),
    "popitem": lambda m, key: [m.popitem() for _ in range(len(m))],
    "clear": lambda m, key: m.clear(),
    "compute": lambda m, key: m.compute(key, lambda old: MISSING),
    "compare_and_delete": lambda m, key: m.compare_and_delete(key, m[key]),
    "delete_many": lambda m, key: m.delete_many([key]),
    "retain": lambda m, key: m.retain(lambda k, v: k is not key),
    "clear and shrink": lambda m, key: (m.clear(), m.shrink()),
}
removals = pytest.mark.parametrize("remove", REMOVALS.values(), ids=REMOVALS)


@reads
@removals
def test_a_key_that_was_removed(
    key: Hashable, read: Callable[[AnyMap, Any], Any], remove: Callable[[AnyMap, Any], Any]
) -> None:
    """The operation does on the map what it does on one where the key never was."""
    m: AnyMap = ShardMap({key: 1, "other": 2})
    remembered(m, key)
    remove(m, key)
    expected: AnyMap = ShardMap()
    results: list[Any] = []
    for target in (m, expected):
        try:
            results.append(read(target, key))
        except KeyError as error:
            assert error.args[0] is key
            results.append(KeyError)
    assert results[0] == results[1]
    assert m.get(key, MISSING) is expected.get(key, MISSING) or m[key] == expected[key]
    m._check()


@reads
def test_the_entry_has_another_key_now(read: Callable[[AnyMap, Any], Any]) -> None:
    """Entries are reused: the newest freed one first."""
    m: AnyMap = ShardMap(shards=1)
    key, other = make_key(), make_key("other")
    m[key] = 1
    remembered(m, key)
    del m[key]
    m[other] = 5
    expected: AnyMap = ShardMap({other: 5})
    assert outcome(read, m, key) == outcome(read, expected, key)
    assert m == expected
    m._check()


def outcome(read: Callable[[AnyMap, Any], Any], m: AnyMap, key: Any) -> Any:
    try:
        return read(m, key)
    except KeyError as error:
        return error.args


def test_the_key_object_is_in_the_map_again() -> None:
    m: AnyMap = ShardMap(shards=1)
    key = make_key()
    for number in range(100):
        m[key] = number
        remembered(m, key)
        del m[key]
        m[make_key(f"{number}")] = number
        m[key] = -number
        assert m[key] == -number
        del m[key]
    assert len(m) == 100


@reads
def test_after_shrink_the_entry_is_elsewhere(key: Hashable, read: Callable[[AnyMap, Any], Any]) -> None:
    """With what lay before it gone, the entry moves to another place, and the old memory is freed."""
    m: AnyMap = ShardMap({number: number for number in range(1000)}, shards=1)
    m[key] = 41
    remembered(m, key)
    m.delete_many(range(1000))
    m.shrink()
    expected: AnyMap = ShardMap({key: 41})
    assert outcome(read, m, key) == outcome(read, expected, key)
    assert m == expected
    m._check()


def test_writes_after_shrink_go_to_the_new_place() -> None:
    m: AnyMap = ShardMap({number: number for number in range(1000)}, shards=1)
    key = make_key()
    m[key] = 0
    for number in range(20):
        remembered(m, key)
        m.shrink()
        m[key] = number
        m.add(key, 1)
        assert m.snapshot()[key] == m[key] == number + 1
        m._check()


def test_maps_do_not_take_each_other_s_entries() -> None:
    key = make_key()
    maps = [ShardMap({key: number}, shards=1, hash_seed=1) for number in range(50)]
    for _ in range(20):
        for number, m in enumerate(maps):
            assert m[key] == number
    for number, m in enumerate(maps):
        m[key] = -number
    assert [m[key] for m in maps] == [-number for number in range(50)]


def test_a_map_at_the_address_of_one_that_died() -> None:
    key = make_key()
    addresses: set[int] = set()
    for number in range(20_000):
        if len(addresses) < number >= 200:
            break
        m: AnyMap = ShardMap(shards=1)
        addresses.add(id(m))
        assert key not in m
        m[key] = number
        remembered(m, key)
        assert m[key] == number
        del m
    assert_reused(len(addresses) < 20_000)


def test_a_key_at_the_address_of_one_that_died() -> None:
    m: AnyMap = ShardMap(shards=1)
    addresses: set[int] = set()
    for number in range(200_000):
        if len(addresses) < number >= 2000:
            break
        key = make_key(str(number % 10))
        addresses.add(id(key))
        m[key] = number
        assert m[key] == number
        assert m.pop(key) == number
        assert key not in m
    assert_reused(len(addresses) < 200_000)


def test_a_str_finds_an_equal_key_of_another_type() -> None:
    """A str that is not in the map looks absent at first sight, if a key with its hash is not a str."""

    class Name(str):
        __slots__ = ()
        __hash__ = str.__hash__
        __eq__ = str.__eq__

    m: AnyMap = ShardMap({Name("a key"): 1})
    key = make_key()
    for _ in range(OFTEN):
        assert m[key] == m.get(key) == m.get(key, 2) == m.setdefault(key, 2) == 1
        assert key in m
        m[key] = 1
    assert len(m) == 1


class Counted(str):
    """Its hash is Python code, which runs for every lookup, as with dict."""

    hashed = 0
    __slots__ = ()

    def __hash__(self) -> int:
        Counted.hashed += 1
        return str.__hash__(self)

    __eq__ = str.__eq__


class Hashed:
    __slots__ = ("calls", "other")

    def __init__(self) -> None:
        self.calls = 0

    def __hash__(self) -> int:
        self.calls += 1
        return 1


def test_an_object_of_another_type_at_the_address_of_a_key() -> None:
    """It may even be in the entry of that key, so that all three agree; its hash is Python code all the same."""
    m: AnyMap = ShardMap(shards=1)
    # Of a size whose freed memory goes to objects of other sizes too, by the page.
    padding = bytes(29 if sys.version_info < (3, 12) else 109)
    keys = [padding + number.to_bytes(3, "big") for number in range(50_000)]
    addresses = set(map(id, keys))
    for key in keys:
        m[key] = 1
        assert m[key] == 1
        del m[key]
    del key, keys
    objects = [Hashed() for _ in range(50_000)]
    for each in objects:
        m[each] = each
        assert m[each] is each
        assert each.calls == 2
        m.popitem()
    assert_reused(bool(addresses & set(map(id, objects))))


def test_hash_functions_in_python_are_always_called() -> None:
    key = Counted("key")
    m: AnyMap = ShardMap({key: 1})
    Counted.hashed = 0
    for calls in range(1, OFTEN):
        assert m[key] == 1
        assert Counted.hashed == calls


def test_a_key_whose_hash_raises_now() -> None:
    class Moody:
        broken = False

        def __hash__(self) -> int:
            if self.broken:
                raise ZeroDivisionError
            return 1

    key = Moody()
    m: AnyMap = ShardMap({key: 1})
    remembered(m, key)
    key.broken = True
    with pytest.raises(ZeroDivisionError):
        m[key]


@reads
def test_a_key_that_this_thread_is_computing(read: Callable[[AnyMap, Any], Any]) -> None:
    """Reading gives the old value, writing is an error: as if the key had not been remembered."""
    outcomes = []
    for forget in (False, True):
        key = make_key()
        m: AnyMap = ShardMap({key: 1})
        remembered(m, key)

        def compute(old: int, m: AnyMap = m, key: str = key, forget: bool = forget) -> int:
            if forget:
                m._forget()
            try:
                outcomes.append(read(m, key))
            except RuntimeError as error:
                outcomes.append(type(error))
            return 7

        m.compute(key, compute)
        assert m[key] == 7
    assert outcomes[0] == outcomes[1]
    if read in (READS["add"], READS["[]="]):
        assert outcomes[0] is RuntimeError


def test_a_key_that_this_thread_is_computing_for_the_first_time() -> None:
    key = make_key()
    m: AnyMap = ShardMap({key: 1})
    remembered(m, key)
    del m[key]

    def compute(_: object) -> int:
        assert key not in m
        assert m.get(key) is None
        with pytest.raises(KeyError):
            m[key]
        for write in (lambda: m.add(key), lambda: m.setdefault(key, 1), lambda: m.__setitem__(key, 1)):
            with pytest.raises(RuntimeError):
                write()
        return 7

    assert m.compute_if_absent(key, compute) == 7
    assert m[key] == 7


def test_missing_cannot_be_stored() -> None:
    key = make_key()
    m: AnyMap = ShardMap({key: 1})
    remembered(m, key)
    with pytest.raises(ValueError, match="MISSING"):
        m[key] = MISSING
    with pytest.raises(ValueError, match="MISSING"):
        m.setdefault(key, MISSING)
    assert m[key] == 1


def test_the_collector_sees_what_was_stored_where_a_key_was_remembered() -> None:
    """The first object of the map that can be part of a cycle comes by the short way."""

    class Node:
        pass

    key = make_key()
    m: AnyMap = ShardMap({key: 1})
    remembered(m, key)
    node: Any = Node()
    node.map = m
    gone = threading.Event()

    class Witness:
        def __del__(self) -> None:
            gone.set()

    node.witness = Witness()
    m[key] = node
    del m, node
    gc.collect()
    assert gone.is_set()


@pytest.mark.parametrize("delta", [1, -1, 0.5, 2**70, True, "text"])
@pytest.mark.parametrize("start", [1, 2**70, 0.5, True, "a "])
def test_add_is_what_plus_is(start: Any, delta: Any) -> None:
    key = make_key()
    m: AnyMap = ShardMap({key: start})
    remembered(m, key)
    try:
        expected = start + delta
    except TypeError:
        with pytest.raises(TypeError):
            m.add(key, delta)
        assert m[key] is start
        return
    found = m.add(key, delta)
    assert (type(found), found) == (type(expected), expected)
    assert m[key] is found


def test_add_drops_the_old_value_and_keeps_the_new() -> None:
    key, old, free = make_key(), int("1" * 30), int("2" * 30)
    m: AnyMap = ShardMap({key: old})
    remembered(m, key)
    assert sys.getrefcount(old) == sys.getrefcount(free) + 1
    total = m.add(key, 1)
    assert sys.getrefcount(old) == sys.getrefcount(free)
    assert sys.getrefcount(total) == sys.getrefcount(free) + 1
    del m
    assert sys.getrefcount(total) == sys.getrefcount(free)


def test_add_that_overflows_changes_nothing() -> None:
    key = make_key()
    m: AnyMap = ShardMap({key: 10**400})
    remembered(m, key)
    for _ in range(3):
        with pytest.raises(OverflowError):
            m.add(key, 0.5)
        assert m[key] == 10**400


def test_more_keys_than_a_thread_remembers() -> None:
    """All slots are taken many times over; every key is found all the same, and its own value."""
    keys = [make_key(f"{number}") for number in range(10_000)]
    m: AnyMap = ShardMap(zip(keys, range(10_000), strict=True))
    for _ in range(scaled(5)):
        assert all(m[key] == number for number, key in enumerate(keys))
        for key in keys:
            m.add(key, 1)
        for number, key in enumerate(keys):
            m[key] = number
    m._check()


@on_every_setup
def test_threads_that_remember_against_threads_that_move(setup: Any) -> None:
    """Readers and writers of the same key objects, while others delete, insert, clear and shrink: each key has only
    values that were put under it."""
    m = setup.new()
    keys = setup.keys(32)

    def body(thread: int) -> None:
        for round_ in range(scaled(60)):
            for number, key in enumerate(keys):
                if (number + round_ + thread) % 3 == 0:
                    m[key] = (number, round_)
                value = m.get(key)
                assert value is None or value[0] == number, (number, value)
                if (number + round_ + thread) % 5 == 0:
                    taken = m.pop(key, None)
                    assert taken is None or taken[0] == number, (number, taken)

    def take_any() -> None:
        with contextlib.suppress(KeyError):
            _, value = m.popitem()
            assert value[0] in range(32)

    run_copies(body, background=[m.shrink, m.clear, take_any])
    m._check()


def test_threads_that_end_give_their_tables_back() -> None:
    """Free-threaded builds have a table for each thread."""
    resource = pytest.importorskip("resource")
    keys = [make_key(f"{number}") for number in range(500)]
    m: AnyMap = ShardMap.fromkeys(keys, 1)

    def run_threads(count: int) -> None:
        for _ in range(count):
            thread = threading.Thread(target=lambda: [m[key] for key in keys * 2])
            thread.start()
            thread.join()

    run_threads(50)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run_threads(scaled(1000))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 20_000, f"{grown} KiB for threads that have ended, whose tables were 128 KiB each"
