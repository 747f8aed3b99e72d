"""Free-threaded builds: a map that threads use by turns defers its reference counting, others go at once."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from concurrency import AnyMap, join_all

from shardmap import ShardMap

#: What CPython adds to the count of an object whose counting it defers is far above what a test can make.
DEFERRED = 1 << 40

CAN_DEFER = sys.version_info >= (3, 14) and not getattr(sys, "_is_gil_enabled", lambda: True)()

USES: dict[str, Callable[[AnyMap], Any]] = {
    "[]": lambda m: m["key"],
    "[]=": lambda m: m.__setitem__("key", 2),
    "in": lambda m: "key" in m,
    "get": lambda m: m.get("other"),
    "add": lambda m: m.add("key"),
    "pop": lambda m: m.pop("key"),
    "compute": lambda m: m.compute("key", lambda old: old),
    "a key that is no str": lambda m: m.get(1.5),
    "get_many": lambda m: m.get_many(["key"]),
}
uses = pytest.mark.parametrize("use", USES.values(), ids=USES)


def use_often(m: AnyMap) -> None:
    for _ in range(100):
        m.add("key")


def in_another_thread(call: Callable[[], Any]) -> None:
    thread = threading.Thread(target=call)
    thread.start()
    join_all([thread])


@uses
def test_a_map_of_one_thread_goes_at_once(use: Callable[[AnyMap], Any]) -> None:
    m: AnyMap = ShardMap({"key": 1})
    use(m)
    assert sys.getrefcount(m) < DEFERRED
    gone = weakref.ref(m)
    gc.disable()
    try:
        del m
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.skipif(not CAN_DEFER, reason="needs a free-threaded build of CPython 3.14 or later")
@uses
def test_threads_that_use_it_by_turns_make_it_deferred(use: Callable[[AnyMap], Any]) -> None:
    m: AnyMap = ShardMap({"key": 1})
    in_another_thread(partial(use, m))
    m["key"] = 3
    use(m)
    assert sys.getrefcount(m) >= DEFERRED
    m["key"] = 3
    assert m["key"] == 3
    gone = weakref.ref(m)
    del m
    gc.collect()
    assert gone() is None


@pytest.mark.skipif(not CAN_DEFER, reason="needs a free-threaded build of CPython 3.14 or later")
def test_a_thread_that_recalls_its_keys_is_noticed_too() -> None:
    """After the first round the makers' lookups go by the lookaside; the other thread's use ends that once."""
    m: AnyMap = ShardMap({f"key {number}": number for number in range(200)})
    keys = list(m)
    for _ in range(100):
        assert [m[key] for key in keys] == list(m.values())
    in_another_thread(lambda: m["key 1"])
    assert sys.getrefcount(m) < DEFERRED
    for key in keys:
        assert key in m
    assert sys.getrefcount(m) >= DEFERRED


def test_a_map_that_is_handed_on_goes_at_once() -> None:
    """Each thread uses it alone, a while, and none comes back: the last reference frees it."""
    m: AnyMap = ShardMap({"key": 1})
    for _ in range(3):
        in_another_thread(partial(use_often, m))
    assert sys.getrefcount(m) < DEFERRED
    gone = weakref.ref(m)
    gc.disable()
    try:
        del m
        assert gone() is None
    finally:
        gc.enable()


@uses
def test_what_two_threads_have_used_is_collected(use: Callable[[AnyMap], Any]) -> None:
    """The collector also finds it in a cycle, and what it holds."""

    class Value:
        pass

    m: AnyMap = ShardMap({"key": 1})
    in_another_thread(partial(use, m))
    m["value"] = Value()
    m["cycle"] = m
    gone = [weakref.ref(m), weakref.ref(m["value"])]
    del m
    gc.collect()
    assert [each() for each in gone] == [None, None]


def test_a_map_of_a_thread_that_has_ended() -> None:
    maps: list[AnyMap] = []
    in_another_thread(lambda: maps.append(ShardMap({"key": 1})))
    assert maps[0]["key"] == 1
    assert maps.pop().pop("key") == 1
