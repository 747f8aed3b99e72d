"""Is a recorded history of operations on one key linearizable?

A history is linearizable if every operation can be given one instant between its call and its return, such that the
operations, done one after the other in the order of these instants, give the results that were recorded. Each key of
a map is judged by itself: a history is linearizable exactly if its part on every key is (Herlihy and Wing, 1990).

The search is that of Wing and Gong (1993) in the form that Lowe (2017) calls just-in-time: go through calls and returns
in the order of time, and keep the set of *configurations* that are possible so far: the state of the key, and which of
the operations in progress have already had their instant. An operation gets its instant only when the next return
demands it; only one that changes nothing, as a read, gets it as soon as its result is right, which loses no order. With
k writes in progress there are at most 2**k times the possible states of them, a handful in practice, so that the time
is linear in the length of the history and its beginning can be forgotten: histories may be endless.

A history that is rejected is cut down to a `Window` that a reader can follow. Each cut is of a kind that cannot make a
linearizable history into one that is not, so that what remains proves by itself that the whole is wrong:

- what came after the first return that cannot be explained: of operations in progress then only their calls remain,
  because what explains their results may have come later;
- what came before some instant, in exchange for all the configurations that were possible at that instant;
- an operation that by its own result has changed nothing (`changes_nothing`): had the whole an order, the rest would
  have the same one;
- a write whose outcome nobody can have seen: every other operation either contradicts the state that it leaves, so that
  in no order it comes right after it, or takes any state and leaves one that does not depend on it. In an order of the
  whole that write comes last, or right before one of the latter, which does as well without it.

No other write is ever removed: without it a later read of its value would be a violation which the removal has made.

Conventions:

1. A state is a value or `ABSENT`; values must be hashable.
2. `SPECIFICATION` says of every operation what it returns and leaves; a callback is a pure function of its arguments.
3. Times are integers of one clock. A return and a call at the same time count as overlapping: that errs on the side of
   the map.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, TypeAlias

from shardmap import MISSING

__all__ = [
    "ABSENT",
    "KEY_ERROR",
    "SPECIFICATION",
    "Checker",
    "Operation",
    "Window",
    "changes_nothing",
    "check",
    "explain",
    "minimised",
    "overlapping",
    "removable",
    "window_of",
]

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


#: The results by which operations that may write say that they have not.
NO_CHANGE: dict[str, Any] = {
    "insert": False,
    "replace": False,
    "compare_and_set": False,
    "compare_and_delete": False,
    "del": KEY_ERROR,
    "delete_many": 0,
}


def changes_nothing(operation: Operation) -> bool:
    """Does its result say that it left the state as it was, whatever that was?"""
    name, result = operation.name, operation.result
    return name in {"[]", "get", "in"} or (name in NO_CHANGE and result == NO_CHANGE[name])


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
    "clear": lambda s: (None, ABSENT),
    "add": lambda s, delta: (delta, delta) if s is ABSENT else (s + delta, s + delta),
}


# -- the search -------------------------------------------------------------------------------------------------------

#: A state, and the bits of the operations in progress that have had their instant.
Configuration: TypeAlias = tuple[State, int]
#: The same for readers: the operations themselves.
Possibility: TypeAlias = tuple[State, frozenset[Operation]]
#: An operation in progress: its bit, its step and arguments, its result and the type of that.
Running: TypeAlias = tuple[int, Step, tuple[Any, ...], Any, type]


class Checker:
    """Judges the history of one key while it comes in, call by call and return by return in the order of time."""

    def __init__(self, initial: Iterable[State] = (ABSENT,)) -> None:
        self.configurations: set[Configuration] = {(state, 0) for state in initial}
        self.in_progress: dict[Operation, Running] = {}
        # Those of them that change nothing, and the others.
        self.quiet: dict[Operation, Running] = {}
        self.writes: dict[Operation, Running] = {}
        self.unused_bits: list[int] = []

    @classmethod
    def at(cls, possible: Iterable[Possibility]) -> Checker:
        """One that begins in the middle; the operations that have had their instant already count as called."""
        checker = cls(())
        possible = list(possible)
        for operation in {operation for _, done in possible for operation in done}:
            checker.call(operation)
        checker.configurations = {
            (state, sum(checker.in_progress[operation][0] for operation in done)) for state, done in possible
        }
        return checker

    def possible(self) -> list[Possibility]:
        """What may be the case now."""
        running = [(operation, entry[0]) for operation, entry in self.in_progress.items()]
        return [
            (state, frozenset(operation for operation, bit in running if done & bit))
            for state, done in self.configurations
        ]

    def call(self, operation: Operation) -> None:
        bit = self.unused_bits.pop() if self.unused_bits else 1 << len(self.in_progress)
        step = SPECIFICATION[operation.name]
        running = (bit, step, operation.arguments, operation.result, type(operation.result))
        self.in_progress[operation] = running
        if changes_nothing(operation):
            self.quiet[operation] = running
            self.configurations = {self._settled(state, done) for state, done in self.configurations}
        else:
            self.writes[operation] = running

    def returns(self, operation: Operation) -> bool:
        """Keep the configurations in which this operation has had its instant; False if there are none."""
        bit = self.in_progress[operation][0]
        kept: set[Configuration] = set()
        seen: set[Configuration] = set()
        pending = list(self.configurations)
        while pending:
            state, done = pending.pop()
            if done & bit:
                kept.add((state, done ^ bit))
                continue
            # Of those that change nothing, none that has not had its instant fits this state.
            for other, step, arguments, recorded, kind in self.writes.values():
                if done & other:
                    continue
                result, following = step(state, *arguments)
                if result == recorded and type(result) is kind:
                    configuration = self._settled(following, done | other)
                    if configuration not in seen:
                        seen.add(configuration)
                        pending.append(configuration)
        self.configurations = kept
        self._forget(operation, bit)
        return bool(kept)

    def _settled(self, state: State, done: int) -> Configuration:
        """Give all those their instant that change nothing and whose result is right: later is never better."""
        for bit, step, arguments, recorded, kind in self.quiet.values():
            if not done & bit:
                result = step(state, *arguments)[0]
                if result == recorded and type(result) is kind:
                    done |= bit
        return state, done

    def _forget(self, operation: Operation, bit: int) -> None:
        self.unused_bits.append(bit)
        del self.in_progress[operation]
        self.quiet.pop(operation, None)
        self.writes.pop(operation, None)


def _events(history: Iterable[Operation]) -> Iterator[tuple[bool, Operation]]:
    """(is it a return, the operation) in the order of time, calls before returns of the same time."""
    history = list(history)
    calls = sorted(history, key=attrgetter("called"))
    begun = 0
    for operation in sorted(history, key=attrgetter("returned")):
        while begun < len(calls) and calls[begun].called <= operation.returned:
            yield False, calls[begun]
            begun += 1
        yield True, operation


def check(history: Sequence[Operation], initial: Iterable[State] = (ABSENT,)) -> int | None:
    """The index of the first operation whose return cannot be explained, or None if the history is linearizable."""
    failed = Window.of(history, initial).failure()
    return None if failed is None else next(index for index, operation in enumerate(history) if operation is failed)


def overlapping(history: Iterable[Operation]) -> int:
    """How many of the operations overlap another one."""
    ordered = sorted(history, key=attrgetter("called"))
    next_calls = [operation.called for operation in ordered[1:]]
    latest = -1
    count = 0
    # The last one has nothing after it.
    for operation, next_call in itertools.zip_longest(ordered, next_calls, fillvalue=None):
        assert operation is not None
        count += operation.called <= latest or (next_call is not None and next_call <= operation.returned)
        latest = max(latest, operation.returned)
    return count


# -- windows of a history that is wrong ---------------------------------------------------------------------------------

#: So many events before the failed operation's call are looked at for an instant to begin a window with.
LOOK_BACK = 1000
#: The states of a window and its operations are compared each with each; with more of them only reads are removed.
MOST_OPERATIONS = 200


@dataclass(frozen=True)
class Window:
    """A part of a history: what may have been the case at its beginning, and what was called before its end.

    Of an operation that returned after the end nothing is known but that it may have had its instant: what explains its
    result may have been called after the end.
    """

    possible: tuple[Possibility, ...]
    operations: tuple[Operation, ...]
    end: int

    @classmethod
    def of(cls, history: Iterable[Operation], initial: Iterable[State] = (ABSENT,)) -> Window:
        """A whole history."""
        operations = tuple(history)
        end = max((operation.returned for operation in operations), default=0)
        return cls(tuple((state, frozenset()) for state in initial), operations, end)

    def failure(self) -> Operation | None:
        """The first operation whose return cannot be explained."""
        checker = Checker.at(self.possible)
        for is_return, operation in _events(self.operations):
            if is_return:
                if operation.returned > self.end:
                    return None
                if not checker.returns(operation):
                    return operation
            elif operation not in checker.in_progress:
                checker.call(operation)
        return None

    def since(self, beginning: int) -> Window:
        """The window that begins before the event, call or return, of this number; there was no failure until then."""
        checker = Checker.at(self.possible)
        gone: set[Operation] = set()
        for is_return, operation in itertools.islice(_events(self.operations), beginning):
            if is_return:
                checker.returns(operation)
                gone.add(operation)
            elif operation not in checker.in_progress:
                checker.call(operation)
        rest = tuple(operation for operation in self.operations if operation not in gone)
        return Window(tuple(checker.possible()), rest, self.end)

    def without(self, removed: Collection[Operation]) -> Window:
        """The same with some operations less."""
        possible = {(state, done.difference(removed)) for state, done in self.possible}
        return Window(tuple(possible), tuple(other for other in self.operations if other not in removed), self.end)

    def until(self, last: Operation) -> Window:
        """The same without what came after this return."""
        later = {operation for operation in self.operations if operation.called > last.returned}
        return dataclasses.replace(self.without(later), end=min(self.end, last.returned))

    def __str__(self) -> str:
        """In readable form, one line an operation; those in progress at the beginning are numbered if it matters."""
        ordered = sorted(self.operations, key=attrgetter("called"))
        numbers = {operation: str(number) for number, operation in enumerate(ordered, 1)}
        states = sorted(
            str(state) + (f" after {' and '.join(sorted(map(numbers.__getitem__, done)))}" if done else "")
            for state, done in self.possible
        )
        named = any(done for _, done in self.possible)
        lines = [
            (f"{numbers[operation] + '.':>6} " if named else "  ")
            + str(operation)
            + (" (at the end still in progress)" if operation.returned > self.end else "")
            for operation in ordered
        ]
        return f"the state before was one of {states}:\n" + "\n".join(lines)


def window_of(history: Sequence[Operation], initial: Iterable[State] = (ABSENT,)) -> Window | None:
    """None if the history is linearizable, else its end up to the failure, from an instant at which most was known."""
    window = Window.of(history, initial)
    failed = window.failure()
    return None if failed is None else _narrowed(window.until(failed), failed)


def _narrowed(window: Window, failed: Operation) -> Window:
    """From the latest instant on, before the failed operation's call, at which most was known.

    That is one with the fewest operations in progress, and of these one with the fewest configurations.
    """
    checker = Checker.at(window.possible)
    known: list[tuple[int, int]] = []
    for is_return, operation in _events(window.operations):
        known.append((len(checker.in_progress), len(checker.configurations)))
        if operation is failed:
            break
        if is_return:
            checker.returns(operation)
        elif operation not in checker.in_progress:
            checker.call(operation)
    late = range(max(0, len(known) - LOOK_BACK), len(known))
    return window.since(max(late, key=lambda index: (-known[index][0], -known[index][1], index)))


def minimised(window: Window) -> Window:
    """As few of the operations as show that the window is wrong, by removals that prove the same of the whole."""
    before = None
    while before is None or len(window.operations) < len(before.operations):
        before = window
        window = _thinned(window, [operation for operation in window.operations if changes_nothing(operation)])
        allowed = removable(window)
        for operation in window.operations:
            if operation in allowed:
                rest = _thinned(window, [operation])
                if rest is not window:
                    window, allowed = rest, removable(rest)
        failed = window.failure()
        assert failed is not None, "there is nothing wrong"
        # Without those that took long there may be a later instant at which none was in progress.
        window = _narrowed(window, failed)
    return window


def _thinned(window: Window, candidates: Sequence[Operation]) -> Window:
    """Remove the candidates in groups, then in smaller ones, wherever the rest is wrong as well."""
    size = len(candidates)
    while size:
        for start in range(0, len(candidates), size):
            rest = window.without(set(candidates[start : start + size]))
            failed = rest.failure()
            if failed is not None:
                window = rest.until(failed)
        size //= 2
    return window


def removable(window: Window) -> set[Operation]:
    """The operations of which each, alone, can be removed without making a right window wrong."""
    quiet = {operation for operation in window.operations if changes_nothing(operation)}
    outcomes = _outcomes(window)
    if outcomes is None:
        return quiet
    states = len(next(iter(outcomes.values()), {}))
    # What is possible in any state and leaves the same state always.
    blind = {
        operation
        for operation, steps in outcomes.items()
        if len(set(steps.values())) == 1 and REJECTED not in steps.values() and states
    }
    return quiet | {operation for operation in window.operations if _is_unseen(operation, outcomes, blind)}


#: Instead of the next state: the operation cannot have had its result in this state.
REJECTED = object()
#: For every operation its next state for every state that can come up.
Outcomes: TypeAlias = dict[Operation, dict[State, Any]]


def _is_unseen(write: Operation, outcomes: Outcomes, blind: Collection[Operation]) -> bool:
    left = {state for state in outcomes[write].values() if state is not REJECTED}
    return all(
        other is write or other in blind or all(steps[state] is REJECTED for state in left)
        for other, steps in outcomes.items()
    )


def _outcomes(window: Window) -> Outcomes | None:
    """Of all states that any order of the operations can bring up; None if these are too many."""
    outcomes: Outcomes = {operation: {} for operation in window.operations}
    states = {state for state, _ in window.possible}
    pending = list(states)
    while pending:
        if len(states) > MOST_OPERATIONS or len(window.operations) > MOST_OPERATIONS:
            return None
        state = pending.pop()
        for operation, steps in outcomes.items():
            result, following = SPECIFICATION[operation.name](state, *operation.arguments)
            if result != operation.result or type(result) is not type(operation.result):
                steps[state] = REJECTED
                continue
            steps[state] = following
            if following not in states:
                states.add(following)
                pending.append(following)
    return outcomes


def explain(history: Sequence[Operation], initial: Iterable[State] = (ABSENT,)) -> str | None:
    """None if the history is linearizable, else as little of it as shows that it is not, in readable form."""
    window = window_of(history, initial)
    return None if window is None else f"not linearizable; {minimised(window)}"
