"""The change feed in a window of time, for readers that see some partitions only (conformance §10.2).

`offset` and `limit` count the entries of these partitions. All partitions share one feed, so the entries of others are
read too, and passed over. An hour that has passed cannot gain entries. A process that has read such an hour to its end
remembers how many entries of each partition it has. Later requests skip the hour without reading it.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter, OrderedDict
from collections.abc import Mapping
from typing import Final

from app.errors import ChangeFeedBusy
from app.storage.feed.change_feed import FeedLog
from app.storage.feed.entries import FeedEntry
from app.storage.table import clock, keys
from app.storage.table.partitions import PartitionFilter

MAX_PASSED_OVER: Final = 200_000
"""The most entries of other partitions that one request reads in hours without a visible entry."""

MAX_COUNTS: Final = 100_000
"""The counts that a process remembers: one for each hour and partition, of about 100 bytes."""


class HourCounts:
    """How many entries each partition has in the hours that have passed. The hours that were used last are kept."""

    def __init__(self, limit: int = MAX_COUNTS) -> None:
        self._limit = limit
        self._size = 0
        self._hours: OrderedDict[str, Mapping[str, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, hour: str) -> Mapping[str, int] | None:
        """Return the counts by the names of the partitions, None if they are not known."""
        with self._lock:
            counts = self._hours.get(hour)
            if counts is not None:
                self._hours.move_to_end(hour)
            return counts

    def put(self, hour: str, counts: Mapping[str, int]) -> bool:
        """Keep the counts of an hour. Return whether the counts of all other hours are still kept."""
        with self._lock:
            replaced = self._hours.pop(hour, None)
            self._hours[hour] = {sys.intern(name): count for name, count in counts.items()}
            self._size += _size(counts) - (_size(replaced) if replaced is not None else 0)
            is_complete = self._size <= self._limit
            while self._size > self._limit:
                _, removed = self._hours.popitem(last=False)
                self._size -= _size(removed)
            return is_complete


def _size(counts: Mapping[str, int]) -> int:
    return 1 + len(counts)


class VisibleEntries:
    """Reads the entries of some partitions by time. One object serves all threads of a process."""

    def __init__(self, feed: FeedLog, max_passed_over: int = MAX_PASSED_OVER) -> None:
        self._feed = feed
        self._max_passed_over = max_passed_over
        self._counts = HourCounts()

    def by_time(self, *, start: str, end: str, offset: int, limit: int, visible: PartitionFilter) -> list[FeedEntry]:
        """Return what `FeedLog.by_time` returns for a feed that holds the entries of the visible partitions alone.

        Raises `ChangeFeedBusy` if it reads too many entries of other partitions. They are remembered, so a later call
        continues there.
        """
        now = clock.timestamp(clock.now())
        this_hour = keys.start_of_hour(keys.hour_of(now))
        head = self._feed.head_after(max(end, this_hour) if end <= now else this_hour)
        unfinished = {keys.hour_of(head.time), keys.hour_of(head.old_time)}  # the second one may come twice
        found: list[FeedEntry] = []
        passed_over = 0
        for hour, entries in self._feed.hours(head, start, end):
            is_whole = _covers(start, end, hour) and hour not in unfinished
            counts = self._counts.get(hour) if is_whole else None
            inside = sum(count for name, count in counts.items() if visible(name)) if counts is not None else None
            if inside is not None and inside <= offset:
                offset -= inside
                continue
            read: Counter[str] = Counter()
            for each in entries:
                read[each.partition_name] += 1
                if not visible(each.partition_name):
                    continue
                if offset:
                    offset -= 1
                    continue
                found.append(each)
                if len(found) == limit:
                    return found
            if is_whole:
                # Without memory for the hour a later request would read it again, so it would come no further.
                is_progress = self._counts.put(hour, read) and not any(map(visible, read))
                passed_over += read.total() if is_progress else 0
                if passed_over > self._max_passed_over:
                    raise ChangeFeedBusy
        return found


def _covers(start: str, end: str, hour: str) -> bool:
    """Return whether a window contains a whole hour. An empty time is an open end."""
    return (keys.hour_of(start) < hour or start <= keys.start_of_hour(hour)) and (not end or hour < keys.hour_of(end))
