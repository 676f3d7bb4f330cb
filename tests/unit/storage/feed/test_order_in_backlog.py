"""The order of the changes of one instance, when the log has more records than one reading takes."""

from __future__ import annotations

import pytest

from app.engines.embedded.sqlite import SqliteTable
from app.storage.feed import sequencer
from tests.unit.storage.feed.processes import FeedProcess, change
from tests.unit.storage.feed.test_change_feed import clock_at


def test_a_deletion_never_comes_before_the_creation_that_another_clock_has_dated_later(
    table: SqliteTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequencer, "_MOST_READ", 4)
    fast, process = FeedProcess(table), FeedProcess(table)
    with clock_at(9):
        fast.create(1)
    with clock_at(2):
        process.commit(change(1, "Delete"))
    with clock_at(3):
        process.create(2, 3, 4, 5, 6)
    with clock_at(100):
        actions = [entry.action for entry in process.feed.by_sequence(0, 100) if entry.instance == "1.4.1"]
    assert actions == ["Create", "Delete"]
