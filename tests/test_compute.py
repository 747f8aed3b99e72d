"""The reservation that compute, compute_if_absent, compute_if_present, merge and add make of their key.

What the callback itself may do, what others see, how waiting ends. Stress with many threads is in
``test_threads_compute.py``.
"""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Self, TypeAlias

import pytest
from concurrency import join_all, wait_until
from reference import OPERATIONS, READS, Operation, Reference, outcome_of_plain
from support import run_python_ok

from shardmap import MISSING, DeadlockError, ShardMap

# The tests misuse the map on purpose, so they ask for no types; `typing/` has samples that do.
AnyMap: TypeAlias = Any
HANG = 60


class Sum:
    """Its addition runs a callback, so ``add`` reserves the key."""

    def __init__(self, callback: Callable[[], Any]) -> None:
        self.callback = callback

    def __add__(self, other: object) -> Any:
        return self.callback()


def add_slowly(m: AnyMap, callback: Callable[[], Any]) -> Any:
    m["k"] = Sum(callback)
    return m.add("k", 1)


#: Ways to run a callback under the reservation of "k": with a value before it, and while it is absent.
PRESENT: dict[str, Callable[[AnyMap, Callable[[], Any]], Any]] = {
    "compute": lambda m, callback: m.compute("k", lambda old: callback()),
    "compute_if_present": lambda m, callback: m.compute_if_present("k", lambda old: callback()),
    "merge": lambda m, callback: m.merge("k", 1, lambda old, value: callback()),
    "add": add_slowly,
}
ABSENT: dict[str, Callable[[AnyMap, Callable[[], Any]], Any]] = {
    "compute": lambda m, callback: m.compute("k", lambda old: callback()),
    "compute_if_absent": lambda m, callback: m.compute_if_absent("k", lambda key: callback()),
}
WAYS = [pytest.param(way, True, id=f"{name}-present") for name, way in PRESENT.items()]
WAYS += [pytest.param(way, False, id=f"{name}-absent") for name, way in ABSENT.items()]
every_way = pytest.mark.parametrize(("way", "present"), WAYS)
Way = Callable[[AnyMap, Callable[[], Any]], Any]

WRITERS = {name: operation for name, operation in OPERATIONS.items() if name not in READS}


@pytest.fixture(params=["default", "one-shard", "stressed"])
def m(request: pytest.FixtureRequest) -> Iterator[AnyMap]:
    """A map with some entries; sound and without a reservation after the test."""
    made: AnyMap = ShardMap(shards=None if request.param == "default" else 1)
    if request.param == "stressed":
        made._stress(1, 1, True)
    made.update((number, number) for number in range(20))
    yield made
    made._check()
    stats = made.stats()
    assert (stats["reserved"], stats["waiting"]) == (0, 0)


def prepare(m: AnyMap, present: bool) -> None:
    m.pop("k", None)
    if present:
        m["k"] = 10


# -- what the callback sees and may do --------------------------------------------------------------------------------


@every_way
@pytest.mark.parametrize("writer", WRITERS)
def test_writing_the_key_in_its_callback_is_an_error(m: AnyMap, way: Way, present: bool, writer: str) -> None:
    errors: list[BaseException] = []

    def callback() -> int:
        before = m.get("k", MISSING)
        for _ in range(2):
            with pytest.raises(RuntimeError) as caught:
                WRITERS[writer](m, "k")
            errors.append(caught.value)
        assert m.get("k", MISSING) is before
        assert m.stats()["reserved"] == 1
        return 30

    prepare(m, present)
    assert way(m, callback) == 30
    assert m["k"] == 30
    assert len(m) == 21
    assert not any(isinstance(error, DeadlockError) for error in errors)
    assert "'k'" in str(errors[0])


@every_way
def test_the_error_may_leave_the_callback(m: AnyMap, way: Way, present: bool) -> None:
    prepare(m, present)
    with pytest.raises(RuntimeError):
        way(m, lambda: m.__setitem__("k", 1))
    if present:
        assert m.pop("k", None) is not None
    assert "k" not in m
    m["k"] = 1


@every_way
def test_the_callback_sees_the_map_as_it_was(m: AnyMap, way: Way, present: bool) -> None:
    entries = {number: number for number in range(20)}
    looks = 0

    def look() -> int:
        nonlocal looks
        looks += 1
        old = m.get("k", MISSING)
        expected = entries | ({"k": old} if present else {})
        assert (old is not MISSING) is present
        assert ("k" in m) is present
        assert ("k" in m.keys()) is present  # noqa: SIM118
        assert m.get_many([1, "k", 2], MISSING) == [1, old, 2]
        assert len(m) == len(expected)
        assert m.snapshot() == dict(m) == dict(m.items()) == expected
        assert sorted(map(str, m)) == sorted(map(str, expected))
        assert len(list(m.values())) == len(expected)
        assert dict(item for part in m.partitions(3) for item in part) == expected
        assert m == expected
        assert m.copy() == copy.copy(m) == expected
        m.copy()._check()
        assert m.diff(expected) == ({}, {}, {})
        assert m | {} == expected
        if isinstance(old, int) or not present:
            assert pickle.loads(pickle.dumps(m)) == expected
            assert ("'k': 10" in repr(m)) is present
        if present:
            assert m["k"] is old
        else:
            with pytest.raises(KeyError):
                m["k"]
        stats = m.stats()
        assert (stats["entries"], stats["reserved"], stats["waiting"]) == (len(expected), 1, 0)
        m._check()
        return 30

    prepare(m, present)
    assert way(m, look) == 30
    assert looks == 1
    assert m == entries | {"k": 30}


@every_way
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())
def test_other_keys_are_free_in_a_callback(m: AnyMap, way: Way, present: bool, operation: Operation) -> None:
    expected: list[Any] = []

    def callback() -> int:
        for key in (5, "absent"):
            plain = {key: 10} if key == 5 else {}
            m.pop(key, None)
            m.update(plain)
            expected.append(outcome_of_plain(operation, plain, key))
            try:
                result = operation(m, key)
            except KeyError:
                result = KeyError
            assert (result, {key: m[key]} if key in m else {}) == expected[-1]
        return 30

    prepare(m, present)
    assert way(m, callback) == 30
    assert len(expected) == 2
    assert m["k"] == 30


@every_way
def test_callbacks_nest_on_different_keys(m: AnyMap, way: Way, present: bool) -> None:
    depth = 100

    def descend(level: int) -> int:
        if level == depth:
            assert m.stats()["reserved"] == depth + 1
            m.update((("more", number), number) for number in range(100))
            return level
        deeper: int = m.compute(("level", level), lambda old: descend(level + 1))
        return deeper

    prepare(m, present)
    assert way(m, lambda: descend(0)) == depth
    assert all(m[("level", level)] == depth for level in range(depth))
    assert len(m) == 20 + 1 + depth + 100


@pytest.mark.parametrize("kind", ["compute", "compute_if_absent"])
def test_endless_nesting_is_a_recursion_error_that_leaves_nothing(m: AnyMap, kind: str) -> None:
    def descend(level: int) -> Any:
        return getattr(m, kind)(("level", level), lambda _: descend(level + 1))

    with pytest.raises(RecursionError):
        descend(0)
    assert len(m) == 20


# -- exceptions -------------------------------------------------------------------------------------------------------


@every_way
@pytest.mark.parametrize("error", [ValueError, StopIteration, KeyError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_exception_releases_the_reservation(m: AnyMap, way: Way, present: bool, error: type[BaseException]) -> None:
    def fail() -> Any:
        raise error("in the callback")

    prepare(m, present)
    for _ in range(3):
        before = dict(m)
        with pytest.raises(error, match="in the callback"):
            way(m, fail)
        assert m.stats()["reserved"] == 0
        assert set(m) == set(before)
        m._check()
    prepare(m, present)
    assert way(m, lambda: 30) == 30
    assert m["k"] == 30


@every_way
def test_an_exception_after_changes_keeps_them(m: AnyMap, way: Way, present: bool) -> None:
    """Only the key's own entry is as it was; what the callback did elsewhere is done."""

    def fail() -> Any:
        m["done"] = 1
        m.update((("more", number), number) for number in range(200))
        m.shrink()
        raise ZeroDivisionError

    prepare(m, present)
    with pytest.raises(ZeroDivisionError):
        way(m, fail)
    assert ("k" in m) is present
    assert m["done"] == 1
    assert len(m) == 221 + present


@every_way
def test_missing_deletes(m: AnyMap, way: Way, present: bool) -> None:
    prepare(m, present)
    assert way(m, lambda: MISSING) is MISSING
    assert "k" not in m
    assert len(m) == 20


# -- clear, popitem, retain while a callback runs ---------------------------------------------------------------------


@every_way
def test_clear_in_the_middle(m: AnyMap, way: Way, present: bool) -> None:
    def callback() -> int:
        m.clear()
        assert len(m) == 0
        assert m.stats()["reserved"] == 0
        m["other"] = 1
        return 30

    prepare(m, present)
    assert way(m, callback) == 30
    assert m == {"other": 1}


@every_way
def test_clear_in_the_middle_of_one_that_raises_or_deletes(m: AnyMap, way: Way, present: bool) -> None:
    def fail() -> Any:
        m.clear()
        raise ZeroDivisionError

    prepare(m, present)
    with pytest.raises(ZeroDivisionError):
        way(m, fail)
    assert len(m) == 0
    prepare(m, present)
    assert way(m, lambda: (m.clear(), MISSING)[1]) is MISSING
    assert len(m) == 0


@every_way
def test_after_clear_the_key_is_free_even_in_its_callback(m: AnyMap, way: Way, present: bool) -> None:
    def callback() -> int:
        m.clear()
        m["k"] = 1
        assert m.compute("k", lambda old: old + 1) == 2
        assert m.merge("k", 5, lambda old, value: old + value) == 7
        return 30

    prepare(m, present)
    assert way(m, callback) == 30
    assert m == {"k": 7}


@every_way
def test_clear_twice_and_reserve_again(m: AnyMap, way: Way, present: bool) -> None:
    """Reservations that were cancelled and new ones of the same key do not get in each other's way."""

    def inner() -> int:
        m.clear()
        m.update((number, number) for number in range(50))
        return 2

    def outer() -> int:
        m.clear()
        assert m.compute("k", lambda old: inner()) == 2
        assert "k" not in m
        assert m.compute("k", lambda old: 3) == 3
        return 1

    prepare(m, present)
    assert way(m, outer) == 1
    assert m == {number: number for number in range(50)} | {"k": 3}


@every_way
def test_popitem_passes_over_the_key(m: AnyMap, way: Way, present: bool) -> None:
    def callback() -> int:
        popped = dict(m.popitem() for _ in range(20))
        assert popped == {number: number for number in range(20)}
        with pytest.raises(RuntimeError if present else KeyError):
            m.popitem()
        assert len(m) == present
        return 30

    prepare(m, present)
    assert way(m, callback) == 30
    assert m == {"k": 30}
    assert m.popitem() == ("k", 30)


@every_way
def test_retain_meets_the_key(m: AnyMap, way: Way, present: bool) -> None:
    def callback() -> int:
        judged: list[Any] = []

        def judge(key: Any, value: Any) -> bool:
            judged.append(key)
            return bool(key == "k" or key < 10)

        assert m.retain(judge) == 10
        assert ("k" in judged) is present
        if present:
            with pytest.raises(RuntimeError):
                m.retain(lambda key, value: key != "k")
        else:
            assert m.retain(lambda key, value: key != "k") == 0
        return 30

    prepare(m, present)
    assert way(m, callback) == 30
    assert m == {number: number for number in range(10)} | {"k": 30}


@every_way
def test_shrink_moves_the_entry_that_is_being_computed(m: AnyMap, way: Way, present: bool) -> None:
    """Among other reserved ones, whose entries move too."""
    m.update((number, number) for number in range(20, 200))
    prepare(m, present)

    def inner() -> int:
        m.delete_many(range(200))
        m.shrink()
        m._check()
        m.update((number, number) for number in range(300, 310))
        m.shrink()
        assert m.stats()["reserved"] == 3
        return 30

    assert m.compute("before", lambda old: way(m, lambda: m.compute("after", lambda old: inner()) + 1) + 1) == 32
    assert m == {number: number for number in range(300, 310)} | {"after": 30, "k": 31, "before": 32}


@every_way
def test_iterators_started_before_and_inside(m: AnyMap, way: Way, present: bool) -> None:
    prepare(m, present)
    before = iter(m.items())
    first = next(before)
    inside: list[Iterator[Any]] = []

    def callback() -> int:
        inside.append(iter(m.items()))
        return 30

    assert way(m, callback) == 30
    for items in ([first, *before], list(inside[0])):
        keys = [key for key, _ in items]
        assert len(keys) == len(set(keys))
        assert set(range(20)) <= set(keys)


@every_way
def test_the_map_may_lose_its_last_reference_in_the_callback(way: Way, present: bool) -> None:
    holder: list[AnyMap] = [ShardMap({1: 1})]
    prepare(holder[0], present)
    reference = weakref.ref(holder[0])

    def callback() -> int:
        holder.clear()
        gc.collect()
        return 30

    assert way(holder[0], callback) == 30
    gc.collect()
    assert reference() is None


# -- a second thread --------------------------------------------------------------------------------------------------


class Computing:
    """A thread inside a callback under the reservation of "k", until `finish`; then `result` is what it got."""

    def __init__(self, m: AnyMap, way: Way, value: Any = 30) -> None:
        self.entered = threading.Event()
        self.leave = threading.Event()
        self.value = value
        self.result: Any = None

        def callback() -> Any:
            self.entered.set()
            assert self.leave.wait(HANG)
            if isinstance(self.value, type):
                raise self.value
            return self.value

        def run() -> None:
            try:
                self.result = way(m, callback)
            except Exception as error:
                self.result = type(error)

        self.thread = threading.Thread(target=run, daemon=True)

    def __enter__(self) -> Self:
        self.thread.start()
        assert self.entered.wait(HANG)
        return self

    def __exit__(self, *exception: object) -> None:
        self.finish()

    def finish(self) -> None:
        self.leave.set()
        join_all([self.thread])


#: These leave an absent key alone, so they do not wait for one that is reserved while absent.
LEAVE_ABSENT = {"delitem", "pop", "pop default", "replace", "compare_and_set", "compare_and_set other",
                "compare_and_delete", "compute_if_present", "delete_many"}  # fmt: skip
#: These leave a present key alone, so they do not wait for one that is reserved with a value.
LEAVE_PRESENT = {"setdefault", "insert", "compute_if_absent"}


@pytest.mark.parametrize("ending", [30, 10, MISSING, ZeroDivisionError], ids=["other", "same", "deleted", "raised"])
@pytest.mark.parametrize("present", [True, False], ids=["present", "absent"])
@pytest.mark.parametrize("writer", WRITERS)
def test_what_another_writer_of_the_key_gets(m: AnyMap, writer: str, present: bool, ending: Any) -> None:
    """It waits until the computation is over and works on what that left; or it need not wait, and works on the old."""
    passes = writer in (LEAVE_PRESENT if present else LEAVE_ABSENT)
    prepare(m, present)
    old = {"k": 10} if present else {}
    left = old if ending is ZeroDivisionError else {} if ending is MISSING else {"k": ending}
    results: list[Any] = []

    def write() -> None:
        try:
            results.append(WRITERS[writer](m, "k"))
        except KeyError:
            results.append(KeyError)

    other = threading.Thread(target=write, daemon=True)
    with Computing(m, PRESENT["compute"], ending) as computing:
        other.start()
        if passes:
            join_all([other])
            assert len(results) == 1
            assert m.stats()["waiting"] == 0
        else:
            wait_until(lambda: m.stats()["waiting"] == 1)
            assert results == []
        assert m.get("k", MISSING) == (10 if present else MISSING)
        assert m.stats()["reserved"] == 1
        computing.finish()
        join_all([other])
    expected, entries = outcome_of_plain(WRITERS[writer], old if passes else left, "k")
    if passes:
        entries = left
    assert results == [expected]
    assert ({"k": m["k"]} if "k" in m else {}) == entries


def test_all_waiting_writers_go_on(m: AnyMap) -> None:
    m["k"] = 0
    threads = [threading.Thread(target=lambda: m.add("k", 1), daemon=True) for _ in range(5)]
    threads += [threading.Thread(target=lambda: m.compute("k", lambda old: old + 10), daemon=True) for _ in range(5)]
    with Computing(m, PRESENT["compute"], 100):
        for thread in threads:
            thread.start()
        wait_until(lambda: m.stats()["waiting"] == 10)
        assert m["k"] == 0
    join_all(threads)
    assert m["k"] == 155


def test_clear_wakes_the_waiting(m: AnyMap) -> None:
    """clear() ends the reservation at once: who waited for it goes on while the callback still runs."""
    prepare(m, True)
    other = threading.Thread(target=lambda: m.add("k", 7), daemon=True)
    with Computing(m, PRESENT["compute"]) as computing:
        other.start()
        wait_until(lambda: m.stats()["waiting"] == 1)
        m.clear()
        join_all([other])
        assert m == {"k": 7}
    assert computing.result == 30
    assert m == {"k": 7}


def test_popitem_waits_when_all_that_is_left_is_being_computed() -> None:
    m: AnyMap = ShardMap({"k": 10})
    results: list[Any] = []
    other = threading.Thread(target=lambda: results.append(m.popitem()), daemon=True)
    with Computing(m, PRESENT["compute"]):
        other.start()
        wait_until(lambda: m.stats()["waiting"] == 1)
        assert results == []
    join_all([other])
    assert results == [("k", 30)]
    assert len(m) == 0
    with Computing(m, ABSENT["compute"]), pytest.raises(KeyError):
        m.popitem()
    assert m == {"k": 30}


def test_retain_waits_for_a_key_it_would_remove(m: AnyMap) -> None:
    prepare(m, True)
    results: list[int] = []
    judged: list[Any] = []

    def judge(key: Any, value: Any) -> bool:
        if key == "k":
            judged.append(value)
        return bool(key != "k")

    other = threading.Thread(target=lambda: results.append(m.retain(judge)), daemon=True)
    with Computing(m, PRESENT["compute"]):
        other.start()
        wait_until(lambda: m.stats()["waiting"] == 1)
    join_all([other])
    assert results == [1]
    assert judged == [10, 30]
    assert "k" not in m


@pytest.mark.parametrize("length", [2, 3, 5])
def test_the_thread_that_would_close_a_circle_gets_a_deadlock_error(length: int) -> None:
    """Thread i computes key i and then wants key i + 1. All but the last wait already when the last one asks."""
    m: AnyMap = ShardMap(dict.fromkeys(range(length), 0))
    reserved = [threading.Event() for _ in range(length)]
    go = [threading.Event() for _ in range(length)]
    errors: dict[int, BaseException] = {}

    def body(number: int) -> None:
        def callback(old: int) -> int:
            reserved[number].set()
            assert go[number].wait(HANG)
            try:
                m.add((number + 1) % length, 1)
            except BaseException as error:
                errors[number] = error
            return old + 100

        m.compute(number, callback)

    threads = [threading.Thread(target=body, args=(number,), daemon=True) for number in range(length)]
    for thread, event in zip(threads, reserved, strict=True):
        thread.start()
        assert event.wait(HANG)
    for number in range(length - 1):
        go[number].set()
        wait_until(lambda number=number: m.stats()["waiting"] == number + 1)
    assert not errors
    go[length - 1].set()
    join_all(threads)
    assert list(errors) == [length - 1]
    assert isinstance(errors[length - 1], DeadlockError)
    assert isinstance(errors[length - 1], RuntimeError)
    # All but the last got their addition, each after the computation of the key that it waited for.
    assert m == {number: 100 + (number > 0) for number in range(length)}
    m._check()
    assert m.stats()["reserved"] == m.stats()["waiting"] == 0


def test_a_deadlock_error_that_leaves_the_callback_releases_its_key() -> None:
    m: AnyMap = ShardMap({"a": 1, "b": 1})
    inner_reserved, go = threading.Event(), threading.Event()

    def other() -> None:
        def callback(old: int) -> int:
            inner_reserved.set()
            assert go.wait(HANG)
            return old + int(m.add("a", 1))

        m.compute("b", callback)

    thread = threading.Thread(target=other, daemon=True)

    def mine(old: int) -> int:
        thread.start()
        assert inner_reserved.wait(HANG)
        go.set()
        wait_until(lambda: m.stats()["waiting"] == 1)
        return int(m.add("b", 1))

    with pytest.raises(DeadlockError):
        m.compute("a", mine)
    join_all([thread])
    assert m == {"a": 2, "b": 3}


def test_waiting_in_a_chain_is_no_circle() -> None:
    """A waits for B, who waits for C, who computes: nobody gets an error."""
    m: AnyMap = ShardMap()
    entered = [threading.Event() for _ in range(4)]
    leave = threading.Event()

    def body(number: int) -> None:
        def callback(old: Any) -> int:
            entered[number].set()
            if number == 0:
                assert leave.wait(HANG)
                return 1
            return int(m.compute(number - 1, lambda old: old + 1))

        m.compute(number, callback)

    threads = [threading.Thread(target=body, args=(number,), daemon=True) for number in range(4)]
    for number, thread in enumerate(threads):
        thread.start()
        assert entered[number].wait(HANG)
    wait_until(lambda: m.stats()["waiting"] == 3)
    leave.set()
    join_all(threads)
    assert m == {0: 2, 1: 3, 2: 4, 3: 4}


# -- signals ----------------------------------------------------------------------------------------------------------

SIGNALS = """
import signal, threading
from concurrency import wait_until
from shardmap import ShardMap

m = ShardMap({"k": 10})
entered, leave = threading.Event(), threading.Event()

def callback(old):
    entered.set()
    assert leave.wait(60)
    return 30

def compute():
    m.compute("k", callback)

computing = threading.Thread(target=compute)
computing.start()
assert entered.wait(60)

def interrupt(signal_number):
    wait_until(lambda: m.stats()["waiting"] == 1)
    signal.pthread_kill(threading.main_thread().ident, signal_number)
"""


@pytest.mark.parametrize(
    "operation",
    ["m['k'] = 1", "m.add('k', 1)", "m.compute('k', lambda old: 1)", "del m['k']", "m.retain(lambda k, v: False)",
     "m.count(['k'])", "m.popitem()", "m.update({'k': 1})", "m.delete_many(['k'])"],
)  # fmt: skip
def test_control_c_interrupts_a_waiting_main_thread(operation: str) -> None:
    code = f"""{SIGNALS}
other = threading.Thread(target=interrupt, args=(signal.SIGINT,))
other.start()
try:
    {operation}
except KeyboardInterrupt:
    print("interrupted", m.stats()["waiting"], m.stats()["reserved"], m["k"])
leave.set()
computing.join()
other.join()
m._check()
print(m, m.stats()["waiting"], m.stats()["reserved"])
m["k"] = 5
print(m)
"""
    expected = "interrupted 0 1 10\nShardMap({'k': 30}) 0 0\nShardMap({'k': 5})\n"
    assert run_python_ok(code) == expected


def test_a_signal_whose_handler_returns_does_not_end_the_waiting() -> None:
    code = f"""{SIGNALS}
handled = []
def handler(number, frame):
    handled.append(m["k"])
    if len(handled) == 3:
        leave.set()
    else:
        threading.Thread(target=interrupt, args=(signal.SIGUSR1,)).start()
signal.signal(signal.SIGUSR1, handler)
threading.Thread(target=interrupt, args=(signal.SIGUSR1,)).start()
print(m.add("k", 1), handled, m.stats()["waiting"])
computing.join()
m._check()
"""
    assert run_python_ok(code) == "31 [10, 10, 10] 0\n"


def test_a_timer_that_raises_ends_the_waiting() -> None:
    code = f"""{SIGNALS}
class Timeout(Exception):
    pass
def handler(number, frame):
    raise Timeout
signal.signal(signal.SIGALRM, handler)
for attempt in range(3):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        m["k"] = 1
    except Timeout:
        print("timeout", m.stats()["waiting"])
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        m.compute("k", lambda old: 1)
    except Timeout:
        print("timeout", m.stats()["waiting"])
leave.set()
computing.join()
m._check()
print(m)
"""
    assert run_python_ok(code) == "timeout 0\n" * 6 + "ShardMap({'k': 30})\n"


def test_the_reference_agrees_with_dict() -> None:
    """The model that these tests trust, where dict has the same operation."""
    for name in ("getitem", "get", "setitem", "delitem", "pop", "pop default", "setdefault", "update", "contains"):
        for plain in ({}, {"k": 10}):
            control = dict(plain)
            try:
                result = OPERATIONS[name](control, "k")
            except KeyError:
                result = KeyError
            assert outcome_of_plain(OPERATIONS[name], plain, "k") == (result, control)
    assert issubclass(Reference, dict)
