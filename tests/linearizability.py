"""Is a recorded history of operations on one key linearizable?

A history is linearizable if every operation can be given one instant between its call and its return, such that the
operations, done one after the other in the order of these instants, give the results that were recorded. Each key of
a map is judged by itself: a history is linearizable exactly if its part on every key is (Herlihy and Wing, 1990).

The search is that of Wing and Gong (1993) in the form that Lowe (2017) calls just-in-time: go through calls and returns
in the order of time, and keep the set of *configurations* that are possible so far: the state of the key, and which of
the operations in progress have already had their instant. An operation gets its instant only when the next return
demands it. With k threads there are at most 2**k times the possible states of them, a handful in practice, so that the
time is linear in the length of the history and its beginning can be forgotten: histories may be endless.

Conventions:

1. A state is a value or `ABSENT`; values must be hashable.
2. `SPECIFICATION` says of every operation what it returns and leaves; a callback is a pure function of its arguments.
3. Times are integers of one clock. A return and a call at the same time count as overlapping: that errs on the side of
   the map.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from shardmap import MISSING

__all__ = ["ABSENT", "SPECIFICATION", "Checker", "Operation", "check", "explain"]

#: The state of a key that has no value.
ABSENT = MISSING
#: The result of an operation that raised KeyError.
KEY_ERROR = "KeyError"

State: TypeAlias = Hashable
#: What an operation does to a state: its result, and the next state.
Step: TypeAlias = Callable[..., tuple[Any, State]]


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One operation as it was recorded: who did what, with which result, and from when to when."""

    thread: int
    name: str
    arguments: tuple[Any, ...]
    result: Any
    called: int
    returned: int

    def __str__(self) -> str:
        arguments = ", ".join(map(str, self.arguments))
        return (
            f"{self.called:>12} to {self.returned:>12}  thread {self.thread}: {self.name}({arguments}) -> {self.result}"
        )


# -- what the operations mean -----------------------------------------------------------------------------------------


def _compute(state: State, fn: Callable[[Any], Any]) -> tuple[Any, State]:
    new = fn(state)
    return new, new


#: For every operation its step: ``SPECIFICATION[name](state, *arguments) == (result, next state)``.
SPECIFICATION: dict[str, Step] = {
    "[]": lambda s: (KEY_ERROR if s is ABSENT else s, s),
    "get": lambda s: (None if s is ABSENT else s, s),
    "in": lambda s: (s is not ABSENT, s),
    "set": lambda s, value: (None, value),
    "del": lambda s: (KEY_ERROR if s is ABSENT else None, ABSENT),
    "pop": lambda s: (None if s is ABSENT else s, ABSENT),
    "setdefault": lambda s, value: (value, value) if s is ABSENT else (s, s),
    "insert": lambda s, value: (True, value) if s is ABSENT else (False, s),
    "replace": lambda s, value: (False, s) if s is ABSENT else (True, value),
    "swap": lambda s, value: (None if s is ABSENT else s, value),
    "compare_and_set": lambda s, old, new: (True, new) if s is not ABSENT and s == old else (False, s),
    "compare_and_delete": lambda s, old: (True, ABSENT) if s is not ABSENT and s == old else (False, s),
    "compute": _compute,
    "compute_if_absent": lambda s, value: (value, value) if s is ABSENT else (s, s),
    "compute_if_present": lambda s, fn: (ABSENT, s) if s is ABSENT else _compute(s, fn),
    "merge": lambda s, value, fn: (value, value) if s is ABSENT else _compute(s, lambda old: fn(old, value)),
    "count": lambda s: (None, 1) if s is ABSENT else (None, s + 1),
    "delete_many": lambda s: (int(s is not ABSENT), ABSENT),
    "add": lambda s, delta: (delta, delta) if s is ABSENT else (s + delta, s + delta),
}


# -- the search -------------------------------------------------------------------------------------------------------

#: A state, and the numbers of the operations in progress that have had their instant.
Configuration: TypeAlias = tuple[State, frozenset[int]]


class Checker:
    """Judges the history of one key while it comes in, call by call and return by return in the order of time."""

    def __init__(self, initial: Iterable[State] = (ABSENT,)) -> None:
        self.configurations: set[Configuration] = {(state, frozenset()) for state in initial}
        self.in_progress: dict[int, Operation] = {}

    def call(self, number: int, operation: Operation) -> None:
        self.in_progress[number] = operation

    def returns(self, number: int) -> bool:
        """Keep the configurations in which this operation has had its instant; False if there are none."""
        kept: set[Configuration] = set()
        seen: set[Configuration] = set(self.configurations)
        pending = list(self.configurations)
        while pending:
            state, done = pending.pop()
            if number in done:
                kept.add((state, done - {number}))
                continue
            for other, operation in self.in_progress.items():
                if other in done:
                    continue
                result, following = SPECIFICATION[operation.name](state, *operation.arguments)
                if result == operation.result and type(result) is type(operation.result):
                    configuration = (following, done | {other})
                    if configuration not in seen:
                        seen.add(configuration)
                        pending.append(configuration)
        del self.in_progress[number]
        self.configurations = kept
        return bool(kept)


def _events(history: Sequence[Operation]) -> Iterator[tuple[bool, int]]:
    """(is it a return, number of the operation) in the order of time, calls before returns of the same time."""
    times = [(operation.called, False, number) for number, operation in enumerate(history)]
    times += [(operation.returned, True, number) for number, operation in enumerate(history)]
    times.sort()
    return ((is_return, number) for _, is_return, number in times)


def check(history: Sequence[Operation], initial: Iterable[State] = (ABSENT,)) -> int | None:
    """The index of the first operation whose return cannot be explained, or None if the history is linearizable."""
    checker = Checker(initial)
    for is_return, number in _events(history):
        if not is_return:
            checker.call(number, history[number])
        elif not checker.returns(number):
            return number
    return None


# -- reports ----------------------------------------------------------------------------------------------------------


def explain(history: Sequence[Operation], initial: Iterable[State] = (ABSENT,)) -> str | None:
    """None if the history is linearizable, else as little of it as shows that it is not, in readable form."""
    failed = check(history, initial)
    if failed is None:
        return None
    states, witness = _minimised(*_window(history, initial, failed))
    lines = "\n".join(f"  {operation}" for operation in sorted(witness, key=lambda operation: operation.called))
    return f"not linearizable; the state before was one of {sorted(map(str, states))}:\n{lines}"


def _window(history: Sequence[Operation], initial: Iterable[State], failed: int) -> tuple[set[State], list[Operation]]:
    """Cut off all that came after the failed return, and before the last moment at which no operation was running."""
    checker = Checker(initial)
    states = {state for state, _ in checker.configurations}
    window: list[int] = []
    for is_return, number in _events(history):
        if is_return:
            if number == failed:
                break
            checker.returns(number)
            continue
        if not checker.in_progress:
            states = {state for state, _ in checker.configurations}
            window = []
        checker.call(number, history[number])
        window.append(number)
    return states, [history[number] for number in window]


def _minimised(states: set[State], window: list[Operation]) -> tuple[set[State], list[Operation]]:
    """Leave out operations that change nothing, as long as the rest cannot be explained either.

    Leaving out an operation that has changed nothing, by its own result, is sound: had the whole an order, the rest
    would have the same one. So the rest is a proof by itself.
    """
    for operation in list(window):
        if _changes_nothing(operation):
            rest = [other for other in window if other is not operation]
            if check(rest, states) is not None:
                window = rest
    return states, window


def _changes_nothing(operation: Operation) -> bool:
    return operation.name in {"[]", "get", "in"} or operation.result is False or operation.result == KEY_ERROR
