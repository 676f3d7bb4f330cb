"""The tasks that follow when extended query tags are added and deleted (conformance §8.5, §8.8)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from msgspec.structs import replace

from app.services.operations.runner import Task
from app.storage.feed.change_feed import FeedLog
from app.storage.operations.operations import SUCCEEDED, Operation
from app.storage.table import keys
from app.storage.table.partitions import Partitions
from app.storage.table.ports import Delete, Table
from app.storage.tags.query_tags import QueryTagStore
from app.storage.tags.tag_backfill import TagBackfill

BATCH: Final = 100
"""Feed numbers in one step of a re-index. They are a hundred instances if none was deleted."""

DELETIONS: Final = 1000
"""Index entries that one step of a removal deletes."""

_PARTITION_KEYS: Final = 100
"""Partition keys of the table that one step of a removal reads."""


class Reindex(Task):
    """Indexes the stored instances under new tags, newest first, over all partitions. Then the tags are ready.

    The checkpoint has `from`, the last feed number when the re-index started, and `next`, the number that comes next.
    The first step reads `from` after the tags are stored and every store that does not know them has ended or has to
    start again (`FeedLog.barrier`). So a store with a higher number knows them.

    A step may be repeated: it indexes the same values.
    """

    def __init__(self, *, feed: FeedLog, tags: QueryTagStore, backfill: TagBackfill) -> None:
        self._feed = feed
        self._tags = tags
        self._backfill = backfill

    def step(self, operation: Operation) -> Operation:
        """Index the instances of the next feed numbers. End after the last one, or if all its tags were deleted."""
        if not operation.checkpoint:
            last = self._feed.barrier()
            return replace(operation, checkpoint={"from": last, "next": last}, percent=0)
        start, last = operation.checkpoint["from"], operation.checkpoint["next"]
        tag_keys = frozenset(operation.request["tags"]) & self._tags.read().keys
        if last < 1 or not tag_keys:
            self._tags.make_ready(operation.id)
            return replace(operation, status=SUCCEEDED, percent=100)
        first = max(1, last - BATCH + 1)
        self._backfill.index(list(self._feed.entries(first, last)), tag_keys)
        percent = 100 * (start - first + 1) // start
        return replace(operation, checkpoint={"from": start, "next": first - 1}, percent=percent)


class TagRemoval(Task):
    """Deletes the index entries and the errors of a deleted tag, in every partition.

    Nothing reads them any more, so a step may be repeated. The checkpoint `at` is the number of partition keys of the
    table that are empty by now.
    """

    def __init__(self, *, table: Table, feed: FeedLog, partitions: Partitions) -> None:
        self._table = table
        self._feed = feed
        self._partitions = partitions

    def step(self, operation: Operation) -> Operation:
        """Delete up to `DELETIONS` entries. The first step makes sure that no store writes further ones."""
        if not operation.checkpoint:
            self._feed.barrier()
            return replace(operation, checkpoint={"at": 0})
        done, left = operation.checkpoint["at"], DELETIONS
        read = 0
        for pk in islice(self._partition_keys(operation), done, done + _PARTITION_KEYS):
            left -= self._delete_items(pk, left)
            if left <= 0:
                return replace(operation, checkpoint={"at": done + read})
            read += 1
        status = operation.status if read == _PARTITION_KEYS else SUCCEEDED
        return replace(operation, checkpoint={"at": done + read}, status=status)

    def _partition_keys(self, operation: Operation) -> Iterator[str]:
        """Yield the partition keys of the table under which entries of the tag may be.

        The order is stable: new partitions of the archive come at the end.
        """
        tag, level, vr = (operation.request[name] for name in ("tag", "level", "vr"))
        yield keys.tag_errors(tag)
        for partition in self._partitions.listed():
            yield keys.values(partition.key, level, tag)
            if vr == "DA":
                yield keys.periods(partition.key, level, tag)
            for bucket in range(keys.WORD_BUCKETS) if vr == "PN" else ():
                yield keys.words_in(partition.key, level, tag, bucket)

    def _delete_items(self, pk: str, limit: int) -> int:
        """Delete up to `limit` items under a partition key. Return how many."""
        items = list(self._table.query(pk, limit=limit))
        self._table.write_each([Delete(each.key) for each in items])
        return len(items)
