"""The writes that remove rows: many instances in one all-or-nothing write, each with its feed entry."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Final, NamedTuple

from msgspec.structs import replace

from app.errors import Conflict
from app.storage.feed.change_feed import FeedLog
from app.storage.feed.entries import ITEMS_PER_ENTRY
from app.storage.index import closing, statistics, sweep
from app.storage.index.statistics import Contents, stored_size
from app.storage.records import documents
from app.storage.records.leftovers import Leftovers, RowPostings, version_of
from app.storage.records.page_marks import mark_of_removal
from app.storage.records.postings import postings, postings_of_version
from app.storage.records.rows import InstanceRow, SeriesRow, StudyRow
from app.storage.table import keys
from app.storage.table.batch import Cost, grouped
from app.storage.table.counters import SequenceCounter
from app.storage.table.partitions import Partition
from app.storage.table.ports import Change, Delete, Holds, Key, Table

_OTHER_CHANGES: Final = 4 + statistics.CHANGES
"""Changes of a write beside its instances: those of a series row, a study row and a deletion record, which the caller
may add, the record of leftovers, and the statistics of the partition."""

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
        versions = tuple(replace(version_of(each), watermark=each.watermark) for each in files)
        implied = {posting for version in versions for posting in postings_of_version(version)}
        found = {row.key: (*postings(row), *(keys.tag_error(*error) for error in row.errors.items())) for row in every}
        others = (RowPostings(row, tuple(key for key in each if key not in implied)) for row, each in found.items())
        return _Removal(
            [Delete(row.key, Holds("revision", row.revision)) for row in every],
            [*chain.from_iterable(map(documents.stored_keys, files)), *chain.from_iterable(found.values())],
            Leftovers(versions=versions, postings=tuple(each for each in others if each.postings)),
        )


class RemovalWriter:
    """Writes the removal of rows. `delay` is how many seconds the blobs of removed instances stay."""

    def __init__(self, table: Table, *, numbers: SequenceCounter, feed: FeedLog, delay: int) -> None:
        self._table = table
        self._numbers = numbers
        self._feed = feed
        self._delay = delay

    def batches(self, rows: Iterable[InstanceRow]) -> Iterator[list[InstanceRow]]:
        """Cut instances into batches. The removal of a batch fits in one write, unless it is a single instance."""
        return grouped(rows, _cost, reserved=_OTHER_CHANGES)

    def remove(self, partition: Partition, rows: Sequence[InstanceRow], also: Iterable[Change] = ()) -> None:
        """Remove instances and append their Delete entries to the feed, with the changes `also`.

        Raises `Conflict` if one of the rows was written since it was read. A kill -9 leaves:

        * before the transaction: a gap in the feed, which the readers of the feed close;
        * after it: documents and postings without rows, which the record of the transaction names, and the blobs.
        """
        removal = _Removal.of(rows)
        numbers = self._numbers.reserve(len(rows))
        time = self._feed.time_of_new_entries()
        entries = self._feed.changes(partition, zip(numbers, rows, strict=True), "Delete", time)
        contents = Contents(0, -len(rows), -sum(stored_size(row) for row in rows))
        counted = statistics.additions(partition, contents, rows[0].watermark)
        record = sweep.queue_removal(removal.leftovers, self._delay)
        try:
            self._table.write(
                *removal.rows, *entries, *also, *counted, record, after=[Delete(key) for key in removal.gone]
            )
        except Conflict:
            self._feed.close_gaps(numbers)
            raise

    def remove_parent(self, partition: Partition, row: StudyRow | SeriesRow) -> None:
        """Remove a study or series row with its postings, and mark a study.

        Raises `Conflict` if the row was written since it was read. A kill -9 after the transaction leaves postings
        without a row, which the record of the transaction names.
        """
        counted = statistics.additions(partition, Contents(-1, 0, 0), row.created) if isinstance(row, StudyRow) else []
        gone = list(postings(row))
        record = sweep.queue_removal(Leftovers(postings=(RowPostings(row.key, tuple(gone)),)), 0)
        self._table.write(
            Delete(row.key, closing.unchanged(row)),
            *counted,
            *mark_of_removal(row),
            record,
            after=[Delete(key) for key in gone],
        )


def _cost(row: InstanceRow) -> Cost:
    """Return what the removal of an instance takes of a transaction, with its feed entry and its part of the record."""
    named = len(row.files) + len(postings(row)) + len(row.errors)
    return Cost(1 + ITEMS_PER_ENTRY, named * _NAMED_BYTES)
