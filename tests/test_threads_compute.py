"""The compute family from many threads: callbacks run once, one at a time for a key, and nobody else is held up."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from concurrency import (
    THREADS,
    AnyMap,
    Setup,
    assert_same_elements,
    assert_settled,
    give_way,
    join_all,
    new_random,
    on_every_setup,
    promptly,
    run_copies,
    run_threads,
    scaled,
    wait_until,
)
from reservations import (
    PASSING_WHEN_ABSENT,
    PASSING_WHEN_PRESENT,
    WAITING_WHEN_ABSENT,
    WAITING_WHEN_PRESENT,
    Held,
    must_not_run,
    plus_one,
)

from shardmap import MISSING, DeadlockError

KEYS = 120
OPERATIONS = scaled(600)


class CallbackError(Exception):
    """Raised by callbacks; tests expect exactly this one."""


# -- once, and one at a time ------------------------------------------------------------------------------------------


@on_every_setup
def test_compute_if_absent_calls_once_however_many_ask(setup: Setup) -> None:
    m = setup.new()
    calls: list[int] = []

    def body(_: int) -> list[object]:
        results = []
        for number in range(KEYS):

            def make(key: Any) -> object:
                assert key == setup.key(number)
                calls.append(number)
                give_way()
                return object()

            results.append(m.compute_if_absent(setup.key(number), make))
        return results

    results = run_copies(body)
    assert_same_elements(calls, range(KEYS))
    entries = assert_settled(m)
    for number in range(KEYS):
        assert {id(result[number]) for result in results} == {id(entries[setup.key(number)])}


@on_every_setup
def test_compute_if_absent_is_tried_again_after_a_failure(setup: Setup) -> None:
    m = setup.new()
    calls: list[int] = []
    failures_of_each = 2

    def make(number: int) -> str:
        calls.append(number)
        give_way()
        if calls.count(number) <= failures_of_each:
            raise CallbackError
        return f"value {number}"

    def body(_: int) -> int:
        failed = 0
        for number in range(0, KEYS, 4):
            while True:
                try:
                    assert m.compute_if_absent(setup.key(number), lambda _: make(number)) == f"value {number}"
                    break
                except CallbackError:
                    failed += 1
        return failed

    numbers = range(0, KEYS, 4)
    assert sum(run_copies(body)) == len(numbers) * failures_of_each
    assert_same_elements(calls, list(numbers) * (failures_of_each + 1))
    assert assert_settled(m) == {setup.key(number): f"value {number}" for number in numbers}


@on_every_setup
def test_compute_if_absent_that_declines_leaves_nothing(setup: Setup) -> None:
    m = setup.new()

    def body(_: int) -> int:
        calls: list[Any] = []

        def decline(key: Any) -> Any:
            calls.append(key)
            give_way()
            return MISSING

        for number in range(KEYS):
            assert m.compute_if_absent(setup.key(number), decline) is MISSING
        return len(calls)

    # Nothing is ever stored, so everyone who asks is asked in turn.
    assert run_copies(body) == [KEYS] * THREADS
    assert assert_settled(m) == {}


@on_every_setup
def test_callbacks_of_a_key_exclude_each_other(setup: Setup) -> None:
    m = setup.new()
    keys = 6
    running = [0] * keys
    seed = new_random().randrange(1 << 32)

    def body(thread: int) -> Counter[int]:
        choose = random.Random(seed + thread)
        done: Counter[int] = Counter()
        for _ in range(OPERATIONS):
            number = choose.randrange(keys)
            outcome = choose.choice(["new", "new", "new", "raise"])

            def change(old: Any) -> Any:
                running[number] += 1
                assert running[number] == 1, "two callbacks of one key at a time"
                if choose.random() < 0.1:
                    give_way()
                running[number] -= 1
                if outcome == "raise":
                    raise CallbackError
                return 1 if old is MISSING else old + 1

            key = setup.key(number)
            way = choose.randrange(3)
            try:
                if way == 0:
                    m.compute(key, change)
                elif way == 1:
                    m.merge(key, 1, lambda old, _: change(old))
                elif m.compute_if_present(key, change) is MISSING:
                    continue
            except CallbackError:
                assert outcome == "raise"
            else:
                # A merge into an absent key stores its value and calls nothing.
                done[number] += 1
        return done

    done = sum(run_copies(body), Counter())
    assert assert_settled(m) == {setup.key(number): count for number, count in done.items()}


@on_every_setup
def test_compute_hands_on_each_value_once(setup: Setup) -> None:
    """Every callback's old value is the new value of exactly one other: the calls make one chain."""
    m = setup.new()

    def body(thread: int) -> list[tuple[Any, Any]]:
        steps: list[tuple[Any, Any]] = []

        def step(old: Any) -> Any:
            steps.append((old, (thread, len(steps))))
            return steps[-1][1]

        for _ in range(OPERATIONS):
            assert m.compute(setup.key(0), step) == steps[-1][1]
        assert len(steps) == OPERATIONS
        return steps

    following = dict(step for steps in run_copies(body) for step in steps)
    assert len(following) == THREADS * OPERATIONS
    last = MISSING
    for _ in range(THREADS * OPERATIONS):
        last = following.pop(last)
    assert assert_settled(m) == {setup.key(0): last}


@on_every_setup
def test_compute_turns_keys_on_and_off(setup: Setup) -> None:
    m = setup.new()
    keys = 6

    def body(thread: int) -> Counter[int]:
        seen_absent: Counter[int] = Counter()

        def toggle(old: Any, number: int) -> Any:
            if old is MISSING:
                seen_absent[number] += 1
                return number
            assert old == number
            seen_absent[number] -= 1
            return MISSING

        for step in range(OPERATIONS):
            number = (step + thread) % keys
            m.compute(setup.key(number), lambda old: toggle(old, number))
        return seen_absent

    balance: Counter[int] = Counter()
    for seen in run_copies(body):
        balance.update(seen)
    entries = assert_settled(m)
    for number in range(keys):
        # Turned on as often as off, or once more if it is on now.
        assert balance[number] == (setup.key(number) in entries)


@on_every_setup
def test_merge_collects_everything(setup: Setup) -> None:
    m = setup.new()
    keys = 8

    def body(thread: int) -> None:
        for number in range(OPERATIONS // 4):
            m.merge(setup.key(number % keys), ((thread, number),), lambda old, new: old + new)

    run_copies(body)
    collected = [entry for entries in assert_settled(m).values() for entry in entries]
    assert_same_elements(collected, [(t, n) for t in range(THREADS) for n in range(OPERATIONS // 4)])


@on_every_setup
def test_a_callback_that_raises_changes_nothing(setup: Setup) -> None:
    m = setup.new()
    m[setup.key(0)] = 0

    def fail(*_: Any) -> Any:
        give_way()
        raise CallbackError

    def body(thread: int) -> None:
        for _ in range(OPERATIONS // 4):
            attempts: list[Callable[[], Any]] = [
                lambda: m.compute(setup.key(0), fail),
                lambda: m.compute_if_present(setup.key(0), fail),
                lambda: m.merge(setup.key(0), 1, fail),
                lambda: m.compute(setup.key(1), fail),
                lambda: m.compute_if_absent(setup.key(1), fail),
            ]
            for failing in attempts:
                if thread == 0:
                    m.add(setup.key(0))
                    assert setup.key(1) not in m
                else:
                    with pytest.raises(CallbackError):
                        failing()

    run_copies(body)
    assert assert_settled(m) == {setup.key(0): 5 * (OPERATIONS // 4)}


@on_every_setup
def test_clear_counts_as_coming_after_the_computation(setup: Setup) -> None:
    m = setup.new()
    m[setup.key(0)] = "old"
    for key_number, old in ((0, "old"), (1, MISSING)):
        with Held(m, setup.key(key_number), "new") as held:
            assert held.old == old
            m[setup.key(2)] = "other"
            promptly(m.clear)
            assert len(m) == 0
            assert setup.key(key_number) not in m
        assert held.result == "new"
        assert assert_settled(m) == {}


# -- who waits and who does not ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("present", [True, False], ids=["present", "absent"])
@on_every_setup
def test_writers_of_a_reserved_key_wait(setup: Setup, present: bool) -> None:
    for name, (operation, result, value) in (WAITING_WHEN_PRESENT if present else WAITING_WHEN_ABSENT).items():
        m = setup.new()
        if present:
            m[setup.key(0)] = 1
        done = threading.Event()
        results: list[Any] = []

        def waiter() -> None:
            try:
                results.append(operation(m, setup.key(0)))
            finally:
                done.set()

        thread = threading.Thread(target=waiter, daemon=True)
        with Held(m, setup.key(0), 10):
            thread.start()
            wait_until(lambda: m.stats()["waiting"] == 1 or done.is_set())
            assert not done.is_set(), f"{name} did not wait"
            assert m.stats()["reserved"] == 1
            assert m.get(setup.key(0)) == (1 if present else None)
        join_all([thread])
        assert results == [result], name
        assert assert_settled(m) == ({} if value is MISSING else {setup.key(0): value}), name


@pytest.mark.parametrize("present", [True, False], ids=["present", "absent"])
@on_every_setup
def test_others_pass_a_reserved_key(setup: Setup, present: bool) -> None:
    for name, (operation, result) in (PASSING_WHEN_PRESENT if present else PASSING_WHEN_ABSENT).items():
        m = setup.new()
        if present:
            m[setup.key(0)] = 1
        with Held(m, setup.key(0), 10):
            assert promptly(lambda: operation(m, setup.key(0))) == result, name
        assert assert_settled(m) == {setup.key(0): 10}, name


@on_every_setup
def test_other_keys_are_not_held_up(setup: Setup) -> None:
    """While callbacks run, a whole workload passes on the other keys, growth included."""
    m = setup.new()
    reserved = [setup.key(number) for number in range(10)]
    m.update((key, "old") for key in reserved[:5])
    holders = [Held(m, key, "new") for key in reserved]
    for holder in holders:
        holder.__enter__()

    def body(thread: int) -> None:
        mine = range(100 + thread * KEYS, 100 + (thread + 1) * KEYS)
        for number in mine:
            key = setup.key(number)
            assert m.insert(key, 1)
            assert m.add(key) == 2
            assert m.compute(key, plus_one) == 3
            assert m.swap(key, 5) == 3
        for number in mine[::2]:
            assert m.pop(setup.key(number)) == 5
        assert m.retain(lambda key, value: value != 5 or key not in set(setup.keys(mine[1::4]))) >= 0

    run_copies(body)
    m._check()
    assert m.stats()["reserved"] == len(reserved)
    for holder in holders:
        holder.__exit__()
    entries = assert_settled(m)
    assert all(entries[key] == "new" for key in reserved)
    assert len(entries) == len(reserved) + THREADS * (KEYS // 2 - len(range(1, KEYS, 4)))


@on_every_setup
def test_all_waiters_go_on(setup: Setup) -> None:
    m = setup.new()
    waiters = 6
    held = Held(m, setup.key(0), 0)
    threads = [threading.Thread(target=m.add, args=(setup.key(0), 1 << n), daemon=True) for n in range(waiters)]
    with held:
        for thread in threads:
            thread.start()
        wait_until(lambda: m.stats()["waiting"] == waiters)
    join_all(threads)
    assert assert_settled(m) == {setup.key(0): (1 << waiters) - 1}


# -- callbacks that come back -----------------------------------------------------------------------------------------


@on_every_setup
def test_coming_back_to_the_reserved_key_is_an_error(setup: Setup) -> None:
    m = setup.new()
    attempts: list[Callable[[Any], Any]] = [
        lambda k: m.__setitem__(k, 0),
        lambda k: m.add(k),
        lambda k: m.count([k]),
        lambda k: m.swap(k, 0),
        lambda k: m.compute(k, must_not_run),
        lambda k: m.merge(k, 0, must_not_run),
    ]

    def body(thread: int) -> int:
        caught = 0
        for number in range(OPERATIONS // 4):
            key = setup.key(number % 7)

            def come_back(old: Any, key: Any = key, attempt: Any = attempts[(number + thread) % len(attempts)]) -> Any:
                nonlocal caught
                with pytest.raises(RuntimeError) as caught_error:
                    attempt(key)
                assert not isinstance(caught_error.value, DeadlockError)
                caught += 1
                return plus_one(old)

            m.compute(key, come_back)
        return caught

    assert run_copies(body) == [OPERATIONS // 4] * THREADS
    assert sum(assert_settled(m).values()) == THREADS * (OPERATIONS // 4)


@on_every_setup
@pytest.mark.parametrize("length", [2, 3, 5])
def test_a_ring_of_waiting_threads_is_broken_in_one_of_them(setup: Setup, length: int) -> None:
    for _ in range(scaled(5)):
        m = setup.new()
        m.update((setup.key(number), 0) for number in range(0, length, 2))
        all_inside = threading.Barrier(length)

        def body(thread: int) -> str:
            def outer(old: Any) -> Any:
                all_inside.wait()
                m.compute(setup.key((thread + 1) % length), plus_one)
                return 100 if old is MISSING else old + 100

            try:
                m.compute(setup.key(thread), outer)
            except DeadlockError:
                return "deadlock"
            return "done"

        results = run_copies(body, threads=length)
        assert_same_elements(results, ["deadlock"] + ["done"] * (length - 1))
        loser = results.index("deadlock")
        expected = {setup.key(number): 101 for number in range(length)}
        # The loser's own value is not stored, and neither is its step on the next key.
        expected[setup.key(loser)] = 1
        expected[setup.key((loser + 1) % length)] = 100
        assert assert_settled(m) == expected


@on_every_setup
def test_a_ring_across_two_maps_is_broken(setup: Setup) -> None:
    first, second = setup.new(), setup.new()
    both_inside = threading.Barrier(2)

    def body(mine: AnyMap, other: AnyMap) -> str:
        def outer(_: Any) -> Any:
            both_inside.wait()
            other[setup.key(0)] = "from outside"
            return "own"

        try:
            mine.compute(setup.key(0), outer)
        except DeadlockError:
            return "deadlock"
        return "done"

    assert_same_elements(run_threads([lambda: body(first, second), lambda: body(second, first)]), ["deadlock", "done"])
    # Who goes on stores its own value, and its other one where the loser's reservation was released.
    assert_same_elements([*assert_settled(first).values(), *assert_settled(second).values()], ["own", "from outside"])


@on_every_setup
def test_nesting_in_one_order_never_deadlocks(setup: Setup) -> None:
    m = setup.new()
    keys = 6
    seed = new_random().randrange(1 << 32)

    def nested(numbers: list[int]) -> None:
        def change(old: Any) -> Any:
            nested(numbers[1:])
            return plus_one(old)

        if numbers:
            m.compute(setup.key(numbers[0]), change)

    def body(thread: int) -> Counter[int]:
        choose = random.Random(seed + thread)
        done: Counter[int] = Counter()
        for _ in range(OPERATIONS // 3):
            numbers = sorted(choose.sample(range(keys), 3))
            nested(numbers)
            done.update(numbers)
        return done

    done = sum(run_copies(body), Counter())
    assert assert_settled(m) == {setup.key(number): count for number, count in done.items()}


@on_every_setup
def test_nesting_in_any_order_conserves_the_total(setup: Setup) -> None:
    """Transfers between accounts in random order: a deadlock undoes one of them, and nothing is lost or hangs."""
    m = setup.new()
    accounts = 4
    m.update((setup.key(number), 1000) for number in range(accounts))
    seed = new_random().randrange(1 << 32)

    def transfer(source: int, target: int) -> None:
        def take(old: Any) -> Any:
            m.compute(setup.key(target), plus_one)
            return old - 1

        m.compute(setup.key(source), take)

    def body(thread: int) -> None:
        choose = random.Random(seed + thread)
        for _ in range(OPERATIONS // 3):
            source, target = choose.sample(range(accounts), 2)
            while True:
                try:
                    transfer(source, target)
                    break
                except DeadlockError:
                    pass

    def look() -> None:
        total = sum(m.snapshot().values())
        # The target gains before the source pays, in each of the threads.
        assert 1000 * accounts <= total <= 1000 * accounts + THREADS

    run_copies(body, background=[look])
    assert sum(assert_settled(m).values()) == 1000 * accounts
