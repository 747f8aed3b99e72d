"""Every operation on one key of a byte map is linearizable: recorded histories are judged by `linearizability`.

The rounds, the recorder and the checker are the ShardMap's (`histories`), which count in ints; `Numbers` is a byte map
seen so. Values are padded to many sizes: some are written over in place, some move, some are copied without the lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import histories
import pytest
from byte_threads import LARGE, MAPS
from bytemaps import AnyMap, stressed
from concurrency import new_random, scaled
from histories import Round, record
from linearizability import explain

ROUNDS = scaled(1)
OPERATIONS = 300
#: Those of the ShardMap's mixes that have no callbacks.
MIXES = ["overwriting", "coming and going", "conditional", "mostly reading"]
ADDING = {"get": 6, "[]": 4, "get_many": 2, "add": 12, "count": 2, "set": 2, "del": 2, "pop": 1, "snapshot": 1}
BACKGROUNDS = ["nothing", "other keys", "reserve and shrink", "snapshot and iterate", "get_many", "clear"]


class Numbers:
    """A byte map whose values are ints, as far as `histories` uses a map."""

    def __init__(self, m: AnyMap, padding: Callable[[int], int]) -> None:
        self.m = m
        self.padding = padding
        # One object for each value, so that equal ones are the same.
        self.known: dict[bytes, int] = {}
        for name in ("get", "pop", "swap", "setdefault"):
            setattr(self, name, self.answering(getattr(m, name)))
        for name in ("insert", "replace", "compare_and_set", "compare_and_delete"):
            setattr(self, name, self.taking(getattr(m, name)))
        for name in ("delete_many", "shrink", "reserve", "clear", "count", "_check"):
            setattr(self, name, getattr(m, name))

    def encoded(self, number: int) -> bytes:
        return b"%d" % number + b" " * self.padding(number)

    def number(self, found: bytes | None) -> int | None:
        return None if found is None else self.known.setdefault(found.rstrip(), int(found))

    def answering(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(key: bytes, *arguments: Any) -> Any:
            return self.number(method(key, *(one if one is None else self.encoded(one) for one in arguments)))

        return call

    def taking(self, method: Callable[..., Any]) -> Callable[..., Any]:
        return lambda key, *numbers: method(key, *map(self.encoded, numbers))

    def __getitem__(self, key: bytes) -> Any:
        return self.number(self.m[key])

    def __setitem__(self, key: bytes, number: int) -> None:
        self.m[key] = self.encoded(number)

    def __delitem__(self, key: bytes) -> None:
        del self.m[key]

    def __contains__(self, key: bytes) -> bool:
        return key in self.m

    def __len__(self) -> int:
        return len(self.m)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.m)

    def add(self, key: bytes, delta: int) -> Any:
        return self.number(b"%d" % self.m.add(key, delta))

    def get_many(self, keys: Iterable[bytes]) -> list[int | None]:
        return [self.number(found) for found in self.m.get_many(keys)]

    def set_many(self, pairs: Iterable[tuple[bytes, int]]) -> None:
        self.m.set_many((key, self.encoded(number)) for key, number in pairs)

    def snapshot(self) -> dict[bytes, int | None]:
        return {key: self.number(found) for key, found in self.m.snapshot().items()}

    def items(self) -> Iterator[tuple[bytes, int | None]]:
        return ((key, self.number(found)) for key, found in self.m.items())

    def values(self) -> Iterator[int | None]:
        return map(self.number, self.m.values())

    def stats(self) -> Mapping[str, int]:
        return {**self.m.stats(), "reserved": self.m.stats()["kept"], "waiting": 0, "deleted": 0}

    def drain(self) -> None:
        """Nothing is released later."""


PADDINGS: dict[str, Callable[[int], int]] = {
    "plain": lambda number: 0,
    "padded": lambda number: number // 10_000 % 7 * 13,
    # One of so many is long, or has memory of its own.
    "long": lambda number: (0, 50, 20_000, LARGE)[number // 10_000 % 4],
}
NUMBERS: dict[str, Callable[[], Any]] = {
    f"{name} {padding}": lambda new=new, pad=pad: Numbers(new(), pad)  # type: ignore[misc]
    for name, new in {**MAPS, "crowded": lambda: stressed(1)}.items()
    for padding, pad in PADDINGS.items()
}


def assert_linearizable(this: Round) -> None:
    recorded = record(this, NUMBERS)
    for number, history in enumerate(recorded.histories()):
        explanation = explain(history)
        assert explanation is None, f"{recorded.round}; key {number}: {explanation}"


@pytest.mark.parametrize("variant", NUMBERS)
@pytest.mark.parametrize("threads", [2, 4])
def test_single_key_operations_are_linearizable(variant: str, threads: int) -> None:
    choose = new_random()
    for mix in MIXES:
        for _ in range(ROUNDS):
            seed, keys = choose.randrange(1 << 32), choose.choice([1, 1, 2, 4])
            family = choose.choice(["bytes", "one bytes"])
            assert_linearizable(
                Round(seed, variant, family, "int", mix, "nothing", threads, keys, OPERATIONS * threads)
            )


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("background", BACKGROUNDS)
def test_they_are_whatever_is_done_in_the_background(background: str, mix: str) -> None:
    choose = new_random()
    variant = choose.choice(list(NUMBERS))
    seed = choose.randrange(1 << 32)
    assert_linearizable(Round(seed, variant, "bytes", "int", mix, background, 4, 2, scaled(4 * OPERATIONS)))


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_adding_is_linearizable(background: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(histories.MIXES, "adding", ADDING)
    choose = new_random()
    for variant in ("default plain", "stressed plain", "crowded plain"):
        for _ in range(ROUNDS):
            seed, keys = choose.randrange(1 << 32), choose.choice([1, 2, 4])
            assert_linearizable(
                Round(seed, variant, "bytes", "int", "adding", background, 4, keys, scaled(4 * OPERATIONS))
            )
