"""The change feed: an append-only log of what was created, updated and deleted, over all partitions (conformance §10.5).

Entries are written in the same all-or-nothing write as the change. Numbers are reserved just before, so writers may
commit out of order and dead writers leave gaps. **The feed skips nobody:** readers stop before the first gap that may
still be filled. A gap is closed for good by *sealing* it: a reader writes a tombstone there on the condition that
nothing is there, and the writer, whose entry expects the same, takes a new number. So no clock decides what is lost.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

from app.errors import Conflict
from app.storage.records.rows import InstanceRow
from app.storage.table import clock, keys
from app.storage.table.codec import Record, decode, encode
from app.storage.table.counters import SequenceCounter
from app.storage.table.partitions import Partition
from app.storage.table.ports import Absent, Change, Item, Put, Range, Table

FEED_ITEMS: Final = 2
"""Items that an entry consists of: by sequence and by time."""

GRACE_SECONDS: Final = 5.0
"""How long a gap may wait for its writer before a reader seals it."""

_LOOKS: Final = 100
"""How often, in those seconds, a reader looks for the writers into a window of time that is over."""


class FeedEntry(Record, frozen=True, kw_only=True):
    """One change: `action` is Create, Update or Delete; `watermark` that of the version it is about."""

    sequence: int
    partition: int
    partition_name: str
    study: str
    series: str
    instance: str
    action: str
    timestamp: str
    watermark: int


class FeedLog:
    """Writes entries and reads them in order."""

    def __init__(self, table: Table, sequence: SequenceCounter) -> None:
        self._table = table
        self._sequence = sequence
        self._hours: set[str] = set()
        self._settled = 0  # every number up to this is an entry or sealed, for ever
        self._noted = -1  # what the table says of it, once it was read
        self._seen = (0.0, 0)  # when this process looked, and the highest number reserved by then
        self._old = 0  # the highest number that was reserved a while ago, as far as this process knows

    # --- writing ---

    def changes(self, partition: Partition, rows: Iterable[tuple[int, InstanceRow]], action: str) -> list[Change]:
        """Return the changes that record one action on each (sequence, instance), to be written with the change."""
        timestamp = clock.timestamp(clock.now())
        self._register_hour(keys.hour_of(timestamp))
        return [
            Put(item, Absent())
            for sequence, row in rows
            for item in _items(_entry(partition, row, sequence, action, timestamp))
        ]

    def seal(self, numbers: Iterable[int]) -> bool:
        """Close numbers that no writer will use; one that is an entry already stays that.

        False if another write was under way under one of them, so that it may still become an entry.
        """
        closed = True
        for number in numbers:
            try:
                self._table.write(Put(Item(keys.feed(number), {"sealed": True}), Absent()))
            except Conflict as conflict:
                closed = closed and conflict.key is not None
        return closed

    def _register_hour(self, hour: str) -> None:
        """Note that there may be entries in this hour, before the first one is written. Harmless if none follows."""
        if hour not in self._hours:
            self._table.write(Put(Item(keys.feed_hours(hour), {})))
            self._hours = {*sorted(self._hours)[-48:], hour}

    # --- reading by sequence (v1) ---

    def settled(self) -> int:
        """Return the highest number up to which nothing can still appear. Seals what has waited long enough.

        How far that is is noted in the table now and then, so that a process that starts need not look at all.
        """
        tip = self._sequence.last()
        if self._noted < 0:
            self._settled = self._noted = self._read_note()
        self._remember(tip)
        for number in self._missing(self._settled + 1, tip):
            if not self._given_up(number, tip):
                tip = number - 1
                break
        self._settled = max(self._settled, tip)
        if self._settled >= self._noted + keys.FEED_BUCKET:
            self._noted = self._settled
            self._table.write(Put(Item(keys.SETTLED, {"value": self._noted})))
        return tip

    def keep_up(self) -> bool:
        """Settle what can be, so that a reader who comes seldom finds little to look at; there is never more to do."""
        self.settled()
        return False

    def _read_note(self) -> int:
        item = self._table.get(keys.SETTLED)
        return int(item.fields["value"]) if item else 0

    def _missing(self, first: int, last: int) -> Iterator[int]:
        """Yield the numbers from `first` to `last` under which nothing lies."""
        expected = first
        for number, _ in self._numbers(first, last):
            yield from range(expected, number)
            expected = number + 1
        yield from range(expected, last + 1)

    def _remember(self, tip: int) -> None:
        now, (then, seen) = clock.now(), self._seen
        if now - then >= GRACE_SECONDS:
            self._old, self._seen = seen, (now, tip)

    def _given_up(self, number: int, tip: int) -> bool:
        """Seal a number that was reserved long enough ago: this process saw that, or the next entry is so old."""
        if number > self._old:
            following = next((entry for _, entry in self._numbers(number + 1, tip) if entry), None)
            if following is None or clock.now() - clock.seconds(following.timestamp) < GRACE_SECONDS:
                return False
        return self.seal([number])

    def closed(self, first: int, last: int) -> list[FeedEntry]:
        """Return the entries from `first` to `last`, in order, after sealing what is missing: no other will appear.

        Who was about to write one of them takes a new number.
        """
        while missing := list(self._missing(first, last)):
            self.seal(missing)
        return [entry for _, entry in self._numbers(first, last) if entry]

    def by_sequence(self, after: int, limit: int) -> list[FeedEntry]:
        """Return the entries with numbers in (after, after + limit], in order; fewer where numbers were never used."""
        last = min(after + limit, self.settled())
        return [entry for _, entry in self._numbers(after + 1, last) if entry]

    def latest(self) -> FeedEntry | None:
        """Return the newest entry before which nothing is missing."""
        number = self.settled()
        while number > 0:
            low = max(number - 100, 0)
            found = [entry for _, entry in self._numbers(low + 1, number) if entry]
            if found:
                return found[-1]
            number = low
        return None

    def _numbers(self, first: int, last: int) -> Iterator[tuple[int, FeedEntry | None]]:
        """Yield (number, entry) of what is there from `first` to `last`; None for a sealed number."""
        while first <= last:
            end = min(last, (first // keys.FEED_BUCKET + 1) * keys.FEED_BUCKET - 1)
            for item in self._table.query(keys.feed_bucket(first), Range(keys.oldest(first), keys.oldest(end))):
                yield int(item.key.sk), None if "sealed" in item.fields else _entry_of(item.fields)
            first = end + 1

    # --- reading by time (v2) ---

    def by_time(self, start: str, end: str, offset: int, limit: int) -> list[FeedEntry]:
        """Return entries with `start` <= time < `end` (timestamps, empty for open), by time then sequence.

        `offset` entries are skipped: whole hours are counted, not read. Of a window that ended a while ago, everything
        is there: no entry will appear in it afterwards.
        """
        settled = self._settled_before(end)
        found: list[FeedEntry] = []
        between = Range(keys.hour_of(start), keys.hour_of(end))
        for item in self._table.query(keys.FEED_HOURS, between):
            hour = keys.feed_hour(item.key.sk)
            window = Range(start, end)  # keys are `{time}/{number}`: all of time `end` sort after a bare `end`
            if offset:
                inside = self._table.count(hour, window)
                if inside <= offset:
                    offset -= inside
                    continue
            for each in self._table.query(hour, window):
                entry = _entry_of(each.fields)
                if entry.sequence > settled:
                    continue
                if offset:
                    offset -= 1
                    continue
                found.append(entry)
                if len(found) == limit:
                    return found
        return found

    def _settled_before(self, end: str) -> int:
        """Return what `settled` does. Should the time be over, those who may still write an entry with an earlier one
        are waited for; who takes too long has to begin anew, with a later time."""
        tip = self._sequence.last()
        over = end and clock.seconds(end) <= clock.now() - GRACE_SECONDS
        for _ in range(_LOOKS):
            settled = self.settled()
            if settled >= tip or not over:
                return settled
            time.sleep(GRACE_SECONDS / _LOOKS)
        self.closed(settled + 1, tip)
        return self.settled()

    def latest_by_time(self) -> FeedEntry | None:
        """Return the entry with the latest time among those before which nothing is missing."""
        settled = self.settled()
        for hour in self._table.query(keys.FEED_HOURS, reverse=True):
            for item in self._table.query(keys.feed_hour(hour.key.sk), reverse=True):
                entry = _entry_of(item.fields)
                if entry.sequence <= settled:
                    return entry
        return None


def _entry(partition: Partition, row: InstanceRow, sequence: int, action: str, timestamp: str) -> FeedEntry:
    return FeedEntry(
        sequence=sequence,
        partition=partition.key,
        partition_name=partition.name,
        study=row.study,
        series=row.series,
        instance=row.instance,
        action=action,
        timestamp=timestamp,
        watermark=row.watermark,
    )


def _items(entry: FeedEntry) -> tuple[Item, Item]:
    fields = encode(entry)
    return (
        Item(keys.feed(entry.sequence), fields),
        Item(keys.feed_time(entry.timestamp, entry.sequence), fields),
    )


def _entry_of(fields: dict[str, Any]) -> FeedEntry:
    return decode(FeedEntry, fields)
