"""Time as the tests want it."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from app import bootstrap
from app.engines.embedded import commits
from app.storage.table import clock

Later = Callable[..., None]
"""later(seconds): lets time pass; a month unless told."""


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Later:
    """The archive's clock stands still, unless it is moved on."""
    now = clock.now()

    def move(seconds: float = 30 * 86_400) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(clock, "now", lambda: now)
    return move


@pytest.fixture(autouse=True)
def one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are written by the thread that asks for it, so that who dies, or stands still, does so alone."""
    monkeypatch.setattr(bootstrap, "parallel_map", map)


@pytest.fixture(autouse=True)
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits for the disk: processes die in these tests, machines do not."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(commits, "_SYNCHRONOUS", dict.fromkeys((True, False), "PRAGMA synchronous = OFF"))
