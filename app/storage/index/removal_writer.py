"""The writes that remove rows: many instances in one all-or-nothing write, each with its feed entry."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Final, NamedTuple

from msgspec.structs import replace

from app.storage.feed.log import CommitLog, CommittedEntry
from app.storage.index import closing, sweep
from app.storage.index.statistics import stored_size
from app.storage.records import documents
from app.storage.records.contents import Contents
from app.storage.records.leftovers import Leftovers, RowPostings, version_of
from app.storage.records.page_marks import mark_of_removal
from app.storage.records.postings import leftovers_of, postings
from app.storage.records.rows import InstanceRow, SeriesRow, StudyRow
from app.storage.table import keys
from app.storage.table.batch import Cost, grouped
from app.storage.table.partitions import Partition
from app.storage.table.ports import Change, Delete, Holds, Key, Table

_OTHER_CHANGES: Final = 5
"""Changes of a write beside its instances: those of a series row, a study row and a deletion record, which the caller
may add, the record of leftovers, and the record for the change feed."""

_NAMED_BYTES: Final = 1000
"""Bytes that a transaction counts for each version and posting in its record. So a record has 2,000 at most, unless a
single instance has more of them."""


class _Removal(NamedTuple):
    """What the removal of instances writes: the deletions of their rows, and what may be left when these are done.

    `versions` name the blobs, which the sweep removes. `gone` are the keys of documents, postings and tag errors.
    """

    rows: list[Delete]
    gone: list[Key]
    leftovers: Leftovers

    @staticmethod
    def of(rows: Iterable[InstanceRow]) -> _Removal:
        every = list(rows)
        files = [row.with_file(file) for row in every for file in row.files]
        versions = [replace(version_of(each), watermark=each.watermark) for each in files]
        found = {row.key: (*postings(row), *(keys.tag_error(*error) for error in row.errors.items())) for row in every}
        return _Removal(
            [Delete(row.key, Holds("revision", row.revision)) for row in every],
            [*chain.from_iterable(map(documents.stored_keys, files)), *chain.from_iterable(found.values())],
            leftovers_of(versions, found),
        )


class RemovalWriter:
    """Writes the removal of rows. `delay` is how many seconds the blobs of removed instances stay.

    `sweep_shards` is the number of partition keys over which its records are spread.
    """

    def __init__(self, table: Table, log: CommitLog, *, delay: int, sweep_shards: int = 1) -> None:
        self._sweep_shards = sweep_shards
        self._table = table
        self._log = log
        self._delay = delay

    def batches(self, rows: Iterable[InstanceRow]) -> Iterator[list[InstanceRow]]:
        """Cut instances into batches. The removal of a batch fits in one write, unless it is a single instance."""
        return grouped(rows, _cost, reserved=_OTHER_CHANGES)

    def remove(self, partition: Partition, rows: Sequence[InstanceRow], also: Iterable[Change] = ()) -> None:
        """Remove instances and append their Delete entries to the feed, with the changes `also`.

        Raises `Conflict` if one of the rows was written since it was read. A kill -9 after the transaction leaves
        documents and postings without rows, which the record of the transaction names, and the blobs.
        """
        removal = _Removal.of(rows)
        contents = Contents(0, -len(rows), -sum(stored_size(row) for row in rows))
        committed = self._log.committed(partition, [CommittedEntry.of(row, "Delete") for row in rows], contents)
        record = sweep.queue_removal(removal.leftovers, self._delay, shard=self._shard())
        self._table.write(*removal.rows, committed, *also, record, after=[Delete(key) for key in removal.gone])

    def _shard(self) -> int:
        return random.randrange(self._sweep_shards)  # noqa: S311 - it spreads load

    def remove_parent(self, partition: Partition, row: StudyRow | SeriesRow) -> None:
        """Remove a study or series row with its postings, and mark a study.

        Raises `Conflict` if the row was written since it was read. A kill -9 after the transaction leaves postings
        without a row, which the record of the transaction names.
        """
        committed = [self._log.committed(partition, [], Contents(-1, 0, 0))] if isinstance(row, StudyRow) else []
        gone = list(postings(row))
        record = sweep.queue_removal(Leftovers(postings=(RowPostings(row.key, tuple(gone)),)), 0, shard=self._shard())
        self._table.write(
            Delete(row.key, closing.unchanged(row)),
            *committed,
            *mark_of_removal(row),
            record,
            after=[Delete(key) for key in gone],
        )


def _cost(row: InstanceRow) -> Cost:
    """Return what the removal of an instance takes of a transaction, with its part of the record of leftovers."""
    named = len(row.files) + len(postings(row)) + len(row.errors)
    return Cost(1, named * _NAMED_BYTES)
