"""Fixtures of the byte map's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from bytemaps import VARIANTS, AnyMap


@pytest.fixture(params=VARIANTS)
def m(request: pytest.FixtureRequest) -> Iterator[AnyMap]:
    """An empty map, of each variant; sound after the test, and nothing in it is kept that no view keeps."""
    made = VARIANTS[request.param]()
    yield made
    made._check()
    made.sweep()
    assert len(made) == len(list(made)) == made.stats()["entries"]
    made._check()
