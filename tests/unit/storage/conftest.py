"""Fixtures for storage tests: a clock that the test moves, calls in one thread, and no waiting for the disk."""

from __future__ import annotations

import os

import pytest

from app import bootstrap
from app.engines.embedded import commits
from tests.support.clock import AdvanceClock, stop_clock


@pytest.fixture
def advance_clock(monkeypatch: pytest.MonkeyPatch) -> AdvanceClock:
    """Stop the archive's clock. The test moves it."""
    return stop_clock(monkeypatch)


@pytest.fixture(autouse=True)
def sequential_parallel_map(monkeypatch: pytest.MonkeyPatch) -> None:
    """The calling thread writes the files. A test that stops or kills this thread then affects no other thread."""
    monkeypatch.setattr(bootstrap, "parallel_map", map)


@pytest.fixture(autouse=True)
def no_disk_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits for the disk. These tests kill processes, and the page cache survives that."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(commits, "_SYNCHRONOUS", dict.fromkeys((True, False), "PRAGMA synchronous = OFF"))
