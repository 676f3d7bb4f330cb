"""Fixtures for storage tests: a clock that the test moves, and calls in one thread."""

from __future__ import annotations

import pytest

from app.services import parallel
from tests.support.clock import AdvanceClock, stop_clock


@pytest.fixture
def advance_clock(monkeypatch: pytest.MonkeyPatch) -> AdvanceClock:
    """Stop the archive's clock. The test moves it."""
    return stop_clock(monkeypatch)


@pytest.fixture(autouse=True)
def sequential_parallel_map(monkeypatch: pytest.MonkeyPatch) -> None:
    """The calling thread writes the files. A test that stops or kills this thread then affects no other thread."""
    monkeypatch.setattr(parallel, "parallel_map", map)
