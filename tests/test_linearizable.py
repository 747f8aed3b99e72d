"""Every operation on one key is linearizable: recorded histories of threads at work are judged by `linearizability`.

Each round works a few keys of a small map; what it does, and how that is recorded, is in `histories`. These are short
rounds on every setup; `linearizability_run` does many and longer ones.
"""

from __future__ import annotations

import pytest
from concurrency import SETUPS, Setup, new_random, on_every_setup, scaled
from histories import BACKGROUNDS, MIXES, VALUES, Recorded, Round, record
from linearizability import ABSENT, explain

from shardmap import MISSING

#: Of one thread, in a round.
OPERATIONS = 250
ROUNDS = scaled(12)


def assert_linearizable(recorded: Recorded) -> None:
    for number, history in enumerate(recorded.histories()):
        explanation = explain(history)
        assert explanation is None, f"{recorded.round}; key {number}: {explanation}"


@on_every_setup
@pytest.mark.parametrize("threads", [2, 4])
def test_single_key_operations_are_linearizable(setup: Setup, threads: int) -> None:
    choose = new_random()
    for number in range(ROUNDS):
        values = list(VALUES)[number % len(VALUES)]
        seed, keys = choose.randrange(1 << 32), choose.randrange(1, 6)
        assert_linearizable(
            record(
                Round(
                    seed,
                    setup.variant,
                    setup.family,
                    values,
                    "everything",
                    "nothing",
                    threads,
                    keys,
                    OPERATIONS * threads,
                )
            )
        )


@on_every_setup
def test_they_are_while_other_keys_come_and_go(setup: Setup) -> None:
    """The same while the buckets around the keys move without end."""
    choose = new_random()
    for _ in range(ROUNDS):
        seed = choose.randrange(1 << 32)
        assert_linearizable(
            record(Round(seed, setup.variant, setup.family, "int", "everything", "other keys", 3, 3, 3 * OPERATIONS))
        )


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("background", BACKGROUNDS)
def test_they_are_whatever_is_done_in_the_background(background: str, mix: str) -> None:
    choose = new_random()
    setup = choose.choice(SETUPS)
    values = choose.choice(list(VALUES))
    seed = choose.randrange(1 << 32)
    assert_linearizable(
        record(Round(seed, setup.variant, setup.family, values, mix, background, 4, 2, scaled(4 * OPERATIONS)))
    )


def test_absent_is_what_a_map_cannot_hold() -> None:
    assert ABSENT is MISSING
