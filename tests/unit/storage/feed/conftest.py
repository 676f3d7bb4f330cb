"""A table for tests of the change feed."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.engines.embedded.sqlite import SqliteTable


@pytest.fixture
def table(tmp_path: Path) -> SqliteTable:
    """The table of an embedded archive. It has no items."""
    return SqliteTable(tmp_path / "index.sqlite")
