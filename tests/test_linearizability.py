"""The checker of linearizability is itself put to the test: it accepts what is right and rejects what is wrong."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from concurrency import new_random, scaled
from linearizability import (
    ABSENT,
    KEY_ERROR,
    SPECIFICATION,
    Operation,
    Window,
    changes_nothing,
    check,
    explain,
    minimised,
    overlapping,
    removable,
    window_of,
)
from plain_map import PlainMap

from shardmap import MISSING


def op(called: int, returned: int, name: str, *arguments: Any, result: Any = None, thread: int = 0) -> Operation:
    return Operation(thread, name, arguments, result, called, returned)


RIGHT: dict[str, list[Operation]] = {
    "nothing": [],
    "one after the other": [op(0, 1, "set", 1), op(2, 3, "get", result=1), op(4, 5, "pop", result=1), op(6, 7, "get")],
    "a read during a write sees the old value": [op(0, 9, "set", 1), op(1, 2, "get", result=None)],
    "a read during a write sees the new value": [op(0, 9, "set", 1), op(1, 2, "get", result=1)],
    "two reads during a write, old and new": [
        op(0, 9, "set", 1),
        op(1, 2, "get", result=None),
        op(3, 4, "get", result=1),
    ],
    "two writes at once, either is last": [op(0, 9, "set", 1), op(0, 9, "set", 2), op(10, 11, "get", result=1)],
    "two additions at once": [op(0, 9, "add", 1, result=2), op(1, 8, "add", 1, result=1), op(10, 11, "get", result=2)],
    "the later of two inserts wins while they overlap": [
        op(0, 9, "insert", 1, result=False),
        op(1, 2, "insert", 2, result=True),
        op(10, 11, "get", result=2),
    ],
    "deletes of one value": [
        op(0, 1, "set", 1),
        op(2, 9, "del", result=KEY_ERROR),
        op(2, 9, "del"),
        op(10, 11, "in", result=False),
    ],
    "an instant in a narrow gap": [
        op(0, 20, "compare_and_set", 5, 6, result=True),
        op(1, 4, "set", 5),
        op(3, 8, "get", result=6),
        op(9, 10, "get", result=6),
    ],
    "touching times count as overlapping": [op(0, 5, "set", 1), op(5, 9, "get", result=None)],
}

WRONG: dict[str, list[Operation]] = {
    "a write that is not seen": [op(0, 1, "set", 1), op(2, 3, "get", result=None)],
    "a value that nobody wrote": [op(0, 1, "set", 1), op(2, 3, "get", result=2)],
    "new, then old": [op(0, 9, "set", 1), op(1, 2, "get", result=1), op(3, 4, "get", result=None)],
    "two additions with one result": [op(0, 9, "add", 1, result=1), op(1, 8, "add", 1, result=1)],
    "a lost addition": [op(0, 9, "add", 1, result=1), op(1, 8, "add", 1, result=2), op(10, 11, "get", result=1)],
    "two winners of insert": [op(0, 9, "insert", 1, result=True), op(1, 8, "insert", 2, result=True)],
    "no winner of insert": [op(0, 9, "insert", 1, result=False), op(1, 8, "insert", 2, result=False)],
    "setdefault gives two values": [
        op(0, 9, "setdefault", 1, result=1),
        op(1, 8, "setdefault", 2, result=2),
    ],
    "a value swapped out twice": [
        op(0, 1, "set", 1),
        op(2, 9, "swap", 2, result=1),
        op(3, 8, "swap", 3, result=1),
    ],
    "a value popped twice": [op(0, 1, "set", 1), op(2, 9, "pop", result=1), op(3, 8, "pop", result=1)],
    "a key deleted twice": [op(0, 1, "set", 1), op(2, 9, "del"), op(3, 8, "del")],
    "compare_and_set succeeds twice": [
        op(0, 1, "set", 1),
        op(2, 9, "compare_and_set", 1, 2, result=True),
        op(3, 8, "compare_and_set", 1, 3, result=True),
    ],
    "compare_and_set fails for no reason": [op(0, 1, "set", 1), op(2, 3, "compare_and_set", 1, 2, result=False)],
    "a deleted key is back": [
        op(0, 1, "set", 1),
        op(2, 3, "pop", result=1),
        op(4, 5, "in", result=True),
    ],
    "a replace brings a key": [op(0, 1, "replace", 1, result=True)],
    "a computation from a stale value": [
        op(0, 1, "set", 1),
        op(2, 3, "set", 5),
        op(4, 5, "compute", lambda old: old + 1, result=2),
    ],
    "right only with an instant before the call": [
        op(0, 1, "set", 1),
        op(2, 3, "set", 2),
        op(4, 5, "get", result=1),
        op(0, 6, "set", 3),
    ],
    "each pair is fine, the three are not": [
        op(0, 20, "set", 1),
        op(0, 20, "set", 2),
        op(1, 2, "get", result=1),
        op(3, 4, "get", result=2),
        op(5, 6, "get", result=1),
    ],
    "True is not 1": [op(0, 1, "set", 1), op(2, 3, "get", result=True)],
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_histories_are_accepted(name: str) -> None:
    assert check(RIGHT[name]) is None
    assert explain(RIGHT[name]) is None


@pytest.mark.parametrize("name", WRONG)
def test_wrong_histories_are_rejected(name: str) -> None:
    failed = check(WRONG[name])
    assert failed is not None
    # The failure does not depend on what comes later, nor on the order in which the operations are given.
    assert check(WRONG[name][::-1]) is not None
    assert explain(WRONG[name]) is not None


def test_initial_states() -> None:
    history = [op(0, 1, "get", result=7)]
    assert check(history) == 0
    assert check(history, initial=[7]) is None
    assert check(history, initial=[6, 7, ABSENT]) is None


def test_explanations_are_small() -> None:
    quiet = [op(10 * n, 10 * n + 5, "add", 1, result=n + 1) for n in range(1000)]
    wrong = [
        op(20_000, 20_100, "swap", 5, result=1000, thread=1),
        op(20_010, 20_020, "get", result=1000, thread=2),
        op(20_030, 20_090, "swap", 6, result=1000, thread=3),
        op(20_031, 20_089, "insert", 9, result=False, thread=4),
    ]
    text = explain(quiet + wrong + [op(30_000 + n, 30_000 + n, "get", result=5) for n in range(100)])
    assert text is not None
    assert len(text.splitlines()) == 3
    assert "thread 1: swap(5) -> 1000" in text
    assert "thread 3: swap(6) -> 1000" in text
    assert "one of ['1000']" in text


# -- against brute force ----------------------------------------------------------------------------------------------


def plus_one(old: Any) -> Any:
    return 1 if old is MISSING else old + 1


def plus(old: int, new: int) -> int:
    return old + new


def delete(_: Any) -> Any:
    return MISSING


def random_operation(choose: random.Random) -> tuple[str, tuple[Any, ...]]:
    name = choose.choice(list(SPECIFICATION))
    value, other = choose.randrange(3), choose.randrange(3)
    arguments: dict[str, tuple[Any, ...]] = {
        "[]": (),
        "get": (),
        "in": (),
        "del": (),
        "pop": (),
        "count": (),
        "delete_many": (),
        "clear": (),
        "compare_and_set": (value, other),
        "compute": (choose.choice([plus_one, delete]),),
        "compute_if_present": (choose.choice([plus_one, delete]),),
        "merge": (value, plus),
    }
    return name, arguments.get(name, (value,))


def random_history(choose: random.Random, threads: int, length: int) -> list[Operation]:
    """A linearizable history: every operation's instant is drawn from between its call and its return."""
    spans = []
    for thread in range(threads):
        times = sorted(choose.sample(range(length * threads * 4), 3 * length))
        spans += [(times[i + 1], thread, times[i], times[i + 2]) for i in range(0, 3 * length, 3)]
    state: Any = ABSENT
    history = []
    for _, thread, called, returned in sorted(spans):
        name, arguments = random_operation(choose)
        result, state = SPECIFICATION[name](state, *arguments)
        history.append(Operation(thread, name, arguments, result, called, returned))
    choose.shuffle(history)
    return history


def is_linearizable_by_brute_force(history: Sequence[Operation], initial: Any = ABSENT) -> bool:
    """Try all orders."""
    for order in itertools.permutations(history):
        if any(later.returned < earlier.called for earlier, later in itertools.combinations(order, 2)):
            continue
        state = initial
        for operation in order:
            result, state = SPECIFICATION[operation.name](state, *operation.arguments)
            if result != operation.result or type(result) is not type(operation.result):
                break
        else:
            return True
    return False


def test_linearizable_histories_are_accepted() -> None:
    choose = new_random()
    for _ in range(scaled(100)):
        assert explain(random_history(choose, threads=choose.randrange(1, 5), length=50)) is None


def test_the_verdict_is_that_of_brute_force() -> None:
    choose = new_random()
    verdicts = {True: 0, False: 0}
    for _ in range(scaled(250)):
        history = random_history(choose, threads=choose.randrange(2, 4), length=2)
        # Exchange results of some operations, which often, but not always, makes it wrong.
        for _ in range(choose.randrange(3)):
            one, other = choose.sample(range(len(history)), 2)
            history[one] = with_result(history[one], history[other].result)
        verdict = is_linearizable_by_brute_force(history)
        assert (check(history) is None) == verdict, "\n".join(map(str, history))
        verdicts[verdict] += 1
    print(verdicts)
    assert all(verdicts.values())


def with_result(operation: Operation, result: Any) -> Operation:
    return Operation(
        operation.thread, operation.name, operation.arguments, result, operation.called, operation.returned
    )


@pytest.mark.parametrize("name", SPECIFICATION)
def test_what_says_that_it_changes_nothing_does_not(name: str) -> None:
    choose = random.Random(name)
    for _ in range(300):
        drawn = random_operation(choose)
        while drawn[0] != name:
            drawn = random_operation(choose)
        counts = name in {"count", "add", "compute", "compute_if_present", "merge"}
        states = [ABSENT, 0, 1, 2] if counts else [ABSENT, 0, 1, 2, False, True, KEY_ERROR]
        result, following = SPECIFICATION[name](state := choose.choice(states), *drawn[1])
        if changes_nothing(op(0, 1, name, *drawn[1], result=result)):
            assert following is state


# -- what is left of a history that is wrong --------------------------------------------------------------------------


def spoiled(choose: random.Random, threads: int, length: int, exchanges: int = 2) -> list[Operation]:
    """A history with some results exchanged; often, but not always, that makes it wrong."""
    history = random_history(choose, threads, length)
    for _ in range(exchanges):
        one, other = choose.sample(range(len(history)), 2)
        history[one] = with_result(history[one], history[other].result)
    return history


def test_a_window_from_any_instant_fails_as_the_whole_does() -> None:
    choose = new_random()
    wrong = 0
    for _ in range(scaled(100, least=50)):
        history = spoiled(choose, threads=choose.randrange(2, 5), length=8)
        index = check(history)
        failed = None if index is None else history[index]
        wrong += failed is not None
        end = 2 * len(history) if failed is None else number_of_return(history, failed)
        for beginning in range(end):
            assert Window.of(history).since(beginning).failure() is failed
    assert wrong


def number_of_return(history: Sequence[Operation], failed: Operation) -> int:
    calls = sum(operation.called <= failed.returned for operation in history)
    return calls + sum(operation.returned < failed.returned for operation in history)


def test_no_cut_and_no_removal_makes_a_history_wrong() -> None:
    """Of a right history every window is right, and so it is without what may be removed, one after the other."""
    choose = new_random()
    quiet = unseen = 0
    for _ in range(scaled(300, least=100)):
        history = random_history(choose, threads=choose.randrange(2, 5), length=4)
        window = Window.of(history).since(choose.randrange(len(history))).until(choose.choice(history))
        assert window.failure() is None
        for operation in choose.sample(window.operations, len(window.operations)):
            if operation in removable(window):
                window = window.without({operation})
                assert window.failure() is None, f"without {operation}\n{window}"
        window = Window.of(history).since(choose.randrange(len(history))).until(choose.choice(history))
        for operation in removable(window):
            assert window.without({operation}).failure() is None, f"{operation} of\n{window}"
            if changes_nothing(operation):
                quiet += 1
            else:
                unseen += 1
    print(quiet, unseen)
    assert quiet
    assert unseen


def test_what_was_in_progress_at_the_end_needs_no_explanation() -> None:
    """What explains it may come after the end: this read is right, and the other one alone is wrong."""
    history = [
        op(0, 1, "set", 1),
        op(2, 20, "get", result=2),
        op(3, 4, "get", result=7),
        op(5, 6, "set", 2),
    ]
    window = window_of(history)
    assert window is not None
    assert history[3] not in window.operations
    assert window.without({history[2]}).failure() is None
    assert minimised(window).operations == (history[2],)


def test_what_must_not_be_removed() -> None:
    """Without these the rest would be wrong, or might be."""
    seen = [op(0, 1, "set", 1), op(2, 3, "get", result=1)]
    seen_indirectly = [op(0, 1, "set", 1), op(2, 3, "replace", 2, result=True)]
    perhaps_a_write = [op(0, 1, "setdefault", 1, result=1), op(2, 3, "in", result=True)]
    for history in (seen, seen_indirectly, perhaps_a_write):
        window = Window.of(history)
        assert window.failure() is None
        assert history[0] not in removable(window)
        assert window.without({history[0]}).failure() is not None


def test_a_write_that_nobody_saw_can_be_removed() -> None:
    history = [op(0, 9, "set", 1), op(0, 9, "set", 2), op(10, 11, "get", result=2), op(12, 13, "get", result=3)]
    window = Window.of(history)
    assert removable(window) == {history[0], history[2], history[3]}
    assert minimised(window).operations == (history[3],)


def test_what_is_left_is_wrong_and_a_part_of_the_whole() -> None:
    choose = new_random()
    wrong = 0
    for _ in range(scaled(250, least=60)):
        history = spoiled(choose, threads=choose.randrange(2, 4), length=2)
        window = window_of(history)
        assert (window is None) == is_linearizable_by_brute_force(history)
        if window is None:
            continue
        wrong += 1
        left = minimised(window)
        assert left.failure() is not None
        assert set(left.operations) <= set(history)
        # By brute force, for each of the states that were possible, and for those in progress at the end with or without.
        for state, done in left.possible:
            rest = [operation for operation in left.operations if operation not in done]
            finished = [operation for operation in rest if operation.returned <= left.end]
            late = [operation for operation in rest if operation not in finished]
            for some in itertools.chain.from_iterable(itertools.combinations(late, n) for n in range(len(late) + 1)):
                assert not is_linearizable_by_brute_force([*finished, *some], state)
    assert wrong


def test_overlapping_operations_are_counted() -> None:
    apart = [op(0, 1, "get"), op(2, 3, "get"), op(4, 5, "get")]
    assert overlapping(apart) == overlapping([]) == 0
    assert overlapping([*apart, op(2, 9, "get")]) == 3
    assert overlapping([op(0, 9, "get"), op(1, 2, "get"), op(3, 4, "get"), op(10, 11, "get")]) == 3


# -- against the plain map --------------------------------------------------------------------------------------------

#: How an operation of the checker is done on a map.
DO: dict[str, Callable[..., Any]] = {
    "[]": lambda m, k: key_error_or(lambda: m[k]),
    "get": lambda m, k: m.get(k),
    "in": lambda m, k: k in m,
    "set": lambda m, k, value: m.__setitem__(k, value),
    "del": lambda m, k: key_error_or(lambda: m.__delitem__(k)),
    "pop": lambda m, k: m.pop(k, None),
    "count": lambda m, k: m.count([k]),
    "delete_many": lambda m, k: m.delete_many([k]),
    "clear": lambda m, k: m.clear(),
    "compute_if_absent": lambda m, k, value: m.compute_if_absent(k, lambda _: value),
}


def key_error_or(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except KeyError:
        return KEY_ERROR


@pytest.mark.parametrize("name", SPECIFICATION)
def test_the_specification_is_that_of_the_plain_map(name: str) -> None:
    choose = random.Random(name)
    for state in [ABSENT, 0, 1, 2] * 20:
        drawn = random_operation(choose)
        while drawn[0] != name:
            drawn = random_operation(choose)
        arguments = drawn[1]
        plain = PlainMap() if state is ABSENT else PlainMap({"key": state})
        result = DO[name](plain, "key", *arguments) if name in DO else getattr(plain, name)("key", *arguments)
        assert (result, plain.get("key", ABSENT)) == SPECIFICATION[name](state, *arguments)
