"""The feed skips no change: readers stop at a gap that a writer may still fill, and close one that waited too long."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.engines.aws import clients, provision
from app.engines.aws.dynamodb import DynamoTable
from app.engines.embedded.sqlite import SqliteTable
from app.errors import Conflict
from app.storage.feed.change_feed import GRACE_SECONDS, FeedLog
from app.storage.feed.entries import FeedEntry
from app.storage.records.rows import InstanceRow
from app.storage.table import clock, keys
from app.storage.table.counters import SequenceCounter
from app.storage.table.partitions import Partition
from app.storage.table.ports import Change, Table
from tests.support.clock import AdvanceClock
from tests.support.faults import Rule, nothing
from tests.support.faulty_engine import Faults, FaultyTable
from tests.support.selection import ENGINES

CLINIC = Partition(key=2, name="clinic", created="")


def row(number: int) -> InstanceRow:
    return InstanceRow(
        partition=2,
        study="1.2",
        series="1.3",
        instance=f"1.4.{number}",
        of_study=1,
        of_series=1,
        watermark=number,
        version="v",
        size=0,
        sop_class="1",
        transfer_syntax="1",
        revision=1,
    )


class Feed:
    """The feed in one process. Two objects on the same table are two processes."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.numbers = SequenceCounter(table)
        self.feed = FeedLog(table, self.numbers)

    def write(self, *numbers: int) -> None:
        """Write an entry under each of these reserved numbers."""
        for start in range(0, len(numbers), 50):
            self.table.write(*self.changes(numbers[start : start + 50], self.feed.time_of_new_entries()))

    def changes(self, numbers: Sequence[int], timestamp: str) -> list[Change]:
        """Return the changes that write an entry under each of these reserved numbers."""
        return self.feed.changes(CLINIC, [(number, row(number)) for number in numbers], "Create", timestamp)

    def reserve(self, count: int = 1) -> tuple[int, ...]:
        return tuple(self.numbers.reserve(count))

    def read(self, after: int = 0, limit: int = 100_000) -> list[int]:
        return [entry.sequence for entry in self.feed.by_sequence(after, limit)]

    def read_by_time(self, offset: int = 0, limit: int = 100_000) -> list[int]:
        return [entry.sequence for entry in self.feed.by_time(start="", end="", offset=offset, limit=limit)]

    def latest(self) -> list[int | None]:
        found: list[FeedEntry | None] = [self.feed.latest(), self.feed.latest_by_time()]
        return [entry.sequence if entry else None for entry in found]


@pytest.fixture
def table(tmp_path: Path) -> SqliteTable:
    return SqliteTable(tmp_path / "index.sqlite")


@pytest.fixture
def writer(table: SqliteTable) -> Feed:
    return Feed(table)


@pytest.fixture
def reader(table: SqliteTable) -> Feed:
    return Feed(table)


def test_an_empty_feed(reader: Feed) -> None:
    assert (reader.read(), reader.read_by_time(), reader.latest()) == ([], [], [None, None])


def test_readers_stop_at_a_gap_and_continue_when_it_is_filled(
    writer: Feed, reader: Feed, advance_clock: AdvanceClock
) -> None:
    one, slow, three = writer.reserve(3)
    writer.write(one)
    writer.write(three)
    assert (reader.read(), reader.read_by_time(), reader.latest()) == ([1], [1], [1, 1])
    advance_clock(GRACE_SECONDS - 1)
    assert reader.read() == [1]
    writer.write(slow)
    assert (reader.read(), sorted(reader.read_by_time()), reader.latest()) == ([1, 2, 3], [1, 2, 3], [3, 2])


def test_a_gap_that_waited_too_long_is_closed_for_ever(writer: Feed, reader: Feed, advance_clock: AdvanceClock) -> None:
    one, slow, three = writer.reserve(3)
    writer.write(one)
    writer.write(three)
    advance_clock(GRACE_SECONDS + 1)
    assert (reader.read(), reader.read_by_time(), reader.latest()) == ([1, 3], [1, 3], [3, 3])
    with pytest.raises(Conflict):
        writer.write(slow)
    writer.write(*writer.reserve())
    assert reader.read(after=3) == [4]


def test_a_gap_is_at_least_as_old_as_the_entry_after_it(
    writer: Feed, reader: Feed, advance_clock: AdvanceClock
) -> None:
    """A process that has just started does not know how old the last gap is."""
    writer.write(*writer.reserve())
    writer.reserve(2)
    advance_clock()
    assert reader.read() == [1]
    writer.write(*writer.reserve())
    assert reader.read() == [1]
    advance_clock(GRACE_SECONDS + 1)
    assert reader.read() == [1, 4]


def test_a_process_that_saw_the_last_gap_long_enough_closes_it(
    writer: Feed, reader: Feed, advance_clock: AdvanceClock
) -> None:
    writer.reserve(2)
    assert reader.read() == []
    advance_clock(GRACE_SECONDS)
    (slow,) = writer.reserve()
    assert reader.read() == []
    writer.write(slow)
    advance_clock(GRACE_SECONDS - 1)
    assert reader.read() == [slow]  # numbers that were reserved since may still be written
    (slower,) = writer.reserve()
    assert reader.read() == [slow]
    writer.write(slower)
    assert reader.read() == [slow, slower]


def test_no_entry_appears_in_a_window_that_was_read_after_its_end(
    table: SqliteTable, writer: Feed, advance_clock: AdvanceClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three writers hold numbers when a window ends: one is a moment late, one is too late, one is dead."""
    numbers = writer.reserve(3)
    time_of_entries = writer.feed.time_of_new_entries()
    changes = [writer.changes([number], time_of_entries) for number in numbers]
    advance_clock(1)
    end = clock.timestamp(clock.now())
    advance_clock(GRACE_SECONDS + 1)
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 2:
            table.write(*changes[1])

    monkeypatch.setattr(time, "sleep", sleep)
    window = [[entry.sequence for entry in Feed(table).feed.by_time(start="", end=end, offset=0, limit=100)]]
    assert window == [[2]]
    assert sum(waited) == pytest.approx(GRACE_SECONDS)
    with pytest.raises(Conflict):
        table.write(*changes[0])
    window.append([entry.sequence for entry in Feed(table).feed.by_time(start="", end=end, offset=0, limit=100)])
    assert window == [[2], [2]]
    assert sum(waited) == pytest.approx(GRACE_SECONDS)


def test_a_process_that_has_just_started_skips_nobody(
    table: SqliteTable, writer: Feed, advance_clock: AdvanceClock
) -> None:
    (slow,) = writer.reserve()
    writer.write(*writer.reserve(2500))
    assert (Feed(table).read(), Feed(table).read_by_time(), Feed(table).latest()) == ([], [], [None, None])
    writer.write(slow)
    assert Feed(table).read() == list(range(1, 2502))
    assert Feed(table).read_by_time(offset=2400) == list(range(2401, 2502))


def test_the_complete_part_is_not_read_again(table: SqliteTable, writer: Feed) -> None:
    writer.write(*writer.reserve(2500))
    assert Feed(table).feed.complete_up_to() == 2500
    writer.write(*writer.reserve(10))
    faults = Faults()
    in_last_bucket = faults.add(Rule(nothing(), operation="table.query", key=f"{keys.feed_bucket(2500)}|"))
    assert Feed(FaultyTable(table, faults)).feed.complete_up_to() == 2510
    assert in_last_bucket.matched == faults.calls["table.query"] > 0


def test_pages_by_time_together_are_the_whole(writer: Feed, reader: Feed, advance_clock: AdvanceClock) -> None:
    for _ in range(5):
        writer.write(*writer.reserve(3))
        advance_clock(1800)
    whole = reader.read_by_time()
    assert whole == list(range(1, 16))
    for limit in (1, 2, 7):
        assert [n for at in range(0, 16, limit) for n in reader.read_by_time(at, limit)] == whole


@pytest.mark.parametrize("engine", ENGINES)
def test_readers_beside_writers_see_every_entry_once_and_in_order(
    engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Writers commit their numbers in any order, and some die. Meanwhile readers read page after page."""
    if engine == "moto":
        request.getfixturevalue("aws")
        provision.create_table(clients.dynamodb(), "archive")
        table: Table = DynamoTable(clients.dynamodb(), "archive")
    else:
        table = SqliteTable(tmp_path / "index.sqlite")
    rounds = 40 if engine == "embedded" else 8
    written: list[int] = []
    done = threading.Event()

    def write(which: int) -> None:
        writer = Feed(table)
        for turn in range(rounds):
            numbers = writer.reserve(3)
            if turn == which:
                continue  # the writer died after it reserved the numbers
            try:
                writer.write(*numbers)
                written.extend(numbers)
            except Conflict:  # a reader closed the gap
                pass

    def read(found: list[int]) -> None:
        reader, after = Feed(table), 0
        while True:
            ended = done.is_set()
            tip = reader.feed.complete_up_to()
            while after < tip:
                page = min(7, tip - after)
                found.extend(reader.read(after, page))
                after += page
            if ended:
                return
            done.wait(0.01)

    seen: list[list[int]] = [[], [], []]
    writers = [threading.Thread(target=write, args=(which,)) for which in range(4)]
    readers = [threading.Thread(target=read, args=(found,)) for found in seen]
    for thread in writers + readers:
        thread.start()
    for thread in writers:
        thread.join()
    last = Feed(table)
    last.write(*last.reserve())
    with pytest.MonkeyPatch.context() as patch:
        now = clock.now() + GRACE_SECONDS + 1
        patch.setattr(clock, "now", lambda: now)
        done.set()
        for thread in readers:
            thread.join()
    expected = [*sorted(written), last.numbers.last()]
    for found in seen:
        assert found == expected
