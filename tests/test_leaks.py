"""Nothing is kept that should go, nothing goes that should be kept: references, Python's blocks, native memory.

Each scenario is run many times; what it holds must be the same afterwards. Three meters: `sys.getrefcount` of the very
objects that it uses, `sys.getallocatedblocks` for Python objects that nobody can name, and the C library's own count of
bytes in use (``mallinfo2``) for the memory of the map.
"""

from __future__ import annotations

import contextlib
import copy
import ctypes
import gc
import itertools
import pickle
import sys
import weakref
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
from concurrency import VARIANTS
from hostile import Dying, Key, Trouble
from support import drain, settle

from shardmap import MISSING, ShardMap

# The tests misuse the map on purpose, so they ask for no types; `typing/` has samples that do.
AnyMap: TypeAlias = Any


class Box:
    """A plain object of the garbage collector's kind, as a value; adding to it gives a new one."""

    def __add__(self, other: object) -> Box:
        return Box()


class Failing:
    """A value, callback and predicate that raises whatever it is asked to do."""

    def __call__(self, *args: object) -> Any:
        raise ZeroDivisionError

    __eq__ = __add__ = __radd__ = __call__
    __hash__ = None  # type: ignore[assignment]


#: Scenario: given an empty map, two different key objects with one hash, and two values. Exceptions are let pass.
Scenario = Callable[[AnyMap, Any, Any, Any, Any], Any]

fail = Failing()
SUCCESSES: dict[str, Scenario] = {
    "set": lambda m, k, k2, v, v2: m.__setitem__(k, v),
    "overwrite": lambda m, k, k2, v, v2: (m.__setitem__(k, v), m.__setitem__(k, v2), m.__setitem__(k, v2)),
    "overwrite with an equal key": lambda m, k, k2, v, v2: (m.__setitem__(k, v), m.__setitem__(equal(k), v2)),
    "colliding keys": lambda m, k, k2, v, v2: (m.__setitem__(k, v), m.__setitem__(k2, v2), m.__delitem__(k)),
    "get": lambda m, k, k2, v, v2: (m.update({k: v}), m[k], m.get(k), m.get(k2), m.get(k2, v2), k in m, k2 in m),
    "delete": lambda m, k, k2, v, v2: (m.update({k: v}), m.__delitem__(k)),
    "setdefault": lambda m, k, k2, v, v2: (m.setdefault(k, v), m.setdefault(k, v2), m.setdefault(k2)),
    "pop": lambda m, k, k2, v, v2: (m.update({k: v}), m.pop(k), m.pop(k, v2), m.pop(k2, None)),
    "popitem": lambda m, k, k2, v, v2: (m.update({k: v, k2: v2}), m.popitem(), m.popitem()),
    "clear": lambda m, k, k2, v, v2: (m.update({k: v, k2: v2}), m.clear()),
    "insert": lambda m, k, k2, v, v2: (m.insert(k, v), m.insert(k, v2), m.insert(equal(k), v2)),
    "replace": lambda m, k, k2, v, v2: (m.replace(k, v), m.insert(k, v), m.replace(k, v2)),
    "swap": lambda m, k, k2, v, v2: (m.swap(k, v), m.swap(k, v2), m.swap(k2, v, v2)),
    "compare_and_set": lambda m, k, k2, v, v2: (
        m.compare_and_set(k, v, v2), m.insert(k, v), m.compare_and_set(k, v2, v), m.compare_and_set(k, v, v2),
        m.compare_and_set(k, equal(v2), v)),
    "compare_and_delete": lambda m, k, k2, v, v2: (
        m.compare_and_delete(k, v), m.insert(k, v), m.compare_and_delete(k, v2), m.compare_and_delete(k, v)),
    "compute": lambda m, k, k2, v, v2: (
        m.compute(k, lambda old: v), m.compute(k, lambda old: old), m.compute(k, lambda old: v2),
        m.compute(k, lambda old: MISSING), m.compute(k, lambda old: MISSING)),
    "compute_if_absent": lambda m, k, k2, v, v2: (
        m.compute_if_absent(k, lambda key: v), m.compute_if_absent(k, lambda key: v2),
        m.compute_if_absent(k2, lambda key: MISSING)),
    "compute_if_present": lambda m, k, k2, v, v2: (
        m.compute_if_present(k, lambda old: v), m.insert(k, v), m.compute_if_present(k, lambda old: v2),
        m.compute_if_present(k, lambda old: MISSING)),
    "merge": lambda m, k, k2, v, v2: (
        m.merge(k, v, lambda old, new: new), m.merge(k, v2, lambda old, new: new),
        m.merge(k, v, lambda old, new: MISSING)),
    "add": lambda m, k, k2, v, v2: (m.add(k), m.add(k, 2**70), m.add(k, 0.5), m.insert(k2, v), m.add(k2, v2)),
    "count": lambda m, k, k2, v, v2: (
        m.count([k, k2, k, "x", "y", "x", 7]), m.count(k for _ in range(3)), m.count("xyz")),
    "count many": lambda m, k, k2, v, v2: m.count(map(str, range(400))),
    "get_many": lambda m, k, k2, v, v2: (
        m.get_many([k]), m.update({k: v}), m.get_many((k, k2, k), v2), m.get_many([k] * 40)),
    "set_many": lambda m, k, k2, v, v2: (m.set_many([(k, v), [k2, v2], iter((k, v2))]), m.set_many({k: v})),
    "delete_many": lambda m, k, k2, v, v2: (m.update({k: v, k2: v2}), m.delete_many([k, k, k2, 7])),
    "update": lambda m, k, k2, v, v2: (m.update({k: v}), m.update([(k2, v2)]), m.update(a=v, b=v2), m.update(m)),
    "retain": lambda m, k, k2, v, v2: (m.update({k: v, k2: v2}), m.retain(lambda key, value: key is k)),
    "iterate": lambda m, k, k2, v, v2: (m.update({k: v, k2: v2}), list(m), list(m.values()), list(m.items())),
    "iterate in part": lambda m, k, k2, v, v2: (
        m.update({k: v, k2: v2}), next(iter(m)), next(iter(m.items())), iter(m.values()), iter(m)),
    "views": lambda m, k, k2, v, v2: (
        m.update({k: v, k2: v2}), m.keys().__contains__(k), v in m.values(), (k, v) in m.items(), m.keys() & {k},
        m.view()[k]),
    "partitions": lambda m, k, k2, v, v2: (
        m.update({k: v, k2: v2}), [list(part) for part in m.partitions(3)],
        [next(part, None) for part in m.partitions(2)]),
    "snapshot": lambda m, k, k2, v, v2: (m.update({k: v, k2: v2}), m.snapshot(), m.diff({k: v}), m.diff(m)),
    "copies": lambda m, k, k2, v, v2: (m.update({k: v, k2: v2}), m.copy(), copy.copy(m), copy.deepcopy(m)),
    "pickling": lambda m, k, k2, v, v2: (m.update({k: v, k2: v2}), pickle.loads(pickle.dumps(m))),
    "operators": lambda m, k, k2, v, v2: (m.update({k: v}), m | {k2: v2}, {k2: v2} | m, m == {k: v}, m == {k: v2}),
    "fromkeys": lambda m, k, k2, v, v2: (ShardMap.fromkeys([k, k2], v), ShardMap({k: v}, shards=2), ShardMap([(k, v)])),
    "repr": lambda m, k, k2, v, v2: (m.update({k: v}), repr(m), repr(m.items())),
    "sizes": lambda m, k, k2, v, v2: (
        m.update({k: v}), m.stats(), m.shard_of(k), sys.getsizeof(m), m.reserve(100), m.shrink()),
    "growth": lambda m, k, k2, v, v2: (m.update((n, v) for n in range(300)), m.delete_many(range(300))),
    "growth and clear": lambda m, k, k2, v, v2: (m.update((str(n), v) for n in range(300)), m.clear()),
    "a map of maps": lambda m, k, k2, v, v2: (m.update({k: ShardMap({k2: v})}), m[k].update({k: v2})),
    "clear while computing": lambda m, k, k2, v, v2: (m.insert(k, v), m.compute(k, lambda old: (m.clear(), v2)[1])),
    "shrink while computing": lambda m, k, k2, v, v2: (m.insert(k, v), m.compute(k, lambda old: (m.shrink(), v2)[1])),
    "weak reference": lambda m, k, k2, v, v2: (m.update({k: v}), weakref.ref(m)()),
}  # fmt: skip

FAILURES: dict[str, list[Scenario]] = {
    "absent": [
        lambda m, k, k2, v, v2: m[k],
        lambda m, k, k2, v, v2: m.pop(k),
        lambda m, k, k2, v, v2: m.__delitem__(k),
        lambda m, k, k2, v, v2: m.popitem(),
        lambda m, k, k2, v, v2: (m.update({k2: v}), m[k]),
        lambda m, k, k2, v, v2: (m.update({k2: v}), m.__delitem__(k)),
    ],
    "unhashable": [
        lambda m, k, k2, v, v2: m.get([k]),
        lambda m, k, k2, v, v2: m.__setitem__([k], v),
        lambda m, k, k2, v, v2: m.update([(k, v), ([k2], v2)]),
        lambda m, k, k2, v, v2: m.count([k, "x", k, [k2]]),
        lambda m, k, k2, v, v2: m.get_many([k, k2, [k]]),
        lambda m, k, k2, v, v2: (m.update({k: v}), m.get_many([k] * 20 + [[k]])),
        lambda m, k, k2, v, v2: m.delete_many([k, [k]]),
        lambda m, k, k2, v, v2: m.compute([k], lambda old: v),
        lambda m, k, k2, v, v2: m.merge([k], v, lambda old, new: v),
    ],
    "pairs": [
        lambda m, k, k2, v, v2: m.update([(k, v), (k2,)]),
        lambda m, k, k2, v, v2: m.update([(k, v), (k2, v2, v)]),
        lambda m, k, k2, v, v2: m.update([(k, v), v2]),
        lambda m, k, k2, v, v2: m.update(v),
        lambda m, k, k2, v, v2: ShardMap([(k, v), (k2,)]),
    ],
    "missing": [
        lambda m, k, k2, v, v2: m.__setitem__(k, MISSING),
        lambda m, k, k2, v, v2: m.setdefault(k, MISSING),
        lambda m, k, k2, v, v2: (m.insert(k, v), m.swap(k, MISSING)),
        lambda m, k, k2, v, v2: (m.insert(k, v), m.replace(k, MISSING)),
        lambda m, k, k2, v, v2: (m.insert(k, v), m.compare_and_set(k, v, MISSING)),
        lambda m, k, k2, v, v2: (m.insert(k, v), m.merge(k, MISSING, lambda old, new: v2)),
        lambda m, k, k2, v, v2: m.add(k, MISSING),
        lambda m, k, k2, v, v2: m.update([(k, v), (k2, MISSING)]),
    ],
    "callback": [
        lambda m, k, k2, v, v2: m.compute(k, fail),
        lambda m, k, k2, v, v2: (m.insert(k, v), m.compute(k, fail)),
        lambda m, k, k2, v, v2: m.compute_if_absent(k, fail),
        lambda m, k, k2, v, v2: (m.insert(k, v), m.compute_if_present(k, fail)),
        lambda m, k, k2, v, v2: (m.insert(k, v), m.merge(k, v2, fail)),
        lambda m, k, k2, v, v2: (m.insert(k, v), m.retain(fail)),
        lambda m, k, k2, v, v2: (m.insert(k, 5), m.add(k, fail)),
        lambda m, k, k2, v, v2: (m.insert(k, "text"), m.add(k, 1)),
        lambda m, k, k2, v, v2: (m.insert(k, 10**400), m.add(k, 0.5)),
        lambda m, k, k2, v, v2: (m.insert(k, v), m.compute(k, 7)),
        lambda m, k, k2, v, v2: (m.insert(k, v), m.compute(k, lambda: v)),
        lambda m, k, k2, v, v2: m.compute(k, lambda old: (m.clear(), fail())),
    ],
    "reentry": [
        lambda m, k, k2, v, v2: m.compute(k, lambda old: m.__setitem__(k, v)),
        lambda m, k, k2, v, v2: (m.insert(k, v), m.compute(k, lambda old: m.pop(k))),
        lambda m, k, k2, v, v2: (m.insert(k, v), m.compute(k, lambda old: m.add(k, v2))),
        lambda m, k, k2, v, v2: (m.insert(k, v), m.compute(k, lambda old: m.merge(k, v2, fail))),
        lambda m, k, k2, v, v2: (m.insert(k, v), m.compute(k, lambda old: m.count([k, k]))),
        lambda m, k, k2, v, v2: (m.insert(k, v), m.compute(k, lambda old: m.popitem())),
        lambda m, k, k2, v, v2: (m.insert(k, v), m.compute(k, lambda old: m.retain(lambda key, value: False))),
        lambda m, k, k2, v, v2: (m.insert(k, v), m.compute(k, lambda old: m.compare_and_set(equal(k), v, v2))),
    ],
    "comparison": [
        lambda m, k, k2, v, v2: (m.insert(k, fail), m.compare_and_set(k, v, v2)),
        lambda m, k, k2, v, v2: (m.insert(k, fail), m.compare_and_delete(k, v)),
        lambda m, k, k2, v, v2: (m.insert(k, fail), m == {k: v}),
        lambda m, k, k2, v, v2: (m.insert(k, fail), v in m.values()),
        lambda m, k, k2, v, v2: (m.insert(k, fail), m.diff({k: v})),
    ],
    "iterable": [
        lambda m, k, k2, v, v2: m.count(interrupted(k, k2, "x", "y")),
        lambda m, k, k2, v, v2: m.get_many(interrupted(k, k2)),
        lambda m, k, k2, v, v2: m.delete_many(interrupted(k, k2)),
        lambda m, k, k2, v, v2: m.set_many(interrupted((k, v), (k2, v2))),
        lambda m, k, k2, v, v2: m.update(interrupted((k, v), (k2, v2)), a=1),
    ],
    "arguments": [
        lambda m, k, k2, v, v2: m.get(),
        lambda m, k, k2, v, v2: m.compare_and_set(k, v),
        lambda m, k, k2, v, v2: m.compute(k),
        lambda m, k, k2, v, v2: m.partitions(0),
        lambda m, k, k2, v, v2: m.partitions("x"),
        lambda m, k, k2, v, v2: m.reserve(-1),
        lambda m, k, k2, v, v2: m.reserve("x"),
        lambda m, k, k2, v, v2: ShardMap({k: v}, shards=3),
        lambda m, k, k2, v, v2: type(m)({k: v}, nothing=3),
        lambda m, k, k2, v, v2: m.__init__({k: v}),
    ],
}  # fmt: skip


def equal(thing: Any) -> Any:
    """Another object that is equal to a key, or to nothing in particular."""
    return Trouble(thing.label, thing.chosen_hash) if isinstance(thing, Key) else thing


def interrupted(*items: Any) -> Any:
    yield from items
    raise ZeroDivisionError


# -- the meters -------------------------------------------------------------------------------------------------------


class MallInfo(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def native_bytes() -> int:
    """Bytes that are allocated by malloc now; 0 where the C library does not tell."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallinfo2"):
        return 0
    library.mallinfo2.restype = MallInfo
    found = library.mallinfo2()
    return int(found.uordblks + found.hblkhd)


#: Shared objects whose counts a leak would move; small ints and None are immortal since 3.12, and then never move.
SHARED: list[Any] = [None, True, False, MISSING, 0, 1, 2, "", ShardMap, fail]
RUNS = 200


def run_quietly(scenario: Scenario, m: AnyMap, *objects: Any) -> None:
    with contextlib.suppress(Exception):
        scenario(m, *objects)


def measure(scenario: Scenario, m: AnyMap, objects: list[Any]) -> tuple[list[int], int, int]:
    """Run it RUNS times on a map that is emptied in between: by how much the meters have moved."""
    gc.collect()
    counted = [*objects, *SHARED]
    before = list(map(sys.getrefcount, counted))
    blocks, native = sys.getallocatedblocks(), native_bytes()
    for _ in range(RUNS):
        run_quietly(scenario, m, *objects)
        m.clear()
    drain(m)
    gc.collect()
    native, blocks = native_bytes() - native, sys.getallocatedblocks() - blocks
    return [now - then for now, then in zip(map(sys.getrefcount, counted), before, strict=True)], blocks, native


def assert_no_leak(scenario: Scenario, setup: Callable[[], AnyMap] = ShardMap) -> None:
    m = setup()
    objects = [Trouble("k", 1), Trouble("k2", 1), Box(), Box()]
    measure(scenario, m, objects)  # whatever is made once is made now
    found = []
    for _ in range(4):
        moved, blocks, native = measure(scenario, m, objects)
        found.append((moved, blocks, native))
        # Others allocate too (the collector, caches): a leak shows every time, and once a run at least.
        if all(abs(each) < RUNS // 4 for each in moved) and blocks < RUNS // 4 and native < 4 * RUNS:
            assert moved[:4] == [0, 0, 0, 0]
            break
    else:
        raise AssertionError(f"references of key, key, value, value and others; blocks; bytes, in {RUNS} runs: {found}")
    m._check()


@pytest.mark.parametrize("setup", [ShardMap, VARIANTS["stressed-one-shard"]], ids=["default", "stressed"])
@pytest.mark.parametrize("name", SUCCESSES)
def test_operations(name: str, setup: Callable[[], AnyMap]) -> None:
    assert_no_leak(SUCCESSES[name], setup)


@pytest.mark.parametrize(
    "scenario",
    [pytest.param(each, id=f"{name} {n}") for name, group in FAILURES.items() for n, each in enumerate(group)],
)
def test_operations_that_raise(scenario: Scenario) -> None:
    assert_no_leak(scenario)


def test_the_meters_notice_leaks() -> None:
    """One reference, one Python object, or a few bytes lost in each run are found."""
    lost: list[Any] = []
    leaks: list[Scenario] = [lambda m, k, k2, v, v2: lost.append(v), lambda m, k, k2, v, v2: lost.append([])]
    if native_bytes():
        leaks.append(lambda m, k, k2, v, v2: ctypes.CDLL(None).malloc(16))
    for leak in leaks:
        with pytest.raises(AssertionError, match="references of key"):
            assert_no_leak(leak)


@pytest.mark.parametrize("name", FAILURES)
def test_the_scenarios_do_raise(name: str) -> None:
    for number, scenario in enumerate(FAILURES[name]):
        raised = False
        try:
            scenario(ShardMap(), Trouble("k", 1), Trouble("k2", 1), Box(), Box())
        except Exception:
            raised = True
        assert raised, f"{name} {number}"


def raising_eq(m: AnyMap, key: Any, act: Callable[[AnyMap], Any]) -> None:
    """Run an operation in the middle of whose search the key's comparison raises, after some that did not."""

    def boom() -> None:
        raise ZeroDivisionError

    m.update((Trouble(number, 1), Box()) for number in range(5))
    m[Trouble("raises", 1, on_eq=boom)] = Box()
    act(m)


def test_searches_that_are_broken_off() -> None:
    for act in (
        lambda m: m.get(Trouble("k", 1)),
        lambda m: m.pop(Trouble("k", 1)),
        lambda m: m.insert(Trouble("k", 1), Box()),
        lambda m: m.setdefault(Trouble("k", 1), Box()),
        lambda m: m.compute(Trouble("k", 1), lambda old: 1),
        lambda m: m.count([Trouble("k", 1)] * 3),
        lambda m: m.get_many([Trouble(number, 1) for number in range(5)] + [Trouble("k", 1)] * 30),
        lambda m: m.update({Trouble("k", 1): 1}),
        lambda m: m.add(Trouble("k", 1), 1),
        lambda m: m.compare_and_set(Trouble("k", 1), 1, 1),
    ):
        assert_no_leak(lambda m, k, k2, v, v2, act=act: raising_eq(m, k, act))  # type: ignore[misc]


def test_searches_that_start_again() -> None:
    """Each comparison changes the shard, so the search remembers the keys it has asked, and lets go of them."""
    fresh = itertools.count()

    def disturb(m: AnyMap, act: Callable[[AnyMap], Any]) -> None:
        def change() -> None:
            m[Key(("new", next(fresh)), 1)] = Box()

        m.update((Trouble(number, 1, on_eq=change, times=3), Box()) for number in range(6))
        act(m)

    for act in (
        lambda m: m.get(Trouble("k", 1)),
        lambda m: m.get(Trouble(5, 1)),
        lambda m: m.__setitem__(Trouble("k", 1), Box()),
        lambda m: m.pop(Trouble(3, 1)),
        lambda m: m.compute(Trouble(3, 1), lambda old: MISSING),
        lambda m: m.get_many([Trouble(n, 1) for n in range(10)]),
    ):
        assert_no_leak(lambda m, k, k2, v, v2, act=act: disturb(m, act))  # type: ignore[misc]


# -- lives ------------------------------------------------------------------------------------------------------------


def test_objects_live_exactly_as_long_as_they_are_in_the_map() -> None:
    family = Dying.family()
    m: AnyMap = ShardMap()
    for number in range(500):
        m[number] = family()
    drain(m)
    assert family.alive == 500
    for number in range(0, 500, 2):
        m[number] = family()
    drain(m)
    assert (family.alive, family.deaths) == (500, 250)
    for number in range(100):
        del m[number]
    drain(m)
    assert family.alive == 400
    assert m.retain(lambda key, value: key < 300) == 200
    drain(m)
    assert family.alive == 200
    duplicate = m.copy()
    snapshot = m.snapshot()
    m.clear()
    drain(m)
    assert family.alive == 200
    del snapshot
    drain(m)
    assert family.alive == 200
    del duplicate
    settle(m)
    assert family.alive == 0


def test_keys_live_exactly_as_long_as_they_are_in_the_map() -> None:
    """The first key object stays when equal ones come; it goes with the entry."""

    class Named(Dying):
        alive = 0

        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Named)

    m: AnyMap = ShardMap()
    m[Named()] = 1
    assert Named.alive == 1
    for operation in (
        lambda: m.__setitem__(Named(), 2),
        lambda: m.get(Named()),
        lambda: m.add(Named()),
        lambda: m.compute(Named(), lambda old: 5),
        lambda: m.insert(Named(), 1),
        lambda: m.setdefault(Named(), 1),
        lambda: m.count([Named(), Named()]),
        lambda: m.replace(Named(), 1),
    ):
        operation()
        drain(m)
        assert Named.alive == 1
    m.compute(Named(), lambda old: MISSING)
    drain(m)
    assert Named.alive == 0


def test_a_map_that_dies_releases_everything() -> None:
    family = Dying.family()
    for setup in (ShardMap, VARIANTS["stressed-one-shard"]):
        m: AnyMap = setup()
        m.update((number, family()) for number in range(1000))
        m.update((Key(number, 1), family()) for number in range(50))
        iterator = iter(m.items())
        next(iterator)
        del m
        settle()
        assert family.alive > 0
        del iterator
        settle()
        assert family.alive == 0


def test_growing_and_dying_maps_give_their_memory_back() -> None:
    def life() -> None:
        m: ShardMap[int, int] = ShardMap(shards=4)
        m.update((number, number) for number in range(20_000))
        m.delete_many(range(0, 20_000, 3))
        m.update((number, number) for number in range(30_000, 33_000))
        m.shrink()
        m.compute(1, lambda old: 1)

    life()
    gc.collect()
    before = native_bytes()
    for _ in range(10):
        life()
    gc.collect()
    assert native_bytes() - before < 100_000
