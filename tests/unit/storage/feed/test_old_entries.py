"""A feed of layout 4: its entries stay, its gaps are closed once, and new entries follow."""

from __future__ import annotations

import pytest

from app.engines.embedded.sqlite import SqliteTable
from app.storage.feed.entries import FeedEntry
from app.storage.feed.head import read_head
from app.storage.feed.latest_entries import LatestEntries
from app.storage.feed.old_entries import close_old_feed
from app.storage.feed.visible_entries import VisibleEntries
from app.storage.table import clock, keys
from app.storage.table.codec import encode
from app.storage.table.ports import Item, Key, Put
from tests.support.faults import Killed, Rule, kill, run
from tests.support.faulty_engine import Faults, FaultyTable
from tests.unit.storage.feed.processes import FeedProcess, number_of

NOW = 1_800_000_000.0


def at(seconds: float) -> str:
    return clock.timestamp(NOW + seconds)


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW)


def write_old(table: SqliteTable, number: int, seconds: float) -> None:
    """Write an entry as layout 4 did."""
    entry = FeedEntry(
        sequence=number,
        partition=2,
        partition_name="clinic",
        study="1.2",
        series="1.3",
        instance=f"1.4.{number}",
        action="Create",
        timestamp=at(seconds),
        watermark=number,
    )
    hour = keys.feed_hour(keys.hour_of(entry.timestamp))
    table.write(
        Put(Item(keys.feed(number), encode(entry))),
        Put(Item(Key(hour, f"{entry.timestamp}/{keys.oldest(number)}"), encode(entry))),
        Put(Item(keys.feed_hours(keys.hour_of(entry.timestamp)), {})),
    )


OLD = {1: -9000, 2: -8000, 3: -8001, 5: -4000, 6: -4001, 7: -3500, 1500: -10, 1501: -20}
"""The entries by number, with their times in seconds from now. Some neighbours have times in another order."""

BY_TIME = sorted(OLD, key=lambda number: (OLD[number], number))


@pytest.fixture
def old(table: SqliteTable) -> SqliteTable:
    for number, seconds in OLD.items():
        write_old(table, number, seconds)
    table.add(keys.WATERMARK_COUNTER, "value", 1503)
    return table


def test_the_gaps_are_closed_and_new_entries_follow(old: SqliteTable) -> None:
    close_old_feed(old)
    head = read_head(old)
    assert (head.number, head.old_number, head.time, head.old_time) == (1503, 1503, at(-10), at(-10))
    process = FeedProcess(old)
    assert [number_of(entry) for entry in process.feed.by_sequence(0, 2000)] == list(OLD)
    assert [number for number, _ in process.feed.numbers(1, 1503)] == list(range(1, 1504))
    latest, by_time = process.feed.latest(), process.feed.latest_by_time()
    assert latest and by_time and (latest.sequence, by_time.sequence) == (1501, 1500)
    process.create(2001, 2002)
    assert [entry.sequence for entry in process.feed.by_sequence(1503, 100)] == [1504, 1505]
    assert [number_of(entry) for entry in process.feed.by_sequence(6, 1498)] == [7, 1500, 1501, 2001]
    latest, by_time = process.feed.latest(), process.feed.latest_by_time()
    assert latest and by_time and latest == by_time and latest.sequence == 1505


@pytest.mark.parametrize("window", [(-1e6, 1e6), (-8001, -3999), (-30, -10), (-4000.5, 1), (-5, 1), (-1e6, -9000)])
def test_windows_have_old_and_new_entries(old: SqliteTable, window: tuple[float, float]) -> None:
    close_old_feed(old)
    process = FeedProcess(old)
    process.create(*range(2001, 2150))
    start, end = window
    expected = [number for number in BY_TIME if start <= OLD[number] < end]
    if start <= 0 < end:
        expected += range(2001, 2150)
    assert process.read_by_time(at(start), at(end)) == expected
    visible = VisibleEntries(process.feed)
    for limit in (1, 3, 60):
        pages = [process.read_by_time(at(start), at(end), offset, limit) for offset in range(0, len(expected), limit)]
        assert [each for page in pages for each in page] == expected
    for _ in range(2):
        found = visible.by_time(start=at(start), end=at(end), offset=0, limit=1000, visible=lambda _: True)
        assert [number_of(entry) for entry in found] == expected


def test_the_latest_entry_of_a_partition(old: SqliteTable) -> None:
    close_old_feed(old)
    process = FeedProcess(old)
    latest = LatestEntries(process.feed)
    for by_time, number in ((False, 1501), (True, 1500)):
        found = latest.latest(lambda name: name == "clinic", by_time=by_time)
        assert found and found.sequence == number


def test_a_window_that_was_read_before_the_migration_gains_nothing(old: SqliteTable) -> None:
    old.write(Put(Item(keys.FEED_EARLIEST, {"time": at(100)})))
    close_old_feed(old)
    process = FeedProcess(old)
    process.create(1)
    assert process.feed.by_sequence(1503, 1)[0].timestamp == at(100)


def test_a_killed_migration_is_repeated(old: SqliteTable) -> None:
    for call in range(1, 40):
        faults = Faults()
        faults.add(Rule(kill(), operation="table.write", nth=call))
        try:
            close_old_feed(FaultyTable(old, faults))
        except Killed:
            continue
        break
    close_old_feed(old)
    assert [number for number, _ in FeedProcess(old).feed.numbers(1, 1503)] == list(range(1, 1504))


def test_two_processes_migrate_at_the_same_time(old: SqliteTable) -> None:
    def migrate_and_write() -> None:
        close_old_feed(old)
        FeedProcess(old).create(2001)
        FeedProcess(old).feed.sequence()

    faults = Faults()
    faults.add(Rule(run(migrate_and_write), operation="table.write", nth=5))
    close_old_feed(FaultyTable(old, faults))
    process = FeedProcess(old)
    process.create(2002)
    assert [entry.sequence for entry in process.feed.by_sequence(1503, 100)] == [1504, 1505]


def test_an_empty_archive_of_an_old_layout(table: SqliteTable) -> None:
    close_old_feed(table)
    process = FeedProcess(table)
    assert (process.read(), process.read_by_time(), process.feed.latest(), process.feed.latest_by_time()) == (
        [],
        [],
        None,
        None,
    )
    process.create(1)
    assert process.read() == [1]
