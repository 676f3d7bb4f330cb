"""Fixtures for the tests of the embedded engine."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_disk_sync() -> None:
    """Sync for real: these tests check when and in which order the engine syncs."""
