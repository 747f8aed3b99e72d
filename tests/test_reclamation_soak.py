"""The soak, for a few seconds; and that it would notice memory that is not flat, and totals that do not add up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import soak
from support import linux_only

pytestmark = linux_only

MIB = 1 << 20


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "ROUND_SECONDS", 0.3)
    # Nothing is warm after a few seconds.
    monkeypatch.setattr(soak, "FLAT_BYTES", 1 << 40)


@pytest.mark.usefixtures("quick")
def test_a_short_soak(capfd: pytest.CaptureFixture[str]) -> None:
    assert soak.main(["--minutes", "0.03", "--threads", "4", "--every", "0.5"]) == 0, capfd.readouterr().out
    assert "passed" in capfd.readouterr().out


def curve(size: Callable[[float], float]) -> list[tuple[float, int]]:
    return [(at, int(size(at) * MIB)) for at in range(0, 600, 2)]


@pytest.mark.parametrize(
    ("size", "flat"),
    [
        (lambda at: 50, True),
        # Growing warm takes a third of the time at most.
        (lambda at: min(at, 190), True),
        (lambda at: 200 if at % 20 else 300, True),
        (lambda at: 100 - at / 60, True),
        (lambda at: 100 + at / 20, False),
        (lambda at: 50 if at < 420 else 70, False),
    ],
)
def test_what_is_flat(size: Callable[[float], float], flat: bool) -> None:
    assert soak.is_flat(curve(size)) == flat


@pytest.mark.usefixtures("quick")
def test_a_sum_that_is_wrong_is_noticed(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    count: Any = soak.Worker.count

    def counts_wrong(self: soak.Worker) -> None:
        count(self)
        self.added += 1

    monkeypatch.setattr(soak.Worker, "count", counts_wrong)
    assert soak.main(["--minutes", "0.02", "--threads", "2"]) == 1
    assert "counted of" in capfd.readouterr().out
