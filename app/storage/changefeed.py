"""The change feed: an append-only log of what was created, updated and deleted, over all partitions (spec/09).

Entries are written in the same all-or-nothing write as the change. Numbers are reserved just before, so writers may
commit out of order and dead writers leave gaps. **The feed skips nobody:** readers stop before the first gap that may
still be filled. A gap is closed for good by *sealing* it: a reader writes a tombstone there on the condition that
nothing is there, and the writer, whose entry expects the same, takes a new number. So no clock decides what is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from app.errors import Conflict
from app.storage import clock, keys
from app.storage.partitions import Partition
from app.storage.ports import Absent, Change, Item, Put, Range, Table
from app.storage.rows import InstanceRow
from app.storage.sequence import Sequence

GRACE_SECONDS: Final = 5.0
"""How long a gap may wait for its writer before a reader seals it."""

_TAIL: Final = 1000
"""How many numbers before the tip a fresh process examines for gaps; far more than are ever reserved at once."""


class Entry(NamedTuple):
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


class ChangeFeed:
    """Writes entries and reads them in order."""

    def __init__(self, table: Table, sequence: Sequence) -> None:
        self._table = table
        self._sequence = sequence
        self._hours: set[str] = set()
        self._settled = 0  # every number up to this is an entry or sealed, for ever

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
        """Close numbers that no writer will use; false if one of them turned out to be an entry."""
        sealed = True
        for number in numbers:
            try:
                self._table.write(Put(Item(keys.feed(number), {"sealed": True}), Absent()))
            except Conflict:
                sealed = False
        return sealed

    def _register_hour(self, hour: str) -> None:
        """Note that there may be entries in this hour, before the first one is written. Harmless if none follows."""
        if hour not in self._hours:
            self._table.write(Put(Item(keys.feed_hours(hour), {})))
            self._hours = {*sorted(self._hours)[-48:], hour}

    # --- reading by sequence (v1) ---

    def settled(self) -> int:
        """Return the highest number up to which nothing can still appear. Seals what has waited long enough."""
        tip = self._sequence.last()
        low = max(self._settled, tip - _TAIL)
        present = dict(self._numbers(low + 1, tip))
        oldest_after = self._ages(present, low, tip)
        for number in range(low + 1, tip + 1):
            if number in present:
                continue
            age = oldest_after.get(number)
            if age is None or age < GRACE_SECONDS or not self.seal([number]):
                tip = number - 1
                break
        self._settled = max(self._settled, tip)
        return tip

    def _ages(self, present: dict[int, Entry | None], low: int, tip: int) -> dict[int, float]:
        """Return for each missing number the age of the next entry: it was reserved later, so the gap is older."""
        now = clock.now()
        ages: dict[int, float] = {}
        age: float | None = None
        for number in range(tip, low, -1):
            entry = present.get(number)
            if entry is not None:
                age = now - clock.seconds(entry.timestamp)
            elif number not in present and age is not None:
                ages[number] = age
        return ages

    def by_sequence(self, after: int, limit: int) -> list[Entry]:
        """Return the entries with numbers in (after, after + limit], in order; fewer where numbers were never used."""
        last = min(after + limit, self.settled())
        return [entry for _, entry in self._numbers(after + 1, last) if entry]

    def latest(self) -> Entry | None:
        """Return the newest entry before which nothing is missing."""
        number = self.settled()
        while number > 0:
            low = max(number - 100, 0)
            found = [entry for _, entry in self._numbers(low + 1, number) if entry]
            if found:
                return found[-1]
            number = low
        return None

    def _numbers(self, first: int, last: int) -> Iterator[tuple[int, Entry | None]]:
        """Yield (number, entry) of what is there from `first` to `last`; None for a sealed number."""
        while first <= last:
            end = min(last, (first // keys.FEED_BUCKET + 1) * keys.FEED_BUCKET - 1)
            for item in self._table.query(keys.feed_bucket(first), Range(keys.oldest(first), keys.oldest(end))):
                yield int(item.key.sk), None if "sealed" in item.fields else _entry_of(item.fields)
            first = end + 1

    # --- reading by time (v2) ---

    def by_time(self, start: str, end: str, offset: int, limit: int) -> list[Entry]:
        """Return entries with `start` <= time < `end` (timestamps, empty for open), by time then sequence.

        `offset` entries are skipped: whole hours are counted, not read.
        """
        settled = self.settled()
        found: list[Entry] = []
        between = Range(keys.hour_of(start), keys.hour_of(end))
        for item in self._table.query(keys.FEED_HOURS, between):
            hour = keys.feed_hour(item.key.sk)
            window = Range(start, end)  # keys are `{time}/{number}`: all of time `end` sort after a bare `end`
            if offset:
                inside = self._table.count(hour, window)
                if inside <= offset:
                    offset -= inside
                    continue
            for each in self._table.query(hour, window, limit=offset + limit - len(found) + _TAIL):
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

    def latest_by_time(self) -> Entry | None:
        """Return the entry with the latest time among those before which nothing is missing."""
        settled = self.settled()
        for hour in self._table.query(keys.FEED_HOURS, reverse=True):
            for item in self._table.query(keys.feed_hour(hour.key.sk), reverse=True):
                entry = _entry_of(item.fields)
                if entry.sequence <= settled:
                    return entry
        return None


def _entry(partition: Partition, row: InstanceRow, sequence: int, action: str, timestamp: str) -> Entry:
    return Entry(
        sequence,
        partition.key,
        partition.name,
        row.study,
        row.series,
        row.instance,
        action,
        timestamp,
        row.watermark,
    )


def _items(entry: Entry) -> tuple[Item, Item]:
    fields = entry._asdict()
    return (
        Item(keys.feed(entry.sequence), fields),
        Item(keys.feed_time(entry.timestamp, entry.sequence), fields),
    )


def _entry_of(fields: dict[str, Any]) -> Entry:
    return Entry(**fields)
