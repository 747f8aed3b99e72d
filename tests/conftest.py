"""Fixtures of the whole test suite.

The mapping suite asks for `impl` (an `implementations.Implementation`) and `new` (makes maps of it, and walks their
invariants when the test has ended). ``@pytest.mark.needs("bulk")`` on a test, or ``pytestmark`` in its module,
restricts it to the implementations with that feature.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from concurrency import VARIANTS
from implementations import IMPLEMENTATIONS, Implementation

NewMap = Callable[..., Any]

BORN_FREE = not getattr(sys, "_is_gil_enabled", lambda: True)()


def pytest_configure(config: pytest.Config) -> None:
    # What is started in the background inherits that interrupts are ignored, and so would the programs that tests start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Tests sweep when they want to; programs that are about the sweeper set this themselves.
    os.environ.setdefault("SHARDMAP_GC_INTERVAL", "86400")
    config.addinivalue_line("markers", "needs(*features): run on the implementations that have these features")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "impl" in metafunc.fixturenames:
        needed = {feature for mark in metafunc.definition.iter_markers("needs") for feature in mark.args}
        able = [impl for impl in IMPLEMENTATIONS if needed <= impl.features]
        metafunc.parametrize("impl", able, ids=str)


@pytest.fixture(scope="module", autouse=True)
def small_heap() -> None:
    """Many tests run the collector; it need not walk the test suite and its reports each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def new(impl: Implementation) -> Iterator[NewMap]:
    """``new(entries=())``: a map of the implementation under test, whose invariants are walked after the test."""
    made: list[Any] = []

    def make(entries: Any = (), /) -> Any:
        one = impl.make(entries)
        made.append(one)
        return one

    yield make
    for one in made:
        check(one)


@pytest.fixture(params=["default", "one-shard", "stressed-one-shard"])
def m(request: pytest.FixtureRequest) -> Iterator[Any]:
    """An empty map; sound and without a reservation after the test."""
    made: Any = VARIANTS[request.param]()
    yield made
    made._check()
    stats = made.stats()
    assert (stats["reserved"], stats["waiting"]) == (0, 0)
    assert len(made) == len(list(made)) == stats["entries"]


def check(one: Any) -> None:
    """Walk the invariants of a map that has a walker, and compare the ways to read any map."""
    if hasattr(one, "_check"):
        one._check()
    keys = list(one)
    assert len(one) == len(keys) == len(list(one.values())) == len(list(one.items()))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """No module may have switched the GIL back on: the tests would have tested another build."""
    if BORN_FREE and sys._is_gil_enabled():  # type: ignore[attr-defined]  # since 3.13
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        print("\nERROR: the tests started on a free-threaded interpreter, and something has re-enabled its GIL")
