"""The latest entry of the change feed, for readers that see some partitions only (conformance §10.2).

A process remembers the latest entry of each partition in the part of the feed that it has read. This part is one range
of numbers. It grows upward with each new entry and downward when a reader needs an older one. So a process reads each
entry at most once for all its readers, however often they ask, and the memory grows with the partitions alone.
"""

from __future__ import annotations

import threading
from typing import Final, NamedTuple

from app.errors import ChangeFeedBusy
from app.storage.feed.change_feed import FeedLog
from app.storage.feed.entries import FeedEntry
from app.storage.feed.head import FeedHead
from app.storage.table import clock, keys
from app.storage.table.deadline import locked
from app.storage.table.partitions import PartitionFilter

CLOCK_DIFFERENCE_SECONDS: Final = 600.0
"""The most by which the clocks of two writers of the old part are expected to have differed."""

MAX_STEPS: Final = 200
"""The most steps of one request. Each step reads up to `keys.FEED_BUCKET` numbers."""


class _Latest(NamedTuple):
    """The latest entries of one partition: by number, and by time and then number."""

    by_number: FeedEntry
    by_time: FeedEntry


class LatestEntries:
    """Finds the latest entry of some partitions. One object serves all threads of a process."""

    def __init__(self, feed: FeedLog, max_steps: int = MAX_STEPS) -> None:
        self._feed = feed
        self._max_steps = max_steps
        self._lock = threading.Lock()
        self._low = self._high = -1  # the numbers in (low, high] were read; -1 before the first reader
        self._oldest_time = ""  # the time of the first entry in this range
        self._latest: dict[str, _Latest] = {}

    def latest(self, visible: PartitionFilter, *, by_time: bool) -> FeedEntry | None:
        """Return the visible entry with the highest number, or with the latest time. None if there is none.

        Raises `ChangeFeedBusy` if too much of the feed is unread. A later call continues from there. One thread reads
        at a time. The others wait for it, and raise `DeadlinePassed` when their request may wait no longer.
        """
        head = self._feed.head()
        for _ in range(self._max_steps):
            with locked(self._lock):
                if self._high < 0:
                    self._low = self._high = head.number
                if self._high < head.number:
                    self._read_newer(head.number)
                    continue
                found = self._found(visible, by_time)
                if self._low == 0 or (found and (not by_time or self._is_later_than_unread(found, head))):
                    return found
                self._read_older()
        raise ChangeFeedBusy

    def _read_newer(self, last: int) -> None:
        high = min(last, self._high + keys.FEED_BUCKET)
        self._read(self._high + 1, high)
        self._high = high

    def _read_older(self) -> None:
        low = max(0, self._low - keys.FEED_BUCKET)
        oldest = self._read(low + 1, self._low)
        self._low, self._oldest_time = low, oldest or self._oldest_time

    def _read(self, first: int, last: int) -> str:
        """Read the entries with these numbers. Return the time of the first one, empty if there is none."""
        oldest = ""
        for entry in self._feed.entries(first, last):
            oldest = oldest or entry.timestamp
            known = self._latest.get(entry.partition_name)
            self._latest[entry.partition_name] = _Latest(
                by_number=max(known.by_number, entry, key=_number) if known else entry,
                by_time=max(known.by_time, entry, key=_time) if known else entry,
            )
        return oldest

    def _found(self, visible: PartitionFilter, by_time: bool) -> FeedEntry | None:
        candidates = [latest for name, latest in self._latest.items() if visible(name)]
        if by_time:
            return max((each.by_time for each in candidates), key=_time, default=None)
        return max((each.by_number for each in candidates), key=_number, default=None)

    def _is_later_than_unread(self, entry: FeedEntry, head: FeedHead) -> bool:
        """Return whether an entry is later than all entries with lower numbers than those that were read.

        In the old part of the feed, the times of neighbours may be in another order than their numbers.
        """
        if entry.sequence > head.old_number:
            return True
        if not self._oldest_time:
            return False
        return clock.seconds(self._oldest_time) + CLOCK_DIFFERENCE_SECONDS < clock.seconds(entry.timestamp)


def _number(entry: FeedEntry) -> int:
    return entry.sequence


def _time(entry: FeedEntry) -> tuple[str, int]:
    return entry.timestamp, entry.sequence
