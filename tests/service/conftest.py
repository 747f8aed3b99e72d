"""Fixtures of the service's tests.

`server` is a running one, the same for a module, emptied before each test; `wire` a connection to it; `server_with` makes
one with other settings. ``@pytest.mark.ours`` is for what only shardmap promises: such a test is left out when
``SHARDMAP_TEST_SERVER`` names a Redis (see ``targets.py``). ``@pytest.mark.valkey`` is for what Valkey 9 has too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import pytest
import targets
from targets import Connect, ServerWith, Target
from wire import OK, Wire


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "ours: what shardmap's service promises, and Redis does not")
    config.addinivalue_line("markers", "valkey: what Valkey 9 and shardmap's service have, and Redis does not")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("ours") and targets.external():
        pytest.skip("shardmap's own")


@pytest.fixture(scope="module")
def shared_server() -> Iterator[Target]:
    with targets.another() as target:
        yield target


@pytest.fixture
def server(shared_server: Target, request: pytest.FixtureRequest) -> Iterator[Target]:
    """A server without entries and with its own defaults; its store is sound after the test."""
    if request.node.get_closest_marker("valkey") and shared_server.kind == "redis":
        pytest.skip("Redis does not have it")
    with shared_server.connect() as wire:
        assert wire("FLUSHALL") == OK
    yield shared_server
    if shared_server.byte_map is not None:
        shared_server.byte_map._check()


@pytest.fixture
def connect(server: Target) -> Iterator[Connect]:
    """``connect()``: one more connection, closed after the test."""
    with ExitStack() as opened:
        yield lambda: opened.enter_context(server.connect())


@pytest.fixture
def wire(connect: Connect) -> Wire:
    return connect()


@pytest.fixture
def server_with() -> Iterator[ServerWith]:
    """``server_with(password="x")``: a server with these settings, until the test has ended."""
    with ExitStack() as started:

        def start(**settings: Any) -> Target:
            made: AbstractContextManager[Target] = targets.another(**settings)
            return started.enter_context(made)

        yield start
