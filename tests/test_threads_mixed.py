"""All operations against each other on few keys, with values that tell their key: nothing torn, mixed up or leaked."""

from __future__ import annotations

import copy
import gc
import itertools
import pickle
import random
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar

from concurrency import (
    THREADS,
    AnyMap,
    Setup,
    assert_settled,
    new_random,
    on_every_setup,
    run_copies,
    scaled,
)

from shardmap import MISSING

KEYS = 40
OPERATIONS = scaled(700)


class Tagged:
    """A value that knows its key; births and deaths are counted, so that a leak or a double release shows."""

    # Appending is atomic and takes no lock that a ``__del__`` in the middle of it could want too.
    changes: ClassVar[deque[int]] = deque()

    def __init__(self, number: int) -> None:
        self.number = number
        self.changes.append(1)

    def __del__(self) -> None:
        self.changes.append(-1)

    @classmethod
    def living(cls) -> int:
        gc.collect()
        return sum(cls.changes)

    def __reduce__(self) -> Any:
        return Tagged, (self.number,)

    def __add__(self, _: object) -> Tagged:
        return Tagged(self.number)


class CallbackError(Exception):
    pass


def single_key_operations(m: AnyMap) -> list[Callable[[Any, int], Any]]:
    """Operations on a key and its number; whatever value one returns must be tagged with that number."""

    def deleting(operation: Callable[[Any], Any]) -> Callable[[Any, int], Any]:
        def call(key: Any, _: int) -> Any:
            try:
                return operation(key)
            except KeyError as error:
                assert error.args == (key,)
                return None

        return call

    def change(number: int, outcome: int) -> Callable[[Any], Any]:
        def fn(old: Any) -> Any:
            assert old is MISSING or old.number == number
            if outcome == 0:
                raise CallbackError
            return MISSING if outcome == 1 else Tagged(number)

        return fn

    outcomes = itertools.cycle([0, 1, 2, 2, 2])

    def computing(operation: Callable[[Any, int, Callable[[Any], Any]], Any]) -> Callable[[Any, int], Any]:
        def call(key: Any, number: int) -> Any:
            try:
                return operation(key, number, change(number, outcome.pop()))
            except CallbackError:
                return None
            finally:
                outcome.append(choose.randrange(5))

        choose = random.Random(next(outcomes))
        outcome = [0]
        return call

    return [
        deleting(lambda k: m[k]),
        deleting(m.pop),
        deleting(m.__delitem__),
        lambda k, n: m.get(k),
        lambda k, n: m.__setitem__(k, Tagged(n)),
        lambda k, n: m.__setitem__(k, Tagged(n)),
        lambda k, n: m.setdefault(k, Tagged(n)),
        lambda k, n: m.pop(k, None),
        lambda k, n: m.insert(k, Tagged(n)),
        lambda k, n: m.replace(k, Tagged(n)),
        lambda k, n: m.swap(k, Tagged(n)),
        lambda k, n: m.compare_and_set(k, m.get(k), Tagged(n)),
        lambda k, n: m.compare_and_delete(k, m.get(k)),
        lambda k, n: m.add(k, Tagged(n)),
        lambda k, n: m.set_many([(k, Tagged(n))]),
        lambda k, n: m.get_many([k])[0],
        lambda k, n: m.delete_many([k]),
        lambda k, n: k in m,
        computing(lambda k, n, fn: m.compute(k, fn)),
        computing(lambda k, n, fn: m.compute_if_present(k, fn)),
        computing(lambda k, n, fn: m.compute_if_absent(k, lambda key: fn(MISSING))),
        computing(lambda k, n, fn: m.merge(k, Tagged(n), lambda old, new: fn(old))),
    ]


def whole_map_operations(m: AnyMap, setup: Setup) -> list[Callable[[], object]]:
    def all_tagged(items: Any) -> None:
        for key, value in items:
            assert key == setup.key(value.number)

    def pop_one() -> None:
        try:
            all_tagged([m.popitem()])
        except KeyError:
            pass

    return [
        lambda: all_tagged(m.items()),
        lambda: all_tagged(itertools.chain.from_iterable(m.partitions(2))),
        lambda: all_tagged(m.snapshot().items()),
        lambda: all_tagged(m.copy().items()),
        lambda: all_tagged(copy.copy(m).items()),
        lambda: all_tagged(pickle.loads(pickle.dumps(m)).items()),
        lambda: [value.number for value in m.values()],
        lambda: list(m),
        lambda: m == {setup.key(0): None},
        lambda: m.diff({}),
        lambda: len(repr(m)),
        lambda: m.retain(lambda key, value: value.number % 7),
        lambda: len(m),
        lambda: m.stats(),
        lambda: m._check(),
        lambda: m.reserve(100),
        m.shrink,
        m.clear,
        pop_one,
    ]


@on_every_setup
def test_everything_against_everything(setup: Setup) -> None:
    living_before = Tagged.living()
    m = setup.new()
    seed = new_random().randrange(1 << 32)

    def body(thread: int) -> None:
        choose = random.Random(seed + thread)
        single = single_key_operations(m)
        whole = whole_map_operations(m, setup)
        for _ in range(OPERATIONS):
            if choose.random() < 0.05:
                choose.choice(whole)()
                continue
            number = choose.randrange(KEYS)
            result = choose.choice(single)(setup.key(number), number)
            if isinstance(result, Tagged):
                assert result.number == number
            else:
                assert result in (None, True, False, 0, 1, MISSING)

    run_copies(body)
    for key, value in assert_settled(m).items():
        assert key == setup.key(value.number)
        del value
    assert Tagged.living() == living_before + len(m)
    m.clear()
    assert assert_settled(m) == {}
    assert Tagged.living() == living_before


@on_every_setup
def test_clear_against_writers(setup: Setup) -> None:
    """Every key is inserted, taken or cleared: what the writers took back plus what they missed is what they put."""
    m = setup.new()
    seed = new_random().randrange(1 << 32)

    def body(thread: int) -> None:
        choose = random.Random(seed + thread)
        for round_ in range(OPERATIONS):
            number = choose.randrange(KEYS) * THREADS + thread
            key = setup.key(number)
            m[key] = (thread, round_)
            # Nobody else writes this key, so it has this value, or clear came between.
            assert m.get(key) in ((thread, round_), None)
            assert m.add(key, (thread,)) in ((thread, round_, thread), (thread,))
            assert m.compute(key, lambda old: None if old is MISSING else old) in (
                (thread, round_, thread),
                (thread,),
                None,
            )
            assert m.swap(key, "last", "cleared") in ((thread, round_, thread), (thread,), None, "cleared")
            assert m.pop(key, "cleared") in ("last", "cleared")
            assert key not in m
            assert not m.replace(key, "never")

    run_copies(body, background=[m.clear, lambda: len(m)])
    assert assert_settled(m) == {}


@on_every_setup
def test_what_is_displaced_is_released_once(setup: Setup) -> None:
    """``__del__`` of a displaced value writes into the map: once a value, and under no lock."""
    m = setup.new()
    released: AnyMap = setup.new()

    class Noisy:
        def __init__(self, number: int) -> None:
            self.number = number

        def __del__(self) -> None:
            released.add(("released", self.number))
            m.get(setup.key(self.number))

    rounds = scaled(60)

    def body(thread: int) -> int:
        made = 0
        for round_ in range(rounds):
            for number in range(10):
                key = setup.key(number)
                way = (round_ + number + thread) % 6
                if way == 0:
                    m[key] = Noisy(number)
                elif way == 1:
                    m.swap(key, Noisy(number))
                elif way == 2:
                    m.compute(key, lambda _: Noisy(number))
                elif way == 3:
                    m.set_many([(key, Noisy(number))])
                elif way == 4:
                    m.pop(key, None)
                    continue
                elif not m.insert(key, Noisy(number)):
                    pass  # made, not stored, and released all the same
                made += 1
        return made

    made = sum(run_copies(body, background=[lambda: m.retain(lambda key, value: value.number % 3)]))
    m.clear()
    gc.collect()
    assert assert_settled(m) == {}
    assert sum(assert_settled(released).values()) == made


@on_every_setup
def test_reserve_against_clear_and_shrink(setup: Setup) -> None:
    """While a reserve has given a stripe's lock away to let others pass, the shard may become unused."""
    m = setup.new()

    def body(thread: int) -> None:
        for round_ in range(scaled(100)):
            m.set_many((setup.key(number), round_) for number in range(thread, 200, THREADS))
            m.reserve(200 * (round_ % 7))
            if round_ % 5 == thread:
                m.clear()

    run_copies(body, background=[m.shrink])
    assert_settled(m)
