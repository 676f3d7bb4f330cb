"""The clock of the archive, as tests move it."""

from __future__ import annotations

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
