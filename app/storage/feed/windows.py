"""The numbers of the entries in a window of time. Numbers and times of the new part of the feed ascend together.

The hours index has the first number of each hour that has entries. Inside an hour, pages are searched by bisection.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from app.storage.feed.entries import FeedEntry, entries_of, page_start
from app.storage.feed.head import FeedHead
from app.storage.table import keys
from app.storage.table.codec import DamagedRecord
from app.storage.table.ports import Range, Table

_NEXT_HOURS: Final = 3
"""Hours that are read to find the limits of one. The hour in which layout 5 began may have no number yet."""


def numbers_in(table: Table, head: FeedHead, start: str, end: str) -> range:
    """Return the numbers of the entries with `start` <= time < `end`. An empty time is an open end.

    Only numbers after `head.old_number`, up to `head.number`. This is two short queries and some bisection steps.
    """
    first = _first_since(table, head, start) if start else head.old_number + 1
    return range(first, _first_since(table, head, end) if end else head.number + 1)


def hours_in(table: Table, head: FeedHead, start: str, end: str) -> Iterator[tuple[str, range]]:
    """Yield each hour with new entries that a window touches, and the numbers of its entries in the window."""
    window = numbers_in(table, head, start, end)
    if not window:
        return
    begun: tuple[str, int] | None = None
    for hour, first in _hours(table, Range(keys.hour_of(start), keys.hour_of(end))):
        if begun and first > begun[1]:
            yield begun[0], range(begun[1], min(first, window.stop))
        begun = hour, max(first, window.start)
        if first >= window.stop:
            return
    if begun:
        yield begun[0], range(begun[1], window.stop)


def _hours(table: Table, between: Range, limit: int | None = None) -> Iterator[tuple[str, int]]:
    for item in table.query(keys.FEED_HOURS, between, limit=limit):
        if "first" in item.fields:
            yield item.key.sk, item.fields["first"]


def _first_since(table: Table, head: FeedHead, time: str) -> int:
    """Return the lowest new number with this time or a later one; `head.number` + 1 if there is none."""
    if time <= head.old_time:
        return head.old_number + 1
    beyond = head.number + 1
    if time > head.time:
        return beyond
    hour = keys.hour_of(time)
    found = list(_hours(table, Range(hour), _NEXT_HOURS))
    if not found or found[0][0] > hour:
        return min(found[0][1], beyond) if found else beyond
    low, high = found[0][1], min(found[1][1] if len(found) > 1 else beyond, beyond)
    while low < high:
        page = page_with(table, (low + high) // 2)
        if page[0].timestamp >= time:
            high = max(low, page[0].sequence)
        elif page[-1].timestamp < time:
            low = page[-1].sequence + 1
        else:
            return next(entry.sequence for entry in page if entry.timestamp >= time)
    return min(low, beyond)


def page_with(table: Table, number: int) -> list[FeedEntry]:
    """Return the entries of the page that has this number. Raises `DamagedRecord` if it is missing."""
    between = Range(keys.oldest(page_start(number)), keys.oldest(number))
    for item in table.query(keys.feed_bucket(number), between, reverse=True, limit=1):
        entries = entries_of(item)
        if entries and entries[-1].sequence >= number:
            return entries
    raise DamagedRecord
