"""Conditional operations from many threads: exactly one winner, and whatever is taken is taken once."""

from __future__ import annotations

import random
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
    new_random,
    on_every_setup,
    run_copies,
    run_threads,
    scaled,
)
from reservations import plus_one

from shardmap import MISSING

KEYS = 400
ROUNDS = scaled(3)


def shuffled(choose: random.Random, count: int) -> list[int]:
    numbers = list(range(count))
    choose.shuffle(numbers)
    return numbers


@on_every_setup
def test_insert_has_one_winner_a_key(setup: Setup) -> None:
    for _ in range(ROUNDS):
        m = setup.new()

        def body(thread: int) -> list[int]:
            return [number for number in range(KEYS) if m.insert(setup.key(number), (thread, number))]

        won = run_copies(body)
        assert_same_elements([number for numbers in won for number in numbers], range(KEYS))
        expected = {setup.key(number): (thread, number) for thread in range(THREADS) for number in won[thread]}
        assert assert_settled(m) == expected


@on_every_setup
def test_setdefault_gives_all_the_same_object(setup: Setup) -> None:
    for _ in range(ROUNDS):
        m = setup.new()

        def body(_: int) -> list[object]:
            return [m.setdefault(setup.key(number), object()) for number in range(KEYS)]

        results = run_copies(body)
        entries = assert_settled(m)
        for number in range(KEYS):
            assert {id(result[number]) for result in results} == {id(entries[setup.key(number)])}


@on_every_setup
def test_compare_and_set_counts(setup: Setup) -> None:
    m = setup.new()
    keys = 5
    m.update((setup.key(number), 0) for number in range(keys))
    operations = scaled(1000)

    def body(thread: int) -> None:
        for number in range(operations):
            key = setup.key((number + thread) % keys)
            while True:
                # A fresh int object each time: an equal expectation counts, not only the identical one.
                expected = int(str(m[key]))
                if m.compare_and_set(key, expected, expected + 1):
                    break

    run_copies(body)
    assert sum(assert_settled(m).values()) == THREADS * operations


@on_every_setup
def test_compare_and_set_keeps_a_ledger(setup: Setup) -> None:
    m = setup.new()
    m[setup.key(0)] = None
    operations = scaled(300)

    def body(thread: int) -> None:
        for number in range(operations):
            while True:
                last = m[setup.key(0)]
                # Each entry is linked to the one before it: nobody's can be overwritten unseen.
                if m.compare_and_set(setup.key(0), last, Entry(thread, number, last)):
                    break

    run_copies(body)
    written = []
    entry: Entry | None = assert_settled(m)[setup.key(0)]
    while entry is not None:
        written.append((entry.thread, entry.number))
        entry = entry.before
    written.reverse()
    assert_same_elements(written, [(t, n) for t in range(THREADS) for n in range(operations)])
    for thread in range(THREADS):
        assert [n for t, n in written if t == thread] == list(range(operations))


class Entry:
    """An entry of a ledger, equal only to itself."""

    __slots__ = ("before", "number", "thread")

    def __init__(self, thread: int, number: int, before: Entry | None) -> None:
        self.thread = thread
        self.number = number
        self.before = before


def take_by_pop(m: AnyMap, key: Any) -> Any:
    return m.pop(key, None)


def take_by_pop_or_key_error(m: AnyMap, key: Any) -> Any:
    try:
        return m.pop(key)
    except KeyError as error:
        assert error.args == (key,)
        return None


def take_by_del(m: AnyMap, key: Any) -> Any:
    value = m.get(key)
    try:
        del m[key]
    except KeyError as error:
        assert error.args == (key,)
        return None
    return value


def take_by_compare_and_delete(m: AnyMap, key: Any) -> Any:
    value = m.get(key)
    return value if m.compare_and_delete(key, value) else None


def take_by_compute(m: AnyMap, key: Any) -> Any:
    taken: list[Any] = []

    def take(old: Any) -> Any:
        taken.append(old)
        return MISSING

    assert m.compute_if_present(key, take) is MISSING
    return taken[0] if taken else None


def take_by_popitem(m: AnyMap, _: Any) -> Any:
    try:
        return m.popitem()[1]
    except KeyError:
        return None


def take_by_delete_many(m: AnyMap, key: Any) -> Any:
    value = m.get(key)
    return value if m.delete_many([key]) else None


TAKERS = [
    take_by_pop,
    take_by_pop_or_key_error,
    take_by_del,
    take_by_compare_and_delete,
    take_by_compute,
    take_by_popitem,
    take_by_delete_many,
]


@on_every_setup
@pytest.mark.parametrize("take", TAKERS, ids=lambda take: take.__name__)
def test_each_item_is_taken_once(setup: Setup, take: Callable[[AnyMap, Any], Any]) -> None:
    m = setup.new()
    m.update((setup.key(number), ("item", number)) for number in range(KEYS))
    seed = new_random().randrange(1 << 32)

    def body(thread: int) -> list[Any]:
        numbers = shuffled(random.Random(seed + thread // 2), KEYS)
        return [take(m, setup.key(number)) for number in numbers]

    taken = [item for items in run_copies(body) for item in items if item is not None]
    assert_same_elements(taken, [("item", number) for number in range(KEYS)])
    assert assert_settled(m) == {}


@on_every_setup
def test_each_item_is_taken_once_by_whichever_operation(setup: Setup) -> None:
    m = setup.new()
    seed = new_random().randrange(1 << 32)
    m.update((setup.key(number), ("item", number)) for number in range(KEYS))
    takers = [take_by_pop, take_by_compute, take_by_popitem, take_by_pop_or_key_error]

    def body(thread: int) -> list[Any]:
        choose = random.Random(seed + thread)
        return [choose.choice(takers)(m, setup.key(number)) for number in shuffled(choose, KEYS)]

    taken = [item for items in run_copies(body) for item in items if item is not None]
    # popitem takes items whose turn with their own key has passed, so some may be left.
    assert_same_elements(taken + list(assert_settled(m).values()), [("item", number) for number in range(KEYS)])


@on_every_setup
def test_popitem_takes_what_others_put_in(setup: Setup) -> None:
    m = setup.new()
    items = scaled(1000)
    producers = consumers = 2
    still_producing = [True] * producers

    def produce(thread: int) -> list[Any]:
        for number in range(thread, items, producers):
            assert m.insert(setup.key(number), number)
        still_producing[thread] = False
        return []

    def consume() -> list[Any]:
        taken: list[int] = []
        while True:
            last_round = not any(still_producing)
            try:
                key, number = m.popitem()
            except KeyError:
                if last_round:
                    return taken
                give_way()
            else:
                assert key == setup.key(number)
                taken.append(number)

    bodies: list[Callable[[], list[Any]]] = [lambda: produce(0), lambda: produce(1), *[consume] * consumers]
    taken = [number for numbers in run_threads(bodies) for number in numbers]
    assert_same_elements(taken, range(items))
    assert assert_settled(m) == {}


@on_every_setup
def test_swap_conserves_tokens(setup: Setup) -> None:
    m = setup.new()
    slots = 8
    m.update((setup.key(number), f"slot {number}") for number in range(slots))
    seed = new_random().randrange(1 << 32)

    def body(thread: int) -> Any:
        choose = random.Random(seed + thread)
        hand: Any = f"hand {thread}"
        for _ in range(scaled(1000)):
            hand = m.swap(setup.key(choose.randrange(slots)), hand)
        return hand

    hands = run_copies(body)
    tokens = [f"slot {number}" for number in range(slots)] + [f"hand {thread}" for thread in range(THREADS)]
    assert_same_elements([*hands, *assert_settled(m).values()], tokens)


@on_every_setup
def test_every_kind_of_exchange_conserves_tokens(setup: Setup) -> None:
    """Tokens wander between hands and slots that come and go; an empty hand takes, a full one puts or exchanges."""
    m = setup.new()
    slots = 6
    seed = new_random().randrange(1 << 32)

    def body(thread: int) -> list[str]:
        choose = random.Random(seed + thread)
        hand: str | None = f"hand {thread}"
        for _ in range(scaled(1000)):
            key = setup.key(choose.randrange(slots))
            if hand is None:
                hand = m.pop(key, None) if choose.random() < 0.7 else take_by_compute(m, key)
                continue
            way = choose.randrange(4)
            if way == 0:
                if m.insert(key, hand):
                    hand = None
            elif way == 1:
                hand = m.swap(key, hand, None)
            elif way == 2:
                there = m.get(key)
                if there is not None and m.compare_and_set(key, there, hand):
                    hand = there
            elif m.setdefault(key, hand) is hand:
                hand = None
        return [] if hand is None else [hand]

    hands = [token for tokens in run_copies(body) for token in tokens]
    assert_same_elements([*hands, *assert_settled(m).values()], [f"hand {thread}" for thread in range(THREADS)])


@on_every_setup
def test_replace_never_brings_a_key_back(setup: Setup) -> None:
    m = setup.new()
    keys = 50

    def replace_all(thread: int) -> None:
        for number in range(keys):
            m.replace(setup.key(number), (thread, number))

    for _ in range(scaled(10)):
        m.update((setup.key(number), "first") for number in range(keys))

        def body(thread: int) -> int:
            if thread == 0:
                return sum(take_by_del(m, setup.key(number)) is not None for number in range(keys))
            replace_all(thread)
            return 0

        assert run_copies(body)[0] == keys
        assert assert_settled(m) == {}


@on_every_setup
def test_replace_conserves_presence(setup: Setup) -> None:
    """A key that is only ever overwritten is never missing, and one writer's values only rise for a reader."""
    m = setup.new()
    keys = 10
    m.update((setup.key(number), -1) for number in range(keys))
    operations = scaled(500)
    newest = [-1] * keys

    def write() -> None:
        for value in range(operations):
            for number in range(keys):
                key = setup.key(number)
                if value % 5 == 0:
                    m[key] = value
                elif value % 5 == 1:
                    assert m.replace(key, value)
                elif value % 5 == 2:
                    assert m.swap(key, value) == value - 1
                elif value % 5 == 3:
                    assert m.compare_and_set(key, value - 1, value)
                else:
                    assert m.compute(key, plus_one) == value

    def read() -> None:
        for number in range(keys):
            value = m[setup.key(number)]
            assert value >= newest[number]
            newest[number] = value
            assert setup.key(number) in m
            assert setup.key(keys + number) not in m
            assert m.get(setup.key(keys + number)) is None

    run_threads([write], background=[read])
    assert assert_settled(m) == {setup.key(number): operations - 1 for number in range(keys)}
