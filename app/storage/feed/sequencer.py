"""Gives committed records their numbers and times, and moves them into the change feed (conformance §10.5).

Any process may do this at any time. One write moves some records: it replaces the head, which conflicts if another
process was faster, and has the pages of the feed, the hours and the statistics. So numbers have no gaps, times never
decrease, and no page is written twice.

A kill -9 before that write changes nothing. A kill -9 after it leaves records in the log whose entries are in the feed
already. The head names them, so nobody moves them again, and the next call removes them.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from app.storage.feed.commit_order import in_commit_order, ready_records
from app.storage.feed.entries import PAGE, FeedEntry, pages
from app.storage.feed.head import FeedHead, read_head
from app.storage.feed.log import CommitLog, CommittedRecord, ShardPart, committed_record
from app.storage.table import clock, deadline, keys
from app.storage.table.ports import MAX_CHANGES, Add, Change, Delete, Item, Key, Put, Table
from app.storage.table.retry import retry

MAX_AHEAD_SECONDS: Final = 60.0
"""A time that is so far ahead of this clock counts as wrong. It would move the times of all later entries."""

_PATIENCE_SECONDS: Final = 0.1
"""How long a thread waits for the result of another one."""

_MOST_WAITS: Final = 3
"""After so many readings records wait no more for earlier times. A writer with a slow clock always has such times."""

_CLOCKS_DIFFER_SECONDS: Final = 10.0
"""By so much the clocks of two writers may differ. Otherwise a long log can move a Delete before its Create."""

_MOST_READ: Final = 1000
"""Records in memory at once: about a kilobyte each, and 40 kilobytes if each has a hundred entries."""
_MOST_ENTRIES: Final = 2000
"""Entries of one write, unless a single record has more."""
_MOST_RECORDS: Final = 1000
"""Records of one write. The head names them, in about 40 bytes each."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """What one reading of the log found.

    `moved` are records whose entries are in the feed already, and that may be in the log. `until` is a time if the log
    has more records than were read: those that were committed by then were read all. It is empty if all records were
    read.
    """

    records: dict[Key, CommittedRecord]
    moved: list[Key]
    until: str


class Sequencer:
    """Moves committed records into the feed. One object serves all threads of a process."""

    def __init__(self, table: Table, log: CommitLog) -> None:
        self._table = table
        self._log = log
        self._lock = threading.Lock()
        self._begun = 0  # calls of `_run`
        self._result = (0, FeedHead())  # the last call that ended, and what it returned

    def run(self) -> FeedHead:
        """Move every record that is committed by now. Return the head after that.

        Threads that wait for another one share the next result. A thread that waits too long works beside it. Raises
        `StorageUnavailable` if the data store fails or other processes are always faster, `DeadlinePassed` if the time
        of the request ends before the log does.
        """
        begun = self._begun
        if not self._lock.acquire(timeout=_PATIENCE_SECONDS):
            return self._run()
        try:
            number, head = self._result
            if number > begun:
                return head
            self._begun += 1
            head = self._run()
            self._result = (self._begun, head)
            return head
        finally:
            self._lock.release()

    def _run(self) -> FeedHead:
        wanted: set[Key] | None = None  # the records that must be moved; None while the log was not read to its end
        limit = max(1, _MOST_READ // self._log.shards)

        def attempt() -> FeedHead:
            nonlocal wanted, limit
            head = read_head(self._table)
            first = self._read(head, limit, {})
            waits = 0
            while True:
                if not first.until:
                    wanted = set(first.records) if wanted is None else wanted & first.records.keys()
                if wanted is not None and not wanted:
                    if first.moved:
                        self._table.write_each(map(Delete, first.moved), durable=False)
                    return read_head(self._table)  # another process may have moved what this reading did not find
                second = self._read(head, limit, first.records)
                until = min(filter(None, (first.until, second.until)), default="")
                early = _until(until, first.records)
                ready = ready_records(early, second.records.values(), in_time_order=waits < _MOST_WAITS)
                taken = in_commit_order(ready)
                waits = 0 if taken else waits + 1
                if taken:
                    count, head = self._append(head, taken, second.moved)
                    wanted = wanted and wanted - {each.key for each in taken[:count]}
                    for each in taken[:count]:
                        second.records.pop(each.key, None)
                    if deadline.has_passed():
                        raise deadline.DeadlinePassed  # what was moved stays moved, so a later call ends sooner
                    first = _Reading(second.records, [], second.until)
                else:
                    limit *= 2 if until else 1
                    first = second

        return retry(attempt)

    def _read(self, head: FeedHead, limit: int, known: Mapping[Key, CommittedRecord]) -> _Reading:
        """Read the log. `known` are records of an earlier reading. A committed record does not change."""
        parts = self._log.waiting(limit)
        pending = set(head.pending)
        items = [item for part in parts for item in part.items]
        until = min((_last_time(part) for part in parts if part.more), default="")
        return _Reading(
            {item.key: known.get(item.key) or committed_record(item) for item in items if item.key not in pending},
            [*(item.key for item in items if item.key in pending), *_after(parts, head.pending)],
            until,
        )

    def _append(self, head: FeedHead, records: Sequence[CommittedRecord], moved: Sequence[Key]) -> tuple[int, FeedHead]:
        """Write the first records that fit in one write. Return how many they are, and the new head.

        `moved` are the pending records of the old head that may be in the log still. They are removed before this
        write, because the new head does not name them. Raises `Conflict` if another process has written the head.
        """
        addition = Addition(head)
        count = 0
        while count < len(records) and count < _MOST_RECORDS and addition.add(records[count]):
            count += 1
        taken = tuple(record.key for record in records[:count])
        before = map(Delete, moved)
        self._table.write(*addition.changes(taken), before=list(before), after=list(map(Delete, taken)))
        return count, replace(addition.head, revision=head.revision + 1, pending=taken)


class Addition:
    """Collects the changes of one write to the feed. `head` is the head after it."""

    def __init__(self, before: FeedHead) -> None:
        self.head = before
        self._before = before
        self._latest = clock.timestamp(clock.now() + MAX_AHEAD_SECONDS)
        self._entries: list[FeedEntry] = []
        self._hours: dict[str, int] = {}
        self._contents: dict[int, dict[str, int]] = {}

    def add(self, record: CommittedRecord) -> bool:
        """Add a record. Return False if it does not fit; the first one is always added."""
        if self.head is not self._before and not self._fits(record):
            return False
        time = max(self.head.time, min(record.time, self._latest))
        number, hour = self.head.number, self.head.hour
        for entry in record.entries:
            number += 1
            self._entries.append(
                FeedEntry(
                    sequence=number,
                    partition=record.partition,
                    partition_name=record.partition_name,
                    study=entry.study,
                    series=entry.series,
                    instance=entry.instance,
                    action=entry.action,
                    timestamp=time,
                    watermark=entry.watermark,
                )
            )
            if hour != keys.hour_of(time):
                hour = keys.hour_of(time)
                self._hours[hour] = number
        if record.counted:
            sums = self._contents.setdefault(record.partition, defaultdict(int))
            for name, difference in record.contents._asdict().items():
                sums[name] += difference
        self.head = replace(self.head, number=number, time=time, hour=hour)
        return True

    def _fits(self, record: CommittedRecord) -> bool:
        if len(self._entries) + len(record.entries) > _MOST_ENTRIES:
            return False
        first, last = self._before.number + 1, self.head.number + len(record.entries)
        page_count = last // PAGE - first // PAGE + 1
        head, new_hour, new_partition = 1, 1, 1
        others = len(self._hours) + len(self._contents)
        return head + page_count + others + new_hour + new_partition <= MAX_CHANGES

    def changes(self, pending: tuple[Key, ...]) -> list[Change]:
        """Return the changes. `pending` are the records whose entries they have."""
        hours = [Put(Item(keys.feed_hours(hour), {"first": first})) for hour, first in self._hours.items()]
        sums = [Add(keys.statistics(partition, 0), dict(each)) for partition, each in self._contents.items()]
        head = replace(self.head, pending=pending)
        return [head.put(self._before), *map(Put, pages(self._entries)), *hours, *sums]


def _last_time(part: ShardPart) -> str:
    """Return a time. The records of the shard that were committed by then are in this part of it."""
    return clock.timestamp(keys.log_started(part.items[-1].key.sk) / 1000)


def _after(parts: Iterable[ShardPart], pending: Iterable[Key]) -> Iterator[Key]:
    """Yield the pending records that are after what was read, if they are still there.

    Other commits began before such a record and ended after it.
    """
    last = {part.items[-1].key.pk: part.items[-1].key.sk for part in parts if part.more}
    return (key for key in pending if key.pk in last and key.sk > last[key.pk])


def _until(time: str, records: Mapping[Key, CommittedRecord]) -> Mapping[Key, CommittedRecord]:
    """Return the records whose predecessors were read, if the log was read to a time only. An empty time is its end.

    The clocks of the writers may disagree by `_CLOCKS_DIFFER_SECONDS`.
    """
    if not time:
        return records
    latest = clock.timestamp(clock.seconds(time) - _CLOCKS_DIFFER_SECONDS)
    return {key: record for key, record in records.items() if record.time <= latest}
