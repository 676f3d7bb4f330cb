"""A window by time that was read stays as it is, although the clocks of the processes disagree."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.engines.embedded.sqlite import SqliteTable
from app.errors import Conflict
from app.storage.feed.change_feed import GRACE_SECONDS
from app.storage.table import clock
from tests.support.faults import Rule, run
from tests.support.faulty_engine import Faults, FaultyTable
from tests.unit.storage.feed.test_change_feed import Feed

NOW = 1_800_000_000.0

At = Callable[[float], object]


@pytest.fixture
def table(tmp_path: Path) -> SqliteTable:
    return SqliteTable(tmp_path / "index.sqlite")


@contextmanager
def clock_at(seconds: float) -> Iterator[None]:
    """Let the clock of the process differ from the true time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "now", lambda: NOW + seconds)
        yield


def window(reader: Feed, end: float, start: float = -1000) -> list[int]:
    """Read the entries between two times, in seconds from now."""
    times = {"start": clock.timestamp(NOW + start), "end": clock.timestamp(NOW + end)}
    return [entry.sequence for entry in reader.feed.by_time(**times, offset=0, limit=100)]


def test_a_writer_with_a_slow_clock_adds_nothing_to_a_window_that_was_read(table: SqliteTable) -> None:
    reader, slow = Feed(table), Feed(table)
    with clock_at(0):
        slow.write(*slow.reserve())
    with clock_at(10):
        assert window(reader, end=4) == [1]
    with clock_at(-60):
        slow.write(*slow.reserve())
    with clock_at(20):
        assert window(reader, end=4) == [1]
        assert window(reader, start=4, end=15) == [2]


def test_a_reader_with_a_fast_clock_ends_windows_for_all_writers(table: SqliteTable) -> None:
    fast, right = Feed(table), Feed(table)
    with clock_at(60):
        assert window(fast, end=60 - GRACE_SECONDS) == []
    with clock_at(1):
        right.write(*right.reserve())
    with clock_at(70):
        assert window(fast, end=60 - GRACE_SECONDS) == []
        assert window(fast, start=60 - GRACE_SECONDS, end=60) == [1]


def test_a_window_that_has_not_ended_changes_no_time(table: SqliteTable) -> None:
    reader, writer = Feed(table), Feed(table)
    with clock_at(0):
        assert window(reader, end=-GRACE_SECONDS + 1) == []
        writer.write(*writer.reserve())
        assert window(reader, start=-0.5, end=0.5) == [1]


def test_the_end_of_an_earlier_window_does_not_replace_that_of_a_later_one(table: SqliteTable) -> None:
    first, second, slow = Feed(table), Feed(table), Feed(table)
    with clock_at(100):
        assert window(first, end=90) == []
        assert window(second, end=50) == []
    with clock_at(0):
        slow.write(*slow.reserve())
    with clock_at(100):
        assert window(second, end=90) == []
        assert window(second, start=90, end=91) == [1]


def test_a_number_that_is_reserved_before_the_window_is_read_is_waited_for(
    table: SqliteTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer has asked for its time already. Its entry is in the window, or it conflicts."""
    monkeypatch.setattr(time, "sleep", lambda _: None)
    reader, slow = Feed(table), Feed(table)
    with clock_at(-60):
        numbers = slow.reserve()
        too_late = slow.feed.time_of_new_entries()
    with clock_at(10):
        assert window(reader, end=4) == []
    with pytest.raises(Conflict):
        table.write(*slow.changes(numbers, too_late))


def test_readers_that_end_windows_at_the_same_time_both_succeed(table: SqliteTable) -> None:
    faults = Faults()
    first, second, slow = Feed(FaultyTable(table, faults)), Feed(table), Feed(table)
    with clock_at(100):
        faults.add(Rule(run(lambda: window(second, end=80)), operation="table.write", key="counters|earliest"))
        assert window(first, end=90) == []
    with clock_at(0):
        slow.write(*slow.reserve())
    with clock_at(100):
        assert window(first, end=90) == []
