from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.engines.embedded.sqlite import SqliteTable
from tests.unit.services.operations.bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    table = SqliteTable(tmp_path / "index.db")
    yield Bench(table)
    table.close()
