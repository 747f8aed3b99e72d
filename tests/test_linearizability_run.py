"""The long run in small: it accepts the map, catches maps that are wrong, and stores what it has caught."""

from __future__ import annotations

import os
import random
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import counterexamples
import pytest
from concurrency import give_way, new_random, scaled
from counterexamples import Counterexample
from histories import BACKGROUNDS, CHOICES, FAMILIES, MAPS, MIXES, VALUES, PlusOne, Put, Round, record
from linearizability import ABSENT, KEY_ERROR, SPECIFICATION, Operation, Window, check
from linearizability_run import judge, main

from shardmap import MISSING, ShardMap

AnyMap: TypeAlias = Any

# -- maps that are wrong ----------------------------------------------------------------------------------------------


class RacyCompareAndSet(ShardMap[Any, Any]):
    """It compares, and then sets."""

    def compare_and_set(self, key: Any, expected: object, new: Any, /) -> bool:
        if self.get(key, MISSING) != expected:
            return False
        os.sched_yield()
        self[key] = new
        return True


class TwoInsert(ShardMap[Any, Any]):
    """It looks, and then inserts."""

    def insert(self, key: Any, value: Any, /) -> bool:
        if key in self:
            return False
        os.sched_yield()
        self[key] = value
        return True


class LosesAdditions(ShardMap[Any, Any]):
    """It reads, and then writes the sum."""

    def add(self, key: Any, delta: Any = 1, /) -> Any:
        total = self.get(key, 0) + delta
        os.sched_yield()
        self[key] = total
        return total


class StaleReads(ShardMap[Any, Any]):
    """Each thread remembers what it has read last, and answers it again sometimes."""

    def __init__(self) -> None:
        super().__init__()
        self.local = threading.local()

    def get(self, key: Any, default: Any = None, /) -> Any:
        reads = self.local.reads = getattr(self.local, "reads", 0) + 1
        if reads % 50 == 0 and getattr(self.local, "key", None) == key:
            return self.local.value
        self.local.key, self.local.value = key, super().get(key, default)
        return self.local.value


class ForgetsClear(ShardMap[Any, Any]):
    """Clearing deletes one key after the other, as far as it is quick enough."""

    def clear(self) -> None:
        entries = list(self.items())
        give_way()
        for key, value in entries:
            self.compare_and_delete(key, value)


WRONG: dict[str, Callable[[], AnyMap]] = {
    wrong.__name__: wrong for wrong in (RacyCompareAndSet, TwoInsert, LosesAdditions, StaleReads)
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_map_is_caught(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed = new_random().randrange(1 << 32)
    arguments = ["--seed", str(seed), "--operations", "3000000", "--seconds", "60", "--jobs", "0"]
    assert main([*arguments, "--output", str(tmp_path)], {name: WRONG[name]}) == 1
    printed = capsys.readouterr().out
    assert f"--seed {seed}" in printed
    assert "\nNOT linearizable: " in printed
    stored = sorted(tmp_path.iterdir())
    assert stored
    for path in stored:
        assert f"stored in {path}" in printed
        found = counterexamples.read(path)
        assert str(found) in printed
        assert found.is_wrong() == (True, True)
        # How much can be cut away depends on the history; test_linearizability has some where it is known.
        assert len(found.window.operations) <= len(found.history.operations)
        assert main(["--check", str(path)]) == 1
    assert "the part: NOT linearizable; all " in capsys.readouterr().out


def test_a_wrong_clear_is_caught() -> None:
    choose = new_random()
    for _ in range(1000):
        seed = choose.randrange(1 << 32)
        this = Round(seed, "wrong", "yielding", "int", "overwriting", "clear", threads=3, keys=1, operations=10_000)
        failures = judge(record(this, {"wrong": ForgetsClear})).failures
        if failures:
            assert failures[0].is_wrong() == (True, True)
            assert "clear()" in str(failures[0].history)
            return
    raise AssertionError("nothing was wrong, or it was not noticed")


def test_what_another_process_has_judged_is_stored_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--operations", "3000000", "--seconds", "60", "--jobs", "1", "--output", str(tmp_path)]
    assert main(arguments, {"racy": RacyCompareAndSet}) == 1
    found = counterexamples.read(min(tmp_path.iterdir()))
    assert str(found) in capsys.readouterr().out
    assert found.is_wrong() == (True, True)


# -- files ------------------------------------------------------------------------------------------------------------


def op(called: int, returned: int, name: str, *arguments: Any, result: Any = None) -> Operation:
    return Operation(0, name, arguments, result, called, returned)


def fields(operations: Sequence[Operation]) -> list[tuple[Any, ...]]:
    return [(one.thread, one.name, one.arguments, one.result, one.called, one.returned) for one in operations]


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    operations = (
        op(0, 9, "compute", Put(MISSING), result=ABSENT),
        op(1, 8, "compute", PlusOne(5), result=6),
        op(2, 7, "merge", 3, PlusOne(3), result=7),
        op(3, 6, "del", result=KEY_ERROR),
        op(4, 5, "compare_and_set", 7, 8, result=True),
        op(10, 11, "get", result=None),
    )
    window = Window(((ABSENT, frozenset()), (7, frozenset(operations[:2])), (8, frozenset())), operations, 10)
    path = tmp_path / "new" / "file.json"
    Counterexample("a source", window, Window.of((*operations, operations[0]))).write(path)
    found = counterexamples.read(path)
    assert found.source == "a source"
    assert fields(found.window.operations) == fields(operations)
    assert fields(found.history.operations) == fields((*operations, operations[0]))
    assert (found.window.end, found.history.end) == (10, 11)
    assert len(found.window.possible) == 3
    assert dict(found.window.possible)[7] == frozenset(found.window.operations[:2])
    assert dict(found.window.possible)[ABSENT] == frozenset()


def test_a_history_that_is_right_after_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    operations = (op(0, 1, "set", 5), op(2, 3, "get", result=5))
    Counterexample("edited", Window.of(operations), Window.of(operations)).write(tmp_path / "file")
    assert main(["--check", str(tmp_path / "file")]) == 0
    assert "the part: linearizable; all 2 operations: linearizable" in capsys.readouterr().out


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"source": "", "before": [], "operations": [5], "history": []}'])
def test_a_file_that_is_something_else(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "file"
    path.write_text(content)
    with pytest.raises(ValueError, match="not a file of a history"):
        counterexamples.read(path)
    assert main(["--check", str(path)]) == 2
    assert "not a file of a history" in capsys.readouterr().err


# -- recorded histories, spoiled --------------------------------------------------------------------------------------


def is_linearizable_by_search(history: Sequence[Operation]) -> bool:
    """Another algorithm: which operation comes next, of those that were called before all others returned?"""
    by_thread: defaultdict[int, list[Operation]] = defaultdict(list)
    for operation in sorted(history, key=lambda operation: operation.called):
        by_thread[operation.thread].append(operation)
    threads = list(by_thread.values())
    start: tuple[Any, tuple[int, ...]] = (ABSENT, (0,) * len(threads))
    seen = {start}
    pending = [start]
    while pending:
        state, places = pending.pop()
        heads = [(number, threads[number][at]) for number, at in enumerate(places) if at < len(threads[number])]
        if not heads:
            return True
        first_return = min(operation.returned for _, operation in heads)
        for number, operation in heads:
            result, following = SPECIFICATION[operation.name](state, *operation.arguments)
            right = result == operation.result and type(result) is type(operation.result)
            if right and operation.called <= first_return:
                after = (following, (*places[:number], places[number] + 1, *places[number + 1 :]))
                if after not in seen:
                    seen.add(after)
                    pending.append(after)
    return False


def with_result(history: Sequence[Operation], place: int, result: Any) -> list[Operation]:
    one = history[place]
    spoiled = Operation(one.thread, one.name, one.arguments, result, one.called, one.returned)
    return [*history[:place], spoiled, *history[place + 1 :]]


def recorded_history(choose: random.Random, mix: str) -> list[Operation]:
    this = Round(choose.randrange(1 << 32), "stressed", "yielding", "noisy", mix, "nothing", 3, 1, 60)
    (history,) = record(this).histories()
    return history


@pytest.mark.parametrize("mix", MIXES)
def test_a_recorded_history_with_one_wrong_result(mix: str) -> None:
    """Whatever result is exchanged: rejected if and only if another algorithm finds no order either."""
    choose = new_random()
    verdicts = {True: 0, False: 0}
    for _ in range(scaled(3)):
        history = recorded_history(choose, mix)
        assert check(history) is None
        assert is_linearizable_by_search(history)
        for place, operation in enumerate(history):
            for result in {True, False, None, KEY_ERROR, choose.choice(history).result} - {operation.result}:
                spoiled = with_result(history, place, result)
                verdict = is_linearizable_by_search(spoiled)
                assert (check(spoiled) is None) == verdict, f"{operation} -> {result}"
                verdicts[verdict] += 1
    print(verdicts)
    assert verdicts[False]


#: What these return is a value that was there, or that they were given.
TELLING = {
    "[]",
    "get",
    "pop",
    "swap",
    "setdefault",
    "compute",
    "compute_if_absent",
    "compute_if_present",
    "merge",
    "add",
}


@pytest.mark.parametrize("mix", MIXES)
def test_a_value_that_nobody_wrote_is_always_rejected(mix: str) -> None:
    choose = new_random()
    history = recorded_history(choose, mix)
    for place, operation in enumerate(history):
        if operation.name in TELLING:
            spoiled = with_result(history, place, 7)
            assert check(spoiled) is not None
            found = counterexamples.of(spoiled, "spoiled")
            assert found is not None
            assert found.is_wrong() == (True, True)


# -- the run ----------------------------------------------------------------------------------------------------------


def test_the_map_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rounds of the long run as they are, judged by another process."""
    output = ["--output", str(tmp_path)]
    assert main(["--operations", str(scaled(40_000)), "--jobs", "1", "--verbose", *output]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("linearizable: ")
    assert int(last.split()[1]) >= scaled(40_000)
    assert not list(tmp_path.iterdir())


def test_a_time_limit_ends_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seconds", "0.1", "--threads", "3", "--jobs", "0"]) == 0
    assert ", 3 threads, " in capsys.readouterr().out


def test_a_seed_repeats_the_rounds() -> None:
    def rounds() -> list[Round]:
        choose = random.Random(5)
        return [Round.drawn(choose, 1000) for _ in range(300)]

    assert rounds() == rounds()
    # And all kinds of them come.
    for kinds, drawn in [
        (set(MAPS), {one.variant for one in rounds()}),
        (set(MIXES), {one.mix for one in rounds()}),
        (set(BACKGROUNDS), {one.background for one in rounds()}),
        (set(range(2, 9)), {one.threads for one in rounds()}),
    ]:
        assert drawn == kinds
    assert {one.family for one in rounds()} <= set(FAMILIES)
    assert {one.values for one in rounds()} <= set(VALUES)
    assert {label for mix in MIXES.values() for label in mix} == set(CHOICES)


def test_everything_that_is_done_is_recorded() -> None:
    """Every operation is in one history, in the order of its thread, and threads do meet."""
    verdict = judge(record(Round(7, "default", "yielding", "noisy", "everything", "nothing", 4, 2, 4000)))
    assert not verdict.failures
    assert verdict.histories == 2
    assert verdict.operations == 4000 + 2
    assert verdict.overlapping > 100
