"""The tasks that follow when extended query tags are added and deleted (conformance §8.5, §8.8)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from msgspec.structs import replace

from app.services.operations.runner import Task
from app.storage.feed.change_feed import FeedLog
from app.storage.operations.operations import SUCCEEDED, Operation
from app.storage.records.spread_lists import parts_of_periods, parts_of_values
from app.storage.table import keys
from app.storage.table.partitions import Partitions
from app.storage.table.ports import Delete, Table
from app.storage.tags.query_tags import QueryTagStore
from app.storage.tags.tag_backfill import TagBackfill

BATCH: Final = 100
"""Feed numbers in one step of a re-index. They are a hundred instances if none was deleted."""

DELETIONS: Final = 1000
"""Index entries that one step of a removal deletes."""

_PARTITIONS: Final = 20
"""Noted partitions that one step of a removal visits."""

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
    """Deletes the index entries and the errors of a deleted tag, in every partition that has some.

    Nothing reads them any more, so a step may be repeated. Each note of a partition (`table/tag_partitions.py`) is
    deleted after the entries there. Tags of earlier releases have no complete notes. Their removal visits all
    partitions, and the checkpoint `at` is the number of partition keys of the table that are empty by now. `shards` is
    as in `open_shards`.
    """

    def __init__(self, *, table: Table, feed: FeedLog, partitions: Partitions, shards: int = 1) -> None:
        self._table = table
        self._feed = feed
        self._partitions = partitions
        self._shards = shards

    def step(self, operation: Operation) -> Operation:
        """Delete up to `DELETIONS` entries. The first step makes sure that no store writes further ones."""
        if not operation.checkpoint:
            self._feed.barrier()
            return replace(operation, checkpoint={"at": 0})
        return self._step_by_notes(operation) if operation.request.get("noted") else self._step_by_number(operation)

    def _step_by_notes(self, operation: Operation) -> Operation:
        """Visit the next noted partitions. A kill -9 leaves the note of a partition whose entries are deleted."""
        tag = operation.request["tag"]
        left = DELETIONS - self._delete_items(keys.tag_errors(tag), DELETIONS)
        if left <= 0:
            return operation
        for note in self._table.query(keys.tagged(tag), limit=_PARTITIONS):
            for pk in self._keys_in(keys.noted_partition(note.key), operation):
                left -= self._delete_items(pk, left) if left > 0 else 0
            if left <= 0:
                return operation
            self._table.write(Delete(note.key))
        has_more = any(True for _ in self._table.query(keys.tagged(tag), limit=1))
        return operation if has_more else replace(operation, status=SUCCEEDED)

    def _step_by_number(self, operation: Operation) -> Operation:
        """Visit the next partition keys of all partitions."""
        done, left = operation.checkpoint["at"], DELETIONS
        read = 0
        for pk in islice(self._all_keys(operation), done, done + _PARTITION_KEYS):
            left -= self._delete_items(pk, left)
            if left <= 0:
                return replace(operation, checkpoint={"at": done + read})
            read += 1
        status = operation.status if read == _PARTITION_KEYS else SUCCEEDED
        return replace(operation, checkpoint={"at": done + read}, status=status)

    def _all_keys(self, operation: Operation) -> Iterator[str]:
        """Yield the partition keys of the table under which entries of the tag may be.

        The order is stable: new partitions of the archive come at the end.
        """
        yield keys.tag_errors(operation.request["tag"])
        for partition in self._partitions.in_key_order():
            yield from self._keys_in(partition.key, operation)
        yield keys.tagged(operation.request["tag"])

    def _keys_in(self, partition: int, operation: Operation) -> Iterator[str]:
        """Yield the partition keys of the table under which a partition may have entries of the tag."""
        tag, level, vr = (operation.request[name] for name in ("tag", "level", "vr"))
        yield from parts_of_values(partition, level, tag, self._shards)
        if vr == "DA":
            yield from parts_of_periods(partition, level, tag, self._shards)
        for bucket in range(keys.WORD_BUCKETS) if vr == "PN" else ():
            yield keys.words_in(partition, level, tag, bucket)

    def _delete_items(self, pk: str, limit: int) -> int:
        """Delete up to `limit` items under a partition key. Return how many."""
        items = list(self._table.query(pk, limit=limit))
        self._table.write_each([Delete(each.key) for each in items])
        return len(items)
