"""The change feed: a log of created, updated and deleted instances, over all partitions (conformance §10.5).

A commit puts a record into the log of commits, in the transaction that makes the change (`log.py`). The sequencer gives
the committed records numbers and times, and moves them into the feed (`sequencer.py`). Every reader calls it first. So
a reader sees each change whose answer was sent before the read began.

**The feed skips nobody.** Numbers have no gaps, and times never decrease, whatever the clocks of the writers say.
Entries are only added at the end, so a page that was full stays as it is.

**A window of time that has ended stays as it is.** A reader of such a window first moves the time of the head to its
end. Later entries have that time at least.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Final

from msgspec.structs import replace

from app.storage.feed import windows
from app.storage.feed.entries import FeedEntry, entries_of, page_start
from app.storage.feed.head import FeedHead, read_head
from app.storage.feed.log import CommitLog
from app.storage.feed.old_entries import OldEntries
from app.storage.feed.sequencer import Sequencer
from app.storage.table import clock, keys
from app.storage.table.ports import Item, Range, Table
from app.storage.table.retry import retry

_MOST_COUNTED: Final = 10_000
"""Waiting records that `lag` counts."""


class FeedLog:
    """Reads the change feed in order. One object serves all threads of a process."""

    def __init__(self, table: Table, log: CommitLog) -> None:
        self._table = table
        self._log = log
        self._sequencer = Sequencer(table, log)
        self._old = OldEntries(table)

    # --- which entries there are ---

    def head(self) -> FeedHead:
        """Return the end of the feed, after every commit that has ended by now became part of it.

        Raises as `Sequencer.run`.
        """
        return self._sequencer.run()

    def sequence(self) -> int:
        """Do what `head` does. Return the last number, 0 for an empty feed."""
        return self.head().number

    def advance(self) -> bool:
        """Do what `head` does, so that a reader who comes seldom finds few new commits.

        A step of the background work. Returns False: there is never more to do at once.
        """
        self.head()
        return False

    def barrier(self) -> int:
        """Return the last number, after every commit that has read old extended query tags has ended or failed.

        Call it after a change of the tags. A later commit has read the new ones.
        """
        self._log.fence_open()
        return self.sequence()

    def lag(self) -> int:
        """Return how many commits are not in the feed yet, about `_MOST_COUNTED` at most. It writes nothing."""
        pending = set(read_head(self._table).pending)
        parts = self._log.waiting(max(1, _MOST_COUNTED // self._log.shards))
        return sum(item.key not in pending for part in parts for item in part.items)

    # --- reading by sequence (v1) ---

    def by_sequence(self, after: int, limit: int) -> list[FeedEntry]:
        """Return the entries with numbers in (after, after + limit], in order.

        They are fewer than `limit` at the end of the feed, and where numbers of an old archive have no entry.
        """
        return list(self.entries(after + 1, min(after + limit, self.sequence())))

    def entries(self, first: int, last: int) -> Iterator[FeedEntry]:
        """Yield the entries with numbers from `first` to `last`. `last` is a number of the feed, or 0."""
        return (entry for _, entry in self.numbers(first, last) if entry)

    def numbers(self, first: int, last: int) -> Iterator[tuple[int, FeedEntry | None]]:
        """Yield (number, entry) for each number from `first` to `last` that the table has; None for a tombstone."""
        for item in self._items(max(first, 1), last):
            entries = entries_of(item)
            if not entries:
                yield int(item.key.sk), None
            for entry in entries:
                if first <= entry.sequence <= last:
                    yield entry.sequence, entry

    def _items(self, first: int, last: int) -> Iterator[Item]:
        """Yield the items with these numbers. A reader that comes again finds its first number at the start of a page.

        Otherwise one more query reads the page that has it.
        """
        begins_page = False
        at = first
        while at <= last:
            end = min(last, (at // keys.FEED_BUCKET + 1) * keys.FEED_BUCKET - 1)
            for item in self._table.query(keys.feed_bucket(at), Range(keys.oldest(at), keys.oldest(end))):
                if not begins_page and int(item.key.sk) > first:
                    yield from self._item_before(first)
                begins_page = True
                yield item
            at = end + 1
        if not begins_page and first <= last:
            yield from self._item_before(first)

    def _item_before(self, number: int) -> Iterator[Item]:
        """Yield the item before this number that can have the number in its page."""
        between = Range(keys.oldest(page_start(number)), keys.oldest(number))
        return self._table.query(keys.feed_bucket(number), between, reverse=True, limit=1)

    def latest(self) -> FeedEntry | None:
        """Return the entry with the highest number, None if there is none."""
        head = self.head()
        if head.number > head.old_number:
            return next(self.entries(head.number, head.number))
        return self._old.latest(head.number)

    # --- reading by time (v2) ---

    def by_time(self, *, start: str, end: str, offset: int, limit: int) -> list[FeedEntry]:
        """Return entries with `start` <= time < `end` (timestamps, empty for open), by time, then by sequence.

        The first `offset` entries are skipped without reading them. No entry appears later in a window that has ended.
        """
        head = self.head_after(end)
        found: list[FeedEntry] = []
        for hour in self._old.hours(head, start, end):
            if offset:
                inside = self._old.count(hour, start, end)
                if inside <= offset:
                    offset -= inside
                    continue
            for entry in self._old.entries(hour, start, end):
                if offset:
                    offset -= 1
                    continue
                found.append(entry)
                if len(found) == limit:
                    return found
        numbers = windows.numbers_in(self._table, head, start, end)[offset:][: limit - len(found)]
        return [*found, *(self.entries(numbers.start, numbers.stop - 1) if numbers else ())]

    def hours(self, head: FeedHead, start: str, end: str) -> Iterator[tuple[str, Iterator[FeedEntry]]]:
        """Yield each hour that a window touches, in order, and its entries in the window.

        The hour in which layout 5 began may come twice: first with its old entries, then with its new ones.
        """
        old = ((hour, self._old.entries(hour, start, end)) for hour in self._old.hours(head, start, end))
        new = (
            (hour, self.entries(numbers.start, numbers.stop - 1))
            for hour, numbers in windows.hours_in(self._table, head, start, end)
        )
        return chain(old, new)

    def head_after(self, end: str) -> FeedHead:
        """Do what `head` does. If a window that ends at `end` has ended, no later entry gets a time in it.

        This is a write if no entry is as late as that. A kill -9 after it leaves a time that holds for all entries,
        which does no harm.
        """

        def attempt() -> FeedHead:
            head = self.head()
            if not end or end <= head.time or clock.seconds(end) > clock.now():
                return head
            after = replace(head, time=end)
            self._table.write(after.put(head))
            return replace(after, revision=head.revision + 1)

        return retry(attempt)

    def latest_by_time(self) -> FeedEntry | None:
        """Return the entry with the latest time, None if there is none."""
        head = self.head()
        return self.latest() if head.number > head.old_number else self._old.latest_by_time()
