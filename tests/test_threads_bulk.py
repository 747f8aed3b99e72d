"""Bulk operations from many threads: per key they are as atomic as the single ones, and their totals add up."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

from concurrency import (
    THREADS,
    AnyMap,
    Setup,
    assert_same_elements,
    assert_settled,
    new_random,
    on_every_setup,
    run_copies,
    run_threads,
    scaled,
)

KEYS = 150
ROUNDS = scaled(25)


@on_every_setup
def test_set_many_of_many_threads(setup: Setup) -> None:
    m = setup.new()

    def body(thread: int) -> None:
        for round_ in range(ROUNDS):
            pairs = [(setup.key(number), (number, thread, round_)) for number in range(thread, KEYS + thread)]
            if round_ % 3 == 0:
                m.set_many(pairs)
            elif round_ % 3 == 1:
                m.set_many(dict(pairs))
            else:
                m.update(iter(pairs))

    run_copies(body)
    entries = assert_settled(m)
    assert len(entries) == KEYS + THREADS - 1
    for key, (number, thread, round_) in entries.items():
        assert key == setup.key(number)
        # Whoever came last to a key did so with its last round.
        assert round_ == ROUNDS - 1
        assert thread <= number < KEYS + thread


@on_every_setup
def test_get_many_goes_with_one_writer(setup: Setup) -> None:
    m = setup.new()
    m.update((setup.key(number), 0) for number in range(KEYS))
    newest = [0] * KEYS

    def write() -> None:
        for value in range(1, ROUNDS):
            m.set_many((setup.key(number), value) for number in range(KEYS))

    def read() -> None:
        values = m.get_many(setup.keys(KEYS + 1), -1)
        assert values.pop() == -1
        assert all(map(int.__le__, newest, values)), "an older value after a newer one"
        newest[:] = values

    def come_and_go() -> None:
        numbers = range(KEYS + 1, 2 * KEYS)
        m.set_many((setup.key(number), 0) for number in numbers)
        assert m.delete_many(setup.key(number) for number in numbers) == len(numbers)

    run_threads([write], background=[read, come_and_go])
    assert assert_settled(m) == {setup.key(number): ROUNDS - 1 for number in range(KEYS)}


@on_every_setup
def test_delete_many_counts_each_key_once(setup: Setup) -> None:
    seed = new_random().randrange(1 << 32)
    for _ in range(scaled(4)):
        m = setup.new()
        m.update((setup.key(number), number) for number in range(KEYS))

        def body(thread: int) -> int:
            numbers = list(range(KEYS)) * 2
            random.Random(seed + thread).shuffle(numbers)
            return m.delete_many(setup.keys(numbers[:KEYS])) + m.delete_many(setup.keys(KEYS))

        assert sum(run_copies(body)) == KEYS
        assert assert_settled(m) == {}


@on_every_setup
def test_inserted_less_deleted_is_what_is_left(setup: Setup) -> None:
    m = setup.new()
    seed = new_random().randrange(1 << 32)

    def body(thread: int) -> int:
        choose = random.Random(seed + thread)
        balance = 0
        for _ in range(ROUNDS * 4):
            numbers = [choose.randrange(KEYS) for _ in range(10)]
            if choose.random() < 0.5:
                balance += sum(m.insert(setup.key(number), number) for number in numbers)
            elif choose.random() < 0.5:
                balance -= m.delete_many(setup.keys(numbers))
            else:
                remainder = choose.randrange(5)
                balance -= m.retain(lambda _, value: value % 5 != remainder)
        return balance

    assert sum(run_copies(body)) == len(assert_settled(m))


@on_every_setup
def test_retain_counts_each_key_once(setup: Setup) -> None:
    for _ in range(scaled(4)):
        m = setup.new()
        m.update((setup.key(number), number) for number in range(KEYS))

        def body(_: int) -> int:
            return m.retain(lambda key, value: value % 3 == 0)

        assert sum(run_copies(body)) == KEYS - len(range(0, KEYS, 3))
        assert assert_settled(m) == {setup.key(number): number for number in range(0, KEYS, 3)}


@on_every_setup
def test_retain_removes_only_what_it_judged(setup: Setup) -> None:
    """A value that became good meanwhile is not removed for having been bad."""
    removed = saved = 0
    for _ in range(scaled(6)):
        m = setup.new()
        m.update((setup.key(number), ("bad", number)) for number in range(KEYS))

        def body(thread: int) -> tuple[int, list[int]]:
            if thread == 0:
                return m.retain(lambda key, value: value[0] == "good"), []
            mine = range(KEYS - thread, -1, -(THREADS - 1))
            return 0, [n for n in mine if m.compare_and_set(setup.key(n), ("bad", n), ("good", n))]

        results = run_copies(body)
        good = [number for _, numbers in results for number in numbers]
        assert assert_settled(m) == {setup.key(number): ("good", number) for number in good}
        assert results[0][0] == KEYS - len(good)
        removed += results[0][0]
        saved += len(good)
    print(f"{removed} removed, {saved} saved")


@on_every_setup
def test_retain_judges_pairs_that_belong_together(setup: Setup) -> None:
    m = setup.new()

    def body(thread: int) -> None:
        for number in range(ROUNDS * 20):
            key = setup.key(number % KEYS)
            if thread % 2:
                m[key] = (number % KEYS, thread, number)
            else:
                m.pop(key, None)

    def judge(key: Any, value: Any) -> object:
        assert key == setup.key(value[0])
        m.get(key)  # no lock is held
        return value[2] % 7 != 0

    run_copies(body, background=[lambda: m.retain(judge)])
    m.retain(judge)
    assert all(key == setup.key(value[0]) and value[2] % 7 for key, value in assert_settled(m).items())


@on_every_setup
def test_partitions_share_the_items_among_threads(setup: Setup) -> None:
    m = setup.new()
    m.update((setup.key(number), number) for number in range(KEYS))
    rounds = scaled(8)

    def come_and_go() -> None:
        m.set_many((setup.key(number), number) for number in range(KEYS, 2 * KEYS))
        m.delete_many(setup.key(number) for number in range(KEYS, 2 * KEYS))

    for round_ in range(rounds):
        partitions = m.partitions(1 + round_ % 6)
        assert len(partitions) == 1 + round_ % 6
        parts = run_threads([partial(list[Any], part) for part in partitions], background=[come_and_go])
        items = [item for part in parts for item in part]
        assert all(key == setup.key(number) for key, number in items)
        numbers = [number for _, number in items]
        assert len(set(numbers)) == len(numbers), "a key in two partitions"
        assert_same_elements([number for number in numbers if number < KEYS], range(KEYS))
    assert len(assert_settled(m)) == KEYS


@on_every_setup
def test_maps_updated_from_each_other(setup: Setup) -> None:
    """`update` in both directions, `==`, `copy` and `diff` of two maps that others write: no thread waits forever."""
    first, second = setup.new(), setup.new()
    first.update((setup.key(number), number) for number in range(0, KEYS, 2))
    second.update((setup.key(number), number) for number in range(1, KEYS, 2))

    def exchange(mine: AnyMap, other: AnyMap) -> None:
        for round_ in range(ROUNDS):
            mine.update(other)
            assert (mine == other) in (True, False)
            difference = mine.diff(other)
            assert not difference.changed
            copied = mine.copy()
            assert copied == copied.copy() == copied.snapshot()
            extra = setup.key(KEYS + round_)
            mine.insert(extra, KEYS + round_)
            mine |= other

    run_threads([lambda: exchange(first, second), lambda: exchange(second, first)] * 2)
    first.update(second)
    second.update(first)
    assert assert_settled(first) == {setup.key(number): number for number in range(KEYS + ROUNDS)}
    assert first == second
    assert assert_settled(second) == assert_settled(first)
