"""The part of the feed that archives of layout 4 or older have written: numbers up to `FeedHead.old_number`.

Each entry has an item by number and an item by time. Numbers without an entry have a tombstone. The times of successive
numbers may decrease. Nothing is written in this form any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from app.errors import Conflict
from app.storage.feed.entries import FeedEntry, entries_of
from app.storage.feed.head import FeedHead, read_head
from app.storage.table import keys
from app.storage.table.ports import Absent, Item, Put, Range, Table


def close_old_feed(table: Table) -> None:
    """Bring the feed of layout 4 to layout 5: put tombstones into its gaps and write the head. Nothing is rewritten.

    No process of an earlier layout runs, so no entry appears later. A kill -9 leaves some tombstones and no head, and
    the next start continues. If two processes do this, both write the same.
    """
    if read_head(table).revision:
        return
    counter = table.get(keys.WATERMARK_COUNTER)
    last = int(counter.fields["value"]) if counter else 0
    complete = table.get(keys.FEED_COMPLETE)
    for number in _missing(table, int(complete.fields["value"]) + 1 if complete else 1, last):
        with suppress(Conflict):
            table.write(Put(Item(keys.feed(number), {"sealed": True}), Absent()))
    earliest = table.get(keys.FEED_EARLIEST)
    latest = next(_by_time(table, reverse=True), None)
    newest = latest.timestamp if latest else ""
    time = max(newest, earliest.fields["time"] if earliest else "")
    head = FeedHead(number=last, time=time, old_number=last, old_time=newest)
    with suppress(Conflict):
        table.write(head.put(FeedHead()))


def _missing(table: Table, first: int, last: int) -> Iterator[int]:
    """Yield the numbers from `first` to `last` that have neither an entry nor a tombstone."""
    expected = first
    while first <= last:
        end = min(last, (first // keys.FEED_BUCKET + 1) * keys.FEED_BUCKET - 1)
        for item in table.query(keys.feed_bucket(first), Range(keys.oldest(first), keys.oldest(end))):
            yield from range(expected, int(item.key.sk))
            expected = int(item.key.sk) + 1
        first = end + 1
    yield from range(expected, last + 1)


def _by_time(table: Table, *, reverse: bool) -> Iterator[FeedEntry]:
    for hour in table.query(keys.FEED_HOURS, reverse=reverse):
        for item in table.query(keys.feed_hour(hour.key.sk), reverse=reverse):
            yield from entries_of(item)


class OldEntries:
    """Reads the old part of the feed by time."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def hours(self, head: FeedHead, start: str, end: str) -> Iterator[str]:
        """Yield the hours of the old part that a window touches, in order. An empty time is an open end."""
        if head.old_time and start <= head.old_time:
            last = keys.hour_of(min(end or head.old_time, head.old_time))
            for item in self._table.query(keys.FEED_HOURS, Range(keys.hour_of(start), last)):
                yield item.key.sk

    def count(self, hour: str, start: str, end: str) -> int:
        """Return how many entries of an hour are in the window."""
        return self._table.count(keys.feed_hour(hour), Range(start, end))

    def entries(self, hour: str, start: str, end: str) -> Iterator[FeedEntry]:
        """Yield the entries of an hour with `start` <= time < `end`, by time and then by number."""
        # Keys are `{time}/{number}`, so all entries of the time `end` sort after `end`.
        for item in self._table.query(keys.feed_hour(hour), Range(start, end)):
            yield from entries_of(item)

    def latest_by_time(self) -> FeedEntry | None:
        """Return the old entry with the latest time, None if there is none."""
        return next(_by_time(self._table, reverse=True), None)

    def latest(self, number: int) -> FeedEntry | None:
        """Return the entry with the highest number up to this one, None if there is none. Tombstones are passed."""
        for bucket in range(number // keys.FEED_BUCKET, -1, -1):
            between = Range("", keys.oldest(number))
            for item in self._table.query(keys.feed_bucket(bucket * keys.FEED_BUCKET), between, reverse=True):
                for entry in entries_of(item):
                    return entry
        return None
