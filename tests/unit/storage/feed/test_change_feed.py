"""The feed has each commit once: by sequence without gaps, by time in the order of the sequence."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.engines.aws import clients, provision
from app.engines.aws.dynamodb import DynamoTable
from app.engines.embedded.sqlite import SqliteTable
from app.errors import StorageUnavailable
from app.storage.feed import sequencer
from app.storage.feed.sequencer import MAX_AHEAD_SECONDS
from app.storage.table import clock, deadline, keys
from app.storage.table.ports import Change, Delete, PlainChange, Table
from tests.support.faults import Rule, fail, run
from tests.support.faulty_engine import Faults, FaultyTable
from tests.support.selection import ENGINES
from tests.support.waiting import wait_until
from tests.unit.storage.feed.processes import FeedProcess, change, number_of

NOW = 1_800_000_000.0


@contextmanager
def clock_at(seconds: float) -> Iterator[None]:
    """Let the clock of the process differ from the true time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "now", lambda: NOW + seconds)
        yield


class KeepingTable(SqliteTable):
    """A table that loses the deletions after a write, like DynamoDB when the process dies."""

    def write(self, *changes: Change, before: Sequence[PlainChange] = (), after: Sequence[Delete] = ()) -> None:
        super().write(*changes, before=before)


def at(seconds: float) -> str:
    return clock.timestamp(NOW + seconds)


def latest(process: FeedProcess) -> list[int | None]:
    found = [process.feed.latest(), process.feed.latest_by_time()]
    return [number_of(entry) if entry else None for entry in found]


def test_an_empty_feed(table: SqliteTable) -> None:
    reader = FeedProcess(table)
    assert (reader.read(), reader.read_by_time(), latest(reader)) == ([], [], [None, None])
    assert (reader.feed.sequence(), reader.feed.barrier(), reader.feed.lag()) == (0, 0, 0)
    assert reader.read_by_time(end=clock.timestamp(clock.now())) == []


def test_a_read_after_a_commit_has_its_entries(table: SqliteTable) -> None:
    writer, reader = FeedProcess(table, shards=3), FeedProcess(table, shards=3)
    writer.create(1)
    assert writer.feed.lag() == 1
    assert (reader.read(), reader.read_by_time(), latest(reader)) == ([1], [1], [1, 1])
    assert writer.feed.lag() == 0
    writer.commit(*map(change, range(2, 300)))
    assert reader.read(after=1) == list(range(2, 300))
    assert latest(reader) == [299, 299]
    (first,) = reader.feed.by_sequence(0, 1)
    assert (first.partition, first.partition_name, first.study, first.action, first.watermark) == (
        2,
        "clinic",
        "1.2",
        "Create",
        1,
    )


@pytest.mark.parametrize("limit", [7, 100, 250])
def test_pages_by_sequence_and_by_time_together_are_the_whole(table: SqliteTable, limit: int) -> None:
    writer, reader = FeedProcess(table), FeedProcess(table)
    number = 0
    for size in (1, 98, 3, 250, 1, 1, 900):
        commits = [change(number + i + 1) for i in range(size)]
        with clock_at(number * 10):
            for first in range(0, size, 50):
                writer.commit(*commits[first : first + 50])
            reader.feed.sequence()
        number += size
    whole = list(range(1, number + 1))
    with clock_at(1e6):
        for read in (reader.read, lambda after, limit: reader.read_by_time(offset=after, limit=limit)):
            pages = [read(after, limit) for after in range(0, number + limit, limit)]
            assert [each for page in pages for each in page] == whole


def test_every_window_has_the_entries_with_its_times(table: SqliteTable) -> None:
    """Some hours have no entry, some windows begin or end at the time of entries."""
    process = FeedProcess(table)
    times: dict[int, float] = {}
    for number in range(1, 130):
        seconds = float(number // 3 * 1700 if number < 60 else 200_000 + number // 40)
        times[number] = seconds
        with clock_at(seconds):
            process.create(number)
            if number % 5 == 0:
                process.feed.sequence()
    moments = sorted({-5000.0, *times.values(), *(each + 1 for each in times.values()), 1e6})
    with clock_at(2e6):
        process.feed.sequence()
        for start in moments[::3]:
            for end in moments[::4]:
                expected = [number for number, time in times.items() if start <= time < end]
                assert process.read_by_time(at(start), at(end)) == expected
            assert (
                process.read_by_time(at(start), offset=3, limit=4)
                == [number for number, time in times.items() if start <= time][3:7]
            )


def test_a_window_in_an_hour_with_many_entries_is_found_in_few_reads(table: SqliteTable) -> None:
    process = FeedProcess(table)
    for second in range(40):
        with clock_at(second):
            process.commit(*(change(50 * second + i + 1) for i in range(50)))
            process.feed.sequence()
    faults = Faults()
    reader = FeedProcess(FaultyTable(table, faults))
    with clock_at(10_000):
        assert reader.read_by_time(at(25), at(26), offset=49, limit=1) == [1300]
        reader.read_by_time(at(25), at(26), offset=49, limit=1)
    assert faults.calls["table.query"] < 40
    assert faults.items_queried < 50


def test_times_never_decrease_whatever_the_clocks_say(table: SqliteTable) -> None:
    fast, slow, reader = FeedProcess(table), FeedProcess(table), FeedProcess(table)
    with clock_at(30):
        fast.create(1)
    with clock_at(0):
        reader.feed.sequence()
    with clock_at(-3600):
        slow.create(2)
    with clock_at(1):
        assert reader.read() == [1, 2]
        assert [entry.timestamp for entry in reader.feed.by_sequence(0, 9)] == [at(30), at(30)]


def test_a_clock_that_is_far_ahead_does_not_move_the_feed_into_the_future(table: SqliteTable) -> None:
    wrong, reader = FeedProcess(table), FeedProcess(table)
    with clock_at(1e7):
        wrong.create(1)
    with clock_at(0):
        (entry,) = reader.feed.by_sequence(0, 1)
    assert entry.timestamp == at(MAX_AHEAD_SECONDS)


def test_a_window_that_has_ended_gains_nothing(table: SqliteTable) -> None:
    slow, reader = FeedProcess(table), FeedProcess(table)
    with clock_at(0):
        slow.create(1)
    with clock_at(10):
        assert reader.read_by_time(at(-1000), at(4)) == [1]
    with clock_at(-60):
        slow.create(2)
    with clock_at(20):
        assert reader.read_by_time(at(-1000), at(4)) == [1]
        assert reader.read_by_time(at(4), at(15)) == [2]


def test_a_window_that_has_not_ended_changes_no_time(table: SqliteTable) -> None:
    process = FeedProcess(table)
    with clock_at(0):
        assert process.read_by_time(at(-10), at(100)) == []
        process.create(1)
        assert process.read_by_time(at(-10), at(100)) == [1]


def test_the_end_of_an_earlier_window_does_not_replace_that_of_a_later_one(table: SqliteTable) -> None:
    first, second, slow = FeedProcess(table), FeedProcess(table), FeedProcess(table)
    with clock_at(100):
        assert first.read_by_time(end=at(90)) == []
        assert second.read_by_time(end=at(50)) == []
    with clock_at(0):
        slow.create(1)
    with clock_at(100):
        assert second.read_by_time(end=at(90)) == []
        assert second.read_by_time(start=at(90), end=at(91)) == [1]


def test_two_readers_that_end_windows_at_the_same_time(table: SqliteTable) -> None:
    faults = Faults()
    first, second, slow = FeedProcess(FaultyTable(table, faults)), FeedProcess(table), FeedProcess(table)
    with clock_at(100):
        faults.add(Rule(run(lambda: second.read_by_time(end=at(80))), operation="table.write", key="feed/head|*"))
        assert first.read_by_time(end=at(90)) == []
    with clock_at(0):
        slow.create(1)
    with clock_at(100):
        assert first.read_by_time(end=at(90)) == []
        assert first.read_by_time(start=at(90)) == [1]


def test_a_reader_that_finds_nothing_new_writes_nothing(table: SqliteTable) -> None:
    faults = Faults()
    process = FeedProcess(FaultyTable(table, faults))
    process.create(1, 2)
    process.read()
    faults.calls.clear()
    assert process.read() == [1, 2]
    assert {"table.write", "table.write_each"}.isdisjoint(faults.calls)


def test_a_failed_removal_of_records_repeats_no_entry(table: SqliteTable, tmp_path: Path) -> None:
    """The records stay in the log after their entries are in the feed."""
    process, other = FeedProcess(KeepingTable(tmp_path / "index.sqlite")), FeedProcess(table)
    process.create(1, 2)
    assert process.read() == [1, 2]
    assert len(process.log.waiting(100)[0].items) == 2, "the records are left behind"
    assert process.feed.lag() == 0
    assert process.read() == [1, 2]
    process.create(3)
    assert process.read() == [1, 2, 3]
    assert other.read() == [1, 2, 3]


def test_statistics_are_added_once(table: SqliteTable) -> None:
    process = FeedProcess(table)
    for first in range(0, 3000, 60):
        process.commit(*(change(first + i) for i in range(60)))
    process.feed.sequence()
    (item,) = table.query(keys.statistics_items(2))
    assert item.fields == {"studies": 0, "instances": 3000, "bytes": 3000}


def test_a_backlog_is_moved_in_parts(table: SqliteTable, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_MOST_READ", "_MOST_ENTRIES", "_MOST_RECORDS"):
        monkeypatch.setattr(sequencer, name, 10)
    writer = FeedProcess(table, shards=2)
    for number in range(1, 100):
        with clock_at(number):
            writer.create(number)
    with clock_at(1000):
        assert FeedProcess(table, shards=2).read() == list(range(1, 100))


def test_a_request_moves_a_part_of_a_backlog_if_its_time_ends(
    table: SqliteTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequencer, "_MOST_RECORDS", 1)
    process = FeedProcess(table)
    process.create(1, 2, 3)
    with deadline.within(deadline.Deadline(0)), pytest.raises(deadline.DeadlinePassed):
        process.feed.sequence()
    with deadline.within(deadline.Deadline(0)), pytest.raises(deadline.DeadlinePassed):
        process.feed.sequence()
    assert process.feed.lag() == 1
    assert [each.sequence for each in process.feed.by_sequence(0, 10)] == [1, 2, 3]


def test_many_partitions_and_hours_fit_in_the_writes(table: SqliteTable) -> None:
    writer = FeedProcess(table)
    for number in range(1, 261):
        with clock_at(number * 3600):
            writer.create_in(chr(64 + number))
    with clock_at(260 * 3600):
        assert writer.read() == list(range(1, 261))


class CountedLock:
    """A lock that counts who wants it."""

    def __init__(self) -> None:
        self.asked = 0
        self._counting = threading.Lock()
        self._lock = threading.Lock()

    def acquire(self, timeout: float) -> bool:
        with self._counting:
            self.asked += 1
        return self._lock.acquire(timeout=timeout)

    def release(self) -> None:
        self._lock.release()


def test_threads_share_one_run(table: SqliteTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequencer, "_PATIENCE_SECONDS", 60)
    faults = Faults()
    process = FeedProcess(FaultyTable(table, faults))
    process.feed._sequencer._lock = lock = CountedLock()  # type: ignore[assignment]  # it has what is needed of a lock
    process.create(1)
    entered, go = threading.Event(), threading.Event()

    def wait() -> None:
        entered.set()
        go.wait(60)

    faults.add(Rule(run(wait), operation="table.get"))
    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.append(process.feed.sequence())) for _ in range(8)]
    threads[0].start()
    entered.wait(60)
    process.create(2)
    for thread in threads[1:]:
        thread.start()
    wait_until(lambda: lock.asked == len(threads))  # one that comes after the second run needs a third one
    go.set()
    for thread in threads:
        thread.join()
    assert sorted(results)[1:] == [2] * 7, "they came after the second commit"
    assert faults.calls["table.get"] <= 4, "two runs, each of which reads the head twice"


def test_a_failure_of_one_run_is_not_shared(table: SqliteTable) -> None:
    faults = Faults()
    process = FeedProcess(FaultyTable(table, faults))
    process.create(1)
    faults.add(Rule(fail(), operation="table.write"))
    with pytest.raises(StorageUnavailable):
        process.feed.sequence()
    assert process.read() == [1]


@pytest.mark.parametrize("engine", ENGINES)
def test_readers_beside_writers_see_every_entry_once_and_in_order(
    engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Writers commit while readers read page after page by sequence and by time."""
    if engine == "moto":
        request.getfixturevalue("aws")
        provision.create_table(clients.dynamodb(), "archive")
        table: Table = DynamoTable(clients.dynamodb(), "archive")
    else:
        table = SqliteTable(tmp_path / "index.sqlite")
    rounds = 40 if engine == "embedded" else 8
    done = threading.Event()

    def write(which: int) -> None:
        writer = FeedProcess(table, shards=4)
        for turn in range(rounds):
            writer.commit(*(change(1000 * which + 3 * turn + i) for i in range(3)))

    def read(found: list[int], page: int) -> None:
        reader = FeedProcess(table, shards=4)
        while True:
            ended = done.is_set()
            while new := reader.read(len(found), page):
                found.extend(new)
            if ended:
                return
            done.wait(0.01)

    def read_by_time(found: list[int]) -> None:
        reader = FeedProcess(table, shards=4)
        while True:
            ended = done.is_set()
            found.extend(reader.read_by_time(offset=len(found), limit=11))
            if ended and len(found) == 4 * rounds * 3:
                return
            done.wait(0.01)

    seen: list[list[int]] = [[], [], []]
    writers = [threading.Thread(target=write, args=(which,)) for which in range(1, 5)]
    readers = [threading.Thread(target=read, args=(found, 7)) for found in seen[:2]]
    readers.append(threading.Thread(target=read_by_time, args=(seen[2],)))
    for thread in writers + readers:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in readers:
        thread.join(60)
    assert seen[0] == seen[1] == seen[2]
    assert sorted(seen[0]) == sorted(1000 * which + i for which in range(1, 5) for i in range(3 * rounds))
    for which in range(1, 5):
        mine = [each for each in seen[0] if each // 1000 == which]
        assert mine == sorted(mine), "the commits of one writer are in its order"
