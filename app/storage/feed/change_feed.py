"""The change feed: a log of created, updated and deleted instances, over all partitions (conformance §10.5).

Entries are written in the same transaction as the change that they record. A writer reserves its numbers just before,
so transactions may commit in another order than their numbers, and a writer that dies leaves a gap.

**The feed skips nobody.** Readers stop before the first gap that a writer may still fill. A reader that has waited long
enough closes the gap: it writes a tombstone under the number, on the condition that nothing is there. The writer's
entry expects the same, so a writer that comes too late conflicts and takes a new number. Clocks decide when a gap is
closed, but never whether an entry is lost.

**A window of time that has ended stays as it is**, although the clocks of the processes disagree (`entry_times`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Final

from app.errors import Conflict
from app.storage.feed.entries import FeedEntry, entry_of, is_tombstone, items, new_entry, tombstone
from app.storage.feed.entry_times import EntryTimes
from app.storage.records.rows import InstanceRow
from app.storage.table import clock, keys
from app.storage.table.counters import SequenceCounter
from app.storage.table.partitions import Partition
from app.storage.table.ports import Absent, Change, Item, Put, Range, Table

GRACE_SECONDS: Final = 5.0
"""How long a gap may wait for its writer before a reader closes it."""

_POLLS: Final = 100
"""How often, in those seconds, a reader of a window that has ended looks whether its last gaps are filled."""


class FeedLog:
    """Writes entries and reads them in order. One object serves all threads of a process."""

    def __init__(self, table: Table, sequence: SequenceCounter) -> None:
        self._table = table
        self._sequence = sequence
        self._hours: set[str] = set()
        self._complete = 0  # under each number up to this lies an entry or a tombstone, and that never changes
        self._stored_complete = -1  # what the table says of this; -1 before it was read
        self._last_look = (0.0, 0)  # when this process looked at the counter, and the highest number reserved by then
        self._overdue = 0  # a number that was reserved at least GRACE_SECONDS ago, and so were all before it
        self._final_hour = ""  # no entry can appear in an hour before it any more
        self._times = EntryTimes(table)

    # --- writing ---

    def time_of_new_entries(self) -> str:
        """Return the time for entries. Call it after their numbers are reserved. One read."""
        return self._times.of_new_entries()

    def changes(
        self, partition: Partition, rows: Iterable[tuple[int, InstanceRow]], action: str, timestamp: str
    ) -> list[Change]:
        """Return the changes that record one action for each (sequence, row). Write them with the action itself.

        `timestamp` is what `time_of_new_entries` returned after the numbers were reserved.
        """
        self._register_hour(keys.hour_of(timestamp))
        return [
            Put(item, Absent())
            for sequence, row in rows
            for item in items(new_entry(partition, row, sequence=sequence, action=action, timestamp=timestamp))
        ]

    def close_gaps(self, numbers: Iterable[int]) -> bool:
        """Write a tombstone under each number that no writer will use. A number that has an entry keeps it.

        Return False if another write was under way under one of them, so that it may still become an entry.
        """
        closed = True
        for number in numbers:
            try:
                self._table.write(Put(tombstone(number), Absent()))
            except Conflict as conflict:
                closed = closed and conflict.key is not None
        return closed

    def _register_hour(self, hour: str) -> None:
        """Record that an hour may have entries, before its first entry is written.

        A kill -9 after it leaves an hour without entries, which readers pass over.
        """
        if hour not in self._hours:
            self._table.write(Put(Item(keys.feed_hours(hour), {})))
            self._hours = {*sorted(self._hours)[-48:], hour}

    # --- which part is final ---

    def complete_up_to(self) -> int:
        """Return the highest number up to which no entry can appear any more. Closes gaps that have waited long enough.

        The table holds a recent value of it, so a process that has just started need not read the whole feed.
        """
        last = self._sequence.last()
        if self._stored_complete < 0:
            self._complete = self._stored_complete = self._read_complete()
        self._look_at_counter(last)
        for number in self._missing(self._complete + 1, last):
            if not self._close_overdue(number, last):
                last = number - 1
                break
        self._complete = max(self._complete, last)
        if self._complete >= self._stored_complete + keys.FEED_BUCKET:
            self._stored_complete = self._complete
            self._table.write(Put(Item(keys.FEED_COMPLETE, {"value": self._stored_complete})))
        return last

    def advance_complete(self) -> bool:
        """Do what `complete_up_to` does, so that a reader who comes seldom finds few new numbers.

        A step of the background work. Returns False: there is never more to do at once.
        """
        self.complete_up_to()
        return False

    def lag(self) -> int:
        """Return how many numbers are reserved and not complete yet. It closes no gap and writes nothing."""
        last = self._sequence.last()
        if self._stored_complete < 0:
            self._complete = self._stored_complete = self._read_complete()
        missing = next(self._missing(self._complete + 1, last), last + 1)
        self._complete = max(self._complete, missing - 1)
        return last + 1 - missing

    def _read_complete(self) -> int:
        item = self._table.get(keys.FEED_COMPLETE)
        return int(item.fields["value"]) if item else 0

    def _missing(self, first: int, last: int) -> Iterator[int]:
        """Yield the numbers from `first` to `last` that have neither an entry nor a tombstone."""
        expected = first
        for number, _ in self.numbers(first, last):
            yield from range(expected, number)
            expected = number + 1
        yield from range(expected, last + 1)

    def _look_at_counter(self, last: int) -> None:
        now, (then, seen) = clock.now(), self._last_look
        if now - then >= GRACE_SECONDS:
            self._overdue, self._last_look = seen, (now, last)

    def _close_overdue(self, number: int, last: int) -> bool:
        """Close a gap if its number was reserved long enough ago; return whether it is closed.

        Either this process saw the number reserved, or the next entry is old enough.
        """
        if number > self._overdue:
            following = next((entry for _, entry in self.numbers(number + 1, last) if entry), None)
            if following is None or clock.now() - clock.seconds(following.timestamp) < GRACE_SECONDS:
                return False
        return self.close_gaps([number])

    # --- reading by sequence (v1) ---

    def final_entries(self, first: int, last: int) -> list[FeedEntry]:
        """Return the entries from `first` to `last`, in order, after closing every gap between them, however new.

        No other entry can appear there: a writer that was about to write one takes a new number.
        """
        while missing := list(self._missing(first, last)):
            self.close_gaps(missing)
        return [entry for _, entry in self.numbers(first, last) if entry]

    def by_sequence(self, after: int, limit: int) -> list[FeedEntry]:
        """Return the entries with numbers in (after, after + limit], in order.

        They are fewer than `limit` where numbers have tombstones, and at the end of the complete part.
        """
        last = min(after + limit, self.complete_up_to())
        return [entry for _, entry in self.numbers(after + 1, last) if entry]

    def latest(self) -> FeedEntry | None:
        """Return the newest entry of the complete part, None if it has none."""
        number = self.complete_up_to()
        while number > 0:
            low = max(number - 100, 0)
            found = [entry for _, entry in self.numbers(low + 1, number) if entry]
            if found:
                return found[-1]
            number = low
        return None

    def numbers(self, first: int, last: int) -> Iterator[tuple[int, FeedEntry | None]]:
        """Yield (number, entry) for each number from `first` to `last` that is in the table; None for a tombstone."""
        while first <= last:
            end = min(last, (first // keys.FEED_BUCKET + 1) * keys.FEED_BUCKET - 1)
            for item in self._table.query(keys.feed_bucket(first), Range(keys.oldest(first), keys.oldest(end))):
                yield int(item.key.sk), None if is_tombstone(item) else entry_of(item)
            first = end + 1

    # --- reading by time (v2) ---

    def by_time(self, *, start: str, end: str, offset: int, limit: int) -> list[FeedEntry]:
        """Return entries with `start` <= time < `end` (timestamps, empty for open), by time, then by sequence.

        The first `offset` entries are skipped: whole hours are counted and not read. No entry appears later in a window
        that ended at least `GRACE_SECONDS` ago.
        """
        complete = self.complete_before(end)
        found: list[FeedEntry] = []
        between = Range(keys.hour_of(start), keys.hour_of(end))
        for item in self._table.query(keys.FEED_HOURS, between):
            hour = keys.feed_hour(item.key.sk)
            window = Range(start, end)  # keys are `{time}/{number}`, so all entries of the time `end` sort after `end`
            if offset:
                inside = self._table.count(hour, window)
                if inside <= offset:
                    offset -= inside
                    continue
            for each in self._table.query(hour, window):
                entry = entry_of(each)
                if entry.sequence > complete:
                    continue
                if offset:
                    offset -= 1
                    continue
                found.append(entry)
                if len(found) == limit:
                    return found
        return found

    def complete_before(self, end: str) -> int:
        """Return `complete_up_to`, for a window that ends at `end`.

        If the window has ended, its writers may still be on their way with earlier times. They get `GRACE_SECONDS`.
        Then their gaps are closed, so they must begin again with a later time. Writers that reserve their numbers from
        now on take a later time, whatever their clocks say.
        """
        has_ended = end and clock.seconds(end) <= clock.now() - GRACE_SECONDS
        if has_ended:
            self._times.end_window(end)
        last = self._sequence.last()
        for _ in range(_POLLS):
            complete = self.complete_up_to()
            if complete >= last or not has_ended:
                return complete
            time.sleep(GRACE_SECONDS / _POLLS)
        self.final_entries(complete + 1, last)
        return self.complete_up_to()

    def final_hour(self) -> str:
        """Return an hour. No entry can appear in an earlier hour any more.

        The first call in an hour waits for writers, as a reader of a window that has ended does.
        """
        hour = keys.hour_of(clock.timestamp(clock.now() - GRACE_SECONDS))
        if self._final_hour < hour:
            self.complete_before(keys.start_of_hour(hour))
            self._final_hour = hour
        return self._final_hour

    def latest_by_time(self) -> FeedEntry | None:
        """Return the entry with the latest time in the complete part, None if it has none."""
        complete = self.complete_up_to()
        for hour in self._table.query(keys.FEED_HOURS, reverse=True):
            for item in self._table.query(keys.feed_hour(hour.key.sk), reverse=True):
                entry = entry_of(item)
                if entry.sequence <= complete:
                    return entry
        return None
