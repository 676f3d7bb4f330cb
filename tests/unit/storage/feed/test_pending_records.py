"""The records that are in the feed already, when more of them are in the log than one reading takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.engines.embedded.sqlite import SqliteTable
from app.storage.feed import sequencer
from tests.unit.storage.feed.processes import FeedProcess
from tests.unit.storage.feed.test_change_feed import KeepingTable, clock_at


def test_a_record_beyond_the_reading_is_not_moved_twice(
    table: SqliteTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed process has moved a record. Commits that began before it and ended after it come first in the log."""
    monkeypatch.setattr(sequencer, "_MOST_READ", 4)
    killed = FeedProcess(KeepingTable(tmp_path / "index.sqlite"))
    with clock_at(10):
        killed.create(1)
    with clock_at(11):
        assert killed.read() == [1]
    slow, reader = FeedProcess(table), FeedProcess(table)
    with clock_at(0):
        slow.create(2, 3, 4, 5, 6)
    with clock_at(20):
        assert reader.read() == [1, 2, 3, 4, 5, 6]
        assert reader.read() == [1, 2, 3, 4, 5, 6]
