"""The garbage collector: cycles are found, nothing is visited twice, deep nests do not overflow the stack."""

from __future__ import annotations

import gc
import itertools
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest
from concurrency import VARIANTS, scaled
from hostile import Dying, Key
from support import run_python_ok, settle

from shardmap import ShardMap

# The tests misuse the map on purpose, so they ask for no types; `typing/` has samples that do.
AnyMap: TypeAlias = Any


class Node:
    """Something with attributes, to close cycles with."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


class NodeMap(ShardMap[Any, Any]):
    """A subclass with a ``__dict__``."""


@pytest.fixture(params=[ShardMap, VARIANTS["stressed-one-shard"], NodeMap], ids=["default", "stressed", "subclass"])
def make(request: pytest.FixtureRequest) -> Callable[[], AnyMap]:
    made: Callable[[], AnyMap] = request.param
    return made


def through_an_untracked_container(m: AnyMap) -> None:
    """The collector does not track an empty dict; it becomes part of a cycle after it was stored."""
    inner: dict[str, Any] = {}
    m["inner"] = inner
    inner["map"] = m


def through_a_tuple(m: AnyMap) -> None:
    m["tuple"] = (1, ("two", m))


def through_a_replaced_value(m: AnyMap) -> None:
    m["x"] = 1
    m["x"] = m


def through_two_maps(m: AnyMap) -> None:
    other: AnyMap = ShardMap()
    m["other"] = other
    other["m"] = m


def through_its_own_iterator(m: AnyMap) -> None:
    m.update((number, number) for number in range(10))
    iterator = iter(m.items())
    next(iterator)
    m["iterator"] = iterator


def through_a_dropped_first_iterator(m: AnyMap) -> None:
    m.update((number, number) for number in range(10))
    m["iterator"] = iter(m)


def through_partitions(m: AnyMap) -> None:
    m.update((number, number) for number in range(10))
    m["parts"] = m.partitions(3)


def through_an_iterator_that_holds_it(m: AnyMap) -> None:
    """Only the iterator's captured values lead back: the entry itself is gone."""
    node: Any = Node()
    m["node"] = node
    node.iterator = iter(m.values())
    next(node.iterator)
    del m["node"]
    m["node again"] = node


def through_attributes(m: AnyMap) -> None:
    if isinstance(m, NodeMap):
        m.me = m  # type: ignore[attr-defined]
    m["node"] = Node(map=m)


def through_a_generator(m: AnyMap) -> None:
    def run() -> Iterator[int]:
        for _ in m:
            yield 1

    m[0] = generator = run()
    next(generator)


CYCLES: dict[str, Callable[[AnyMap], Any]] = {
    "value": lambda m: m.__setitem__("me", m),
    "list": lambda m: m.__setitem__("me", [m]),
    "key": lambda m: m.__setitem__(Node(map=m), 1),
    "key and value": lambda m: m.__setitem__(Node(map=m), m),
    "key of a frozen set": lambda m: m.__setitem__(frozenset([Node(map=m)]), 1),
    "view": lambda m: m.__setitem__("me", m.keys()),
    "items view": lambda m: m.__setitem__("me", m.items()),
    "read-only view": lambda m: m.__setitem__("me", m.view()),
    "bound method": lambda m: m.__setitem__("me", m.get),
    "closure": lambda m: m.__setitem__("me", lambda: m),
    "insert": lambda m: m.insert("me", m),
    "setdefault": lambda m: m.setdefault("me", m),
    "swap": lambda m: (m.swap("me", 1), m.swap("me", m)),
    "replace": lambda m: (m.insert("me", 1), m.replace("me", m)),
    "compare_and_set": lambda m: (m.insert("me", 1), m.compare_and_set("me", 1, m)),
    "compute": lambda m: m.compute("me", lambda old: m),
    "compute_if_absent": lambda m: m.compute_if_absent("me", lambda key: m),
    "compute_if_present": lambda m: (m.insert("me", 1), m.compute_if_present("me", lambda old: m)),
    "merge": lambda m: (m.insert("me", 1), m.merge("me", m, lambda old, new: new)),
    "update": lambda m: m.update(me=m),
    "set_many": lambda m: m.set_many([("me", m)]),
    "add": lambda m: m.add("me", [m]),
    "copy": lambda m: (m.insert("me", m), m.insert("copy", m.copy())),
    **{
        each.__name__: each
        for each in (
            through_an_untracked_container, through_a_tuple, through_a_replaced_value, through_two_maps,
            through_its_own_iterator, through_a_dropped_first_iterator, through_partitions,
            through_an_iterator_that_holds_it, through_attributes, through_a_generator,
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("cycle", CYCLES)
@pytest.mark.parametrize("others", [0, 500])
def test_cycles_are_collected(make: Callable[[], AnyMap], cycle: str, others: int) -> None:
    family = Dying.family()
    m = make()
    m.update((("other", number), family() if number % 7 == 0 else number) for number in range(others))
    alive = family.alive
    CYCLES[cycle](m)
    reference = weakref.ref(m)
    del m
    assert reference() is not None, "no cycle"
    assert family.alive == alive
    settle()
    assert reference() is None
    assert family.alive == 0


@pytest.mark.parametrize("cycle", CYCLES)
def test_cycles_that_somebody_holds_are_not(make: Callable[[], AnyMap], cycle: str) -> None:
    m = make()
    m.update((number, [number]) for number in range(100))
    CYCLES[cycle](m)
    count = len(m)
    gc.collect()
    assert len(m) == count
    assert all(m[number] == [number] for number in range(10, 100))
    m._check()
    m.clear()


def test_a_cycle_that_is_taken_apart_in_time_needs_no_collector(make: Callable[[], AnyMap]) -> None:
    gc.disable()
    try:
        m = make()
        m["me"] = m
        reference = weakref.ref(m)
        del m["me"], m
        assert reference() is None
    finally:
        gc.enable()


def test_finalizers_of_a_cycle_see_a_usable_map(make: Callable[[], AnyMap]) -> None:
    seen: list[Any] = []
    family = Dying.family()
    m = make()
    m["me"] = m
    m["number"] = 5
    m["dying"] = dying = family()
    dying.action = lambda m=m: seen.append((len(m), m.get("number"), m["me"] is m))
    del m, dying
    settle()
    assert seen == [(3, 5, True)]
    assert not family.failures


def test_a_map_that_is_resurrected(make: Callable[[], AnyMap]) -> None:
    saved: list[Any] = []
    family = Dying.family()
    m = make()
    m["me"] = m
    m["number"] = 5
    m["saver"] = saver = family()
    saver.action = lambda m=m: saved.append(m)
    del m, saver
    settle()
    assert len(saved) == 1
    m = saved.pop()
    m._check()
    assert m["me"] is m
    assert m["number"] == 5
    m["number"] = 6
    m.clear()


def referents(m: AnyMap) -> Counter[int]:
    return Counter(id(each) for each in gc.get_referents(m))


def test_each_reference_is_visited_exactly_once(make: Callable[[], AnyMap]) -> None:
    """Visiting one twice frees what is in use; leaving one out makes a leak. In every stage of growth."""
    m = make()
    for number in range(300):
        m[Node(number=number)] = [number]
        if number % 3 == 0:
            m.popitem()
        if number % 10 == 0:
            found = referents(m)
            for key, value in list(m.items()):
                assert found[id(key)] == found[id(value)] == 1
    m.clear()
    assert sum(referents(m).values()) <= 3


def test_a_shared_object_is_visited_once_for_each_reference(make: Callable[[], AnyMap]) -> None:
    m = make()
    shared = [1]
    m.update((Node(), shared) for _ in range(50))
    assert referents(m)[id(shared)] == 50
    m.clear()
    assert referents(m)[id(shared)] == 0


def test_while_a_callback_runs(make: Callable[[], AnyMap]) -> None:
    """A key that is reserved while absent has no value to visit; one with a value has its old one."""
    m = make()
    m["me"] = m
    old, new = Node(), Node()
    key = Key("k")
    m["k"] = old

    def callback(_: Any) -> Node:
        gc.collect()
        assert referents(m)[id(old)] == 1
        return new

    m.compute("k", callback)
    assert referents(m)[id(new)] == 1
    assert referents(m)[id(old)] == 0

    def absent(_: Any) -> Node:
        gc.collect()
        assert referents(m)[id(key)] == 1
        return new

    m.compute(key, absent)
    assert referents(m)[id(new)] == 2
    m.clear()


def test_a_map_of_simple_objects_is_not_walked() -> None:
    """No str, int, float, bytes, bool or None can be part of a cycle: such a map costs the collector nothing."""
    m: AnyMap = ShardMap()
    m.update((f"key {number}", number * 1000) for number in range(5000))
    m.update({1: 1.5, b"x": None, 2.5: True})
    assert len(gc.get_referents(m)) < 10
    m["now"] = []
    assert any(each is m["now"] for each in gc.get_referents(m))


def test_the_map_is_tracked(make: Callable[[], AnyMap]) -> None:
    m = make()
    assert gc.is_tracked(m)
    assert gc.is_tracked(iter(m))


def test_collections_in_the_middle_of_growth(make: Callable[[], AnyMap]) -> None:
    """The collector runs at every few allocations while maps are filled with containers, emptied and dropped."""
    family = Dying.family()
    before = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        for _ in range(scaled(5)):
            m = make()
            m["me"] = m
            for number in range(300):
                m[(number, str(number))] = [m, family(), {number: (number,)}]
                if number % 3 == 0:
                    m.pop((number // 2, str(number // 2)), None)
                if number % 50 == 0:
                    m.compute(("c", number), lambda old, m=m: [m, family()])
                    m.count(map(str, range(20)))
                    assert len(m.snapshot()) == len(m) == len(list(m.items()))
                    m.copy()
            m._check()
            del m
    finally:
        gc.set_threshold(*before)
    settle()
    assert family.alive == 0


def test_debug_flags_find_nothing() -> None:
    """Everything that is collected is really freed."""
    gc.collect()
    m: AnyMap = ShardMap()
    m["me"] = m
    m["it"] = iter(m)
    del m
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        saved = [each for each in gc.garbage if isinstance(each, ShardMap)]
        assert len(saved) == 1
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    saved[0].clear()
    saved.clear()
    gc.collect()
    assert not gc.garbage


# -- deep -------------------------------------------------------------------------------------------------------------

NESTED = """
import gc, sys
from shardmap import ShardMap
depth, kind = int(sys.argv[1]), sys.argv[2]
gc.disable()
def make():
    # As ShardMap(shards=1, hash_seed=0), without a million checks of the options.
    made = ShardMap.__new__(ShardMap)
    made._configure(1, 0, 0)
    return made
m = make()
innermost = m
for number in range(depth):
    outer = make()
    if kind == "values":
        outer["x"] = m
    elif kind == "lists":
        outer["x"] = [m]
    elif kind == "cycle":
        outer["x"] = m
    elif kind == "iterators":
        m["y"] = 1
        outer["x"] = iter(m)
    elif kind == "views":
        outer["x"] = m.items()
    m = outer
if kind == "cycle":
    innermost["x"] = m
del outer, innermost
m = None
if kind == "cycle":
    gc.collect()
gc.enable()
gc.collect()
print("freed", len([each for each in gc.get_objects() if isinstance(each, ShardMap)]))
"""


@pytest.mark.parametrize(
    ("kind", "depth"),
    [("values", 1_000_000), ("lists", 100_000), ("cycle", 100_000), ("iterators", 100_000), ("views", 100_000)],
)
def test_deep_nests_are_freed(kind: str, depth: int) -> None:
    assert run_python_ok(NESTED, str(depth), kind) == "freed 0\n"


def test_a_deep_nest_that_clear_takes_apart() -> None:
    code = """
from shardmap import ShardMap
top = m = ShardMap(shards=1)
for number in range(100_000):
    inner = ShardMap(shards=1)
    m["x"] = inner
    m = inner
del m, inner
top.clear()
print(len(top))
"""
    assert run_python_ok(code) == "0\n"


def test_the_collector_uses_an_iterator_that_is_being_refilled() -> None:
    """Making the lists of the next shard may run the collector, and that any code: no element is lost or comes twice."""
    m: AnyMap = ShardMap({number: number for number in range(500)}, shards=16)
    found: list[int] = []
    inside = False
    threshold = gc.get_threshold()

    def take_one(phase: str, _: object) -> None:
        nonlocal inside
        if phase == "start" and not inside:
            inside = True
            found.extend(itertools.islice(iterator, 1))
            inside = False

    gc.callbacks.append(take_one)
    try:
        for allocations in range(1, 100):
            found.clear()
            iterator = iter(m)
            gc.set_threshold(allocations, 1000, 1000)
            for key in iterator:
                found.append(key)
                _garbage = [[]]
            gc.set_threshold(*threshold)
            assert sorted(found) == list(range(500))
    finally:
        gc.callbacks.remove(take_one)
        gc.set_threshold(*threshold)
