"""Readers that see some partitions read each entry of the others a bounded number of times."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from app.engines.embedded.sqlite import SqliteTable
from app.errors import ChangeFeedBusy
from app.storage.feed.latest_entries import LatestEntries
from app.storage.feed.visible_entries import HourCounts, VisibleEntries
from app.storage.table import clock
from app.storage.table.deadline import Deadline, DeadlinePassed, within
from app.storage.table.partitions import PartitionFilter
from app.storage.table.ports import Table
from tests.support.clock import AdvanceClock
from tests.unit.storage.feed.processes import CountedTable, FeedProcess, change

HOUR = 3600.0


class Feed:
    """The feed in one process, with entries of several partitions."""

    def __init__(self, table: CountedTable) -> None:
        self.table = table
        self.process = FeedProcess(cast(Table, table))
        self.log = self.process.feed
        self.visible_entries = VisibleEntries(self.log)
        self.latest_entries = LatestEntries(self.log)

    def write(self, *names: str) -> None:
        """Write an entry for each of these names of partitions, each in a page of its own."""
        for name in names:
            self.process.create_in(name)
            self.log.sequence()

    def page(
        self, visible: PartitionFilter, *, offset: int = 0, limit: int = 100, start: str = "", end: str = ""
    ) -> list[int]:
        found = self.visible_entries.by_time(start=start, end=end, offset=offset, limit=limit, visible=visible)
        return [entry.sequence for entry in found]

    def latest(self, visible: PartitionFilter, *, by_time: bool) -> int | None:
        found = self.latest_entries.latest(visible, by_time=by_time)
        return found.sequence if found else None

    def reads(self) -> int:
        """The pages that were read since the last call."""
        read, self.table.items_read = self.table.items_read, 0
        return read


@pytest.fixture
def feed(tmp_path: Path) -> Feed:
    return Feed(CountedTable(SqliteTable(tmp_path / "index.sqlite")))


def only(*names: str) -> PartitionFilter:
    return lambda name: name in names


def test_offset_and_limit_count_visible_entries(feed: Feed, advance_clock: AdvanceClock) -> None:
    feed.write(*"abcab")
    advance_clock(HOUR)
    feed.write(*"cab")
    expected = [1, 4, 7]
    for _ in range(2):
        assert feed.page(only("a")) == expected
        for limit in (1, 2):
            pages = [feed.page(only("a"), offset=offset, limit=limit) for offset in range(4)]
            assert pages == [expected[offset : offset + limit] for offset in range(4)]
        advance_clock(2 * HOUR)  # now the counts of both hours are remembered


def test_an_hour_that_has_passed_is_read_once(feed: Feed, advance_clock: AdvanceClock) -> None:
    feed.write(*"b" * 20, *"a" * 3)
    advance_clock(HOUR)
    feed.write("a")
    feed.page(only("a"))
    feed.reads()
    assert feed.page(only("a"), offset=3) == [24]
    assert feed.page(only("c")) == []
    assert feed.page(lambda _: True, offset=23) == [24]
    assert feed.reads() <= 12  # the last hour, and the end of the complete part
    assert feed.page(only("a"), offset=1, limit=1) == [22]
    assert feed.reads() > 20  # an hour with a wanted entry is read again


def test_the_hour_that_runs_is_not_remembered(feed: Feed, advance_clock: AdvanceClock) -> None:
    feed.write("b")
    assert feed.page(only("a")) == []
    advance_clock(1)
    feed.write("a")
    assert feed.page(only("a")) == [2]


def test_a_slow_clock_adds_nothing_to_an_hour_that_is_remembered(feed: Feed, advance_clock: AdvanceClock) -> None:
    feed.write("b")
    advance_clock(HOUR)
    assert feed.page(only("a")) == []
    advance_clock(-HOUR)
    feed.write("a")
    assert feed.page(only("a")) == [2]


def test_a_slow_writer_adds_nothing_to_an_hour_that_is_remembered(feed: Feed, advance_clock: AdvanceClock) -> None:
    feed.write("b")
    slow = feed.process.committed(change(1))
    advance_clock(3 * HOUR)
    assert feed.page(only("clinic")) == []
    feed.process.table.write(slow)
    assert feed.page(only("clinic")) == [2]


def test_an_idle_feed_has_no_hour_that_is_read_again(feed: Feed, advance_clock: AdvanceClock) -> None:
    feed.write(*"b" * 20)
    advance_clock(HOUR)
    feed.page(only("a"))
    feed.reads()
    assert feed.page(only("a")) == []
    assert feed.reads() == 0


def test_a_part_of_an_hour_is_read_whatever_is_remembered(feed: Feed, advance_clock: AdvanceClock) -> None:
    feed.write("a")
    advance_clock(1)
    middle = clock.timestamp(clock.now())
    advance_clock(1)
    feed.write("a")
    advance_clock(3 * HOUR)
    assert feed.page(only("a")) == [1, 2]
    assert feed.page(only("a"), start=middle) == [2]
    assert feed.page(only("a"), end=middle) == [1]
    assert feed.page(only("a"), start=middle, offset=1) == []


def test_one_page_passes_over_a_limited_part_and_the_next_request_continues(
    feed: Feed, advance_clock: AdvanceClock
) -> None:
    for _ in range(4):
        feed.write(*"b" * 10)
        advance_clock(HOUR)
    feed.write("a")
    feed.visible_entries = VisibleEntries(feed.log, max_passed_over=19)
    with pytest.raises(ChangeFeedBusy):
        feed.page(only("a"))
    with pytest.raises(ChangeFeedBusy):
        feed.page(only("a"))
    assert feed.page(only("a")) == [41]
    assert len(feed.page(only("b"))) == 40


def test_the_memory_for_counts_is_bounded() -> None:
    counts = HourCounts(limit=10)
    for hour in range(20):
        assert counts.put(str(hour), {"a": 1, "b": 2}) == (hour < 3)
    assert [hour for hour in range(20) if counts.get(str(hour)) is not None] == [17, 18, 19]
    counts.put("19", {})
    counts.put("20", {"a": 1})
    assert counts.get("17") is not None


@pytest.mark.parametrize("by_time", [False, True])
def test_the_latest_entry_of_each_partition(feed: Feed, by_time: bool) -> None:
    assert feed.latest(only("a"), by_time=by_time) is None
    feed.write(*"abcab")
    found = [feed.latest(only(*names), by_time=by_time) for names in ("a", "b", "c", "ac", "d")]
    assert found == [4, 5, 3, 4, None]
    feed.write(*"cd")
    found = [feed.latest(only(*names), by_time=by_time) for names in ("a", "b", "c", "ac", "d")]
    assert found == [4, 5, 6, 6, 7]


@pytest.mark.parametrize("by_time", [False, True])
def test_each_entry_is_read_once_however_often_readers_ask(feed: Feed, by_time: bool) -> None:
    feed.write(*"a", *"b" * 30)
    assert feed.latest(only("a"), by_time=by_time) == 1
    feed.reads()
    for name in "abc" * 10:
        feed.latest(only(name), by_time=by_time)
    assert feed.reads() == 0
    feed.write("b")
    feed.latest(only("a"), by_time=by_time)
    assert feed.reads() <= 2  # by the end of the complete part, and by the latest


def test_one_request_reads_a_limited_part_and_the_next_continues(feed: Feed) -> None:
    feed.write("a")
    for first in range(1, 4500, 90):
        feed.process.commit(*map(change, range(first, first + 90)))
    latest = LatestEntries(feed.log, max_steps=3)
    with pytest.raises(ChangeFeedBusy):
        latest.latest(only("a"), by_time=False)
    found = latest.latest(only("a"), by_time=False)
    assert found and found.sequence == 1
    again = LatestEntries(feed.log, max_steps=3).latest(only("clinic"), by_time=False)
    assert again and again.sequence == 4501


def test_a_reader_waits_for_another_one_until_its_deadline(feed: Feed) -> None:
    feed.write("a")

    def visible(_: str) -> bool:  # it is called in the middle of a read
        with within(Deadline(0)), pytest.raises(DeadlinePassed):
            feed.latest(only("a"), by_time=False)
        return True

    assert feed.latest(visible, by_time=False) == 1
    assert feed.latest(only("a"), by_time=False) == 1
