from __future__ import annotations

from pathlib import Path

import pytest

from app.services.tags import tasks
from tests.support.archive import Archive
from tests.support.clock import AdvanceClock
from tests.unit.storage.tags.tagged_archive import store_instances


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "BATCH", 3)
    monkeypatch.setattr(tasks, "DELETIONS", 4)


@pytest.fixture
def folder(tmp_path: Path, advance_clock: AdvanceClock) -> Path:
    """The folder of an archive with eight instances. The clock stands still."""
    archive = Archive(tmp_path / "archive")
    store_instances(archive)
    archive.work()
    return archive.folder
