"""Sums that must come out whatever the schedule: additions, entries put and taken, chains of compare_and_set and swap."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from byte_threads import LARGE, MAPS, assert_settled, key, on_every_map, value
from concurrency import THREADS, assert_same_elements, new_random, run_copies, run_threads, scaled

ROUNDS = scaled(3000)


@on_every_map
@pytest.mark.parametrize("way", ["add", "count", "both"])
def test_no_addition_is_lost(variant: str, way: str) -> None:
    m = MAPS[variant]()
    counters = [b"counter %d" % number for number in range(5)]

    def body(thread: int) -> None:
        for round_ in range(ROUNDS):
            one = counters[(round_ + thread) % len(counters)]
            if way == "count" or (way == "both" and round_ % 2):
                m.count([one])
            else:
                m.add(one, 1)
            # Buckets around them move.
            m[key(thread)] = value(thread, round_, round_ % 50)
            m.pop(key(thread))

    run_copies(body)
    assert sum(map(int, assert_settled(m).values())) == THREADS * ROUNDS


@on_every_map
def test_additions_of_both_signs_and_their_sums(variant: str) -> None:
    """Every sum that was returned came up exactly once in some order of all additions: with +1 only, each number once."""
    m = MAPS[variant]()

    def body(thread: int) -> list[int]:
        return [m.add(b"up") for _ in range(ROUNDS)] + [m.add(b"zero", 3 if i % 2 else -3) * 0 for i in range(ROUNDS)]

    sums = [total for totals in run_copies(body) for total in totals[:ROUNDS]]
    assert_same_elements(sums, range(1, THREADS * ROUNDS + 1))
    assert assert_settled(m) == {b"up": b"%d" % (THREADS * ROUNDS), b"zero": b"0"}


@on_every_map
def test_what_is_put_is_taken_once(variant: str) -> None:
    """insert, setdefault, pop, popitem, compare_and_delete and del: each value that came in goes out once, or is left."""
    m = MAPS[variant]()
    seed = new_random().randrange(1 << 32)
    fresh = [itertools.count(thread, THREADS) for thread in range(THREADS)]

    def body(thread: int) -> tuple[list[bytes], list[bytes]]:
        put, taken = [], []
        for round_ in range(ROUNDS):
            one = key((seed + round_ * 7 + thread) % 11)
            mine = b"%d" % next(fresh[thread]) + b"." * (round_ % 90)
            match round_ % 6:
                case 0 | 1:
                    if m.insert(one, mine):
                        put.append(mine)
                case 2:
                    if m.setdefault(one, mine) == mine:
                        put.append(mine)
                case 3:
                    found = m.pop(one, None)
                    if found is not None:
                        taken.append(found)
                case 4:
                    try:
                        taken.append(m.popitem()[1])
                    except KeyError:
                        pass
                case 5:
                    found = m.get(one)
                    if found is not None and m.compare_and_delete(one, found):
                        taken.append(found)
        return put, taken

    results = run_copies(body)
    put = itertools.chain.from_iterable(result[0] for result in results)
    taken = itertools.chain.from_iterable(result[1] for result in results)
    left = assert_settled(m).values()
    assert_same_elements(itertools.chain(taken, left), put)


@on_every_map
@pytest.mark.parametrize("size", [0, 3000, LARGE])
def test_setdefault_gives_all_threads_one_value(variant: str, size: int) -> None:
    m = MAPS[variant]()
    rounds = max(20, ROUNDS // (1 + size // 500))

    def body(thread: int) -> list[bytes]:
        return [m.setdefault(key(number), value(number, thread, size)) for number in range(rounds)]

    results = run_copies(body)
    for number, given in enumerate(zip(*results, strict=True)):
        assert set(given) == {m[key(number)]}
    assert len(assert_settled(m)) == rounds


@on_every_map
def test_compare_and_set_is_a_chain(variant: str) -> None:
    """Each success builds on the value of another one: as many steps as successes, none twice."""
    m = MAPS[variant]()
    m[b"chain"] = b"0"

    def body(thread: int) -> list[int]:
        steps: list[int] = []
        while len(steps) < ROUNDS // 4:
            now = m[b"chain"]
            # Its length changes, so that it is written over in place sometimes and moves at others.
            after = b"%d" % (int(now) + 1) + b" " * (int(now) * 5 % 64)
            if m.compare_and_set(b"chain", now, after):
                steps.append(int(now))
        return steps

    steps = itertools.chain.from_iterable(run_copies(body))
    assert_same_elements(steps, range(THREADS * (ROUNDS // 4)))
    assert int(assert_settled(m)[b"chain"]) == THREADS * (ROUNDS // 4)


@on_every_map
def test_swap_hands_every_value_on(variant: str) -> None:
    m = MAPS[variant]()

    def body(thread: int) -> Counter[bytes | None]:
        seen: Counter[bytes | None] = Counter()
        for round_ in range(ROUNDS):
            seen[m.swap(key(round_ % 3), b"%d of %d" % (round_, thread) + b"." * (round_ % 40))] += 1
        return seen

    seen: Counter[bytes | None] = sum(run_copies(body), Counter())
    assert seen.pop(None) == 3
    seen.update(assert_settled(m).values())
    assert sum(seen.values()) == len(seen) == THREADS * ROUNDS


@on_every_map
def test_one_of_all_threads_inserts_replaces_and_deletes(variant: str) -> None:
    m = MAPS[variant]()

    def body(thread: int) -> tuple[list[bool], list[bool]]:
        inserted = [m.insert(key(number), b"%d" % thread) for number in range(ROUNDS)]
        return inserted, [m.compare_and_delete(key(number), m.get(key(number), b"")) for number in range(ROUNDS)]

    results = run_copies(body)
    for number in range(ROUNDS):
        assert sum(inserted[number] for inserted, _ in results) >= 1
        assert sum(inserted[number] for inserted, _ in results) == sum(deleted[number] for _, deleted in results)
    assert assert_settled(m) == {}


@on_every_map
def test_popitem_finds_what_is_never_gone(variant: str) -> None:
    """One entry moves from key to key, each time there under the new one before the old one goes. A map that is never
    empty has an entry to pop."""
    m = MAPS[variant]()
    m[key(0)] = b""
    moved = 0

    def move() -> None:
        nonlocal moved
        for _ in range(10):
            moved += 1
            m[key(moved)] = b""
            m.pop(key(moved - 1), None)

    def pop() -> None:
        for _ in range(ROUNDS):
            one, found = m.popitem()
            m[one] = found

    run_threads([pop], background=[move])
    assert_settled(m)
