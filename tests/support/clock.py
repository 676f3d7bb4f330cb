"""Clocks that a test moves: the clock of the archive, and one to pass to a constructor."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from app.storage.table import clock

MONTH = 30 * 86_400

AdvanceClock = Callable[..., None]
"""advance_clock(seconds): moves the clock on; by a month without an argument."""


def stop_clock(monkeypatch: pytest.MonkeyPatch) -> AdvanceClock:
    """Stop the archive's clock for the rest of the test. Only the returned function moves it."""
    now = clock.now()

    def advance(seconds: float = MONTH) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(clock, "now", lambda: now)
    return advance


def shift_clock(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let the archive's clock in this process run ahead of the true time by `seconds`, behind it if they are negative.

    Each process of a fault campaign may have an offset of its own, like machines whose clocks disagree.
    """
    monkeypatch.setattr(clock, "now", lambda: time.time() + seconds)


class ManualClock:
    """A clock in seconds that stands still. A test sets `now`, or the code under test sleeps with `sleep`.

    `pauses` are the seconds of each sleep. Nothing waits.
    """

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
