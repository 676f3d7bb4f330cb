"""What follows from the addition and from the deletion of extended query tags, step by step (conformance §8.5, conformance §9.6)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Final

from app.services.operations.runner import Task
from app.storage.feed.change_feed import FeedLog
from app.storage.operations.operations import SUCCEEDED, Operation
from app.storage.table import keys
from app.storage.table.batch import write_each
from app.storage.table.counters import SequenceCounter
from app.storage.table.partitions import Partitions
from app.storage.table.ports import Delete, Table
from app.storage.tags.query_tags import QueryTagStore
from app.storage.updates.tag_backfill import TagBackfill

BATCH: Final = 100
"""Numbers of the feed that one step of a re-index looks at: a hundred instances, where nothing was deleted."""

_PLACES: Final = 100
_DELETIONS: Final = 1000


class Reindex(Task):
    """Files what is there under new tags, newest first over all partitions; then the tags are ready.

    The checkpoint is the number that comes next; the first one was reserved last when the tags were there already.
    Gaps in the feed are closed on the way: who was about to fill one begins anew, and sees the tags.
    """

    def __init__(self, numbers: SequenceCounter, feed: FeedLog, tags: QueryTagStore, backfill: TagBackfill) -> None:
        self._numbers = numbers
        self._feed = feed
        self._tags = tags
        self._backfill = backfill

    def step(self, operation: Operation) -> Operation:
        """Look at the next numbers; after the last, or when the tags are deleted, end."""
        if not operation.checkpoint:
            last = self._numbers.last()
            return replace(operation, checkpoint={"from": last, "next": last}, percent=0)
        start, last = operation.checkpoint["from"], operation.checkpoint["next"]
        wanted = frozenset(operation.request["tags"]) & self._tags.read().keys
        if last < 1 or not wanted:
            self._tags.make_ready(operation.id)
            return replace(operation, status=SUCCEEDED, percent=100)
        first = max(1, last - BATCH + 1)
        self._backfill.file(self._feed.closed(first, last), wanted)
        done = 100 * (start - first + 1) // start
        return replace(operation, checkpoint={"from": start, "next": first - 1}, percent=done)


class TagRemoval(Task):
    """Removes what is filed under a deleted tag, a thousand entries in a step, wherever such entries lie.

    Nothing reads them any more, so a step may be repeated, and none is in a hurry.
    """

    def __init__(self, table: Table, numbers: SequenceCounter, feed: FeedLog, partitions: Partitions) -> None:
        self._table = table
        self._numbers = numbers
        self._feed = feed
        self._partitions = partitions

    def step(self, operation: Operation) -> Operation:
        """Empty the next places."""
        if not operation.checkpoint:
            self._feed.closed(self._feed.settled() + 1, self._numbers.last())
            return replace(operation, checkpoint={"at": 0})
        at, left = operation.checkpoint["at"], _DELETIONS
        for place in islice(self._places(operation), at, at + _PLACES):
            left -= self._empty(place, left)
            if left <= 0:
                return replace(operation, checkpoint={"at": at})
            at += 1
        if at < operation.checkpoint["at"] + _PLACES:
            return replace(operation, checkpoint={"at": at}, status=SUCCEEDED)
        return replace(operation, checkpoint={"at": at})

    def _places(self, operation: Operation) -> Iterator[str]:
        """Yield where entries of the tag may lie. Partitions are only ever added, at the end."""
        tag, level, vr = (operation.request[name] for name in ("tag", "level", "vr"))
        yield keys.tag_errors(tag)
        for partition in self._partitions.listed():
            yield keys.values(partition.key, level, tag)
            for bucket in range(keys.WORD_BUCKETS) if vr == "PN" else ():
                yield keys.words_in(partition.key, level, tag, bucket)

    def _empty(self, place: str, most: int) -> int:
        """Delete up to `most` items of a place; return how many."""
        items = list(self._table.query(place, limit=most))
        write_each(self._table, (Delete(each.key) for each in items))
        return len(items)
