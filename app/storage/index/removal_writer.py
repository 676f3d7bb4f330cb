"""The writes that remove rows: many instances in one all-or-nothing write, each with its feed entry."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from app.errors import Conflict
from app.storage.feed.change_feed import FeedLog
from app.storage.feed.entries import ITEMS_PER_ENTRY
from app.storage.index import closing, statistics, sweep
from app.storage.index.statistics import Contents, stored_size
from app.storage.records import documents
from app.storage.records.leftovers import version_of
from app.storage.records.page_marks import mark_of_removal
from app.storage.records.postings import postings
from app.storage.records.rows import InstanceRow, SeriesRow, StudyRow
from app.storage.table import keys
from app.storage.table.batch import Cost, cost, grouped, write_atomically
from app.storage.table.counters import SequenceCounter
from app.storage.table.partitions import Partition
from app.storage.table.ports import Change, Delete, Holds, Key, Table

_OTHER_CHANGES: Final = 4 + statistics.CHANGES
"""Changes of a write beside its instances: those of a series row, a study row and a deletion record, which the caller
may add, and the statistics of the partition."""


def removal_changes(row: InstanceRow, delay: int = 0) -> dict[Key, Change]:
    """Return the changes that remove an instance, without its feed entry.

    They delete the row, its postings, its tag errors and the documents of all versions, and queue the blobs of all
    versions for removal after `delay` seconds.
    """
    versions = [row.with_file(file) for file in row.files]
    gone = [*(key for each in versions for key in documents.keys_of(each)), *postings(row)]
    gone += [keys.tag_error(*error) for error in row.errors.items()]
    queued = [sweep.queue_removal(version_of(each), delay) for each in versions]
    return {
        **{key: Delete(key) for key in gone},
        row.key: Delete(row.key, Holds("revision", row.revision)),
        **{each.key: each for each in queued},
    }


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
        """Remove instances and append their Delete entries to the feed, with the changes `also`, in one write.

        Raises `Conflict` if one of the rows was written since it was read. A kill -9 before the write leaves a gap in
        the feed, which the readers of the feed close.
        """
        removed: dict[Key, Change] = {}
        for row in rows:
            removed |= removal_changes(row, self._delay)
        numbers = self._numbers.reserve(len(rows))
        time = self._feed.time_of_new_entries()
        entries = self._feed.changes(partition, zip(numbers, rows, strict=True), "Delete", time)
        contents = Contents(0, -len(rows), -sum(stored_size(row) for row in rows))
        gone = statistics.additions(partition, contents, rows[0].watermark)
        try:
            write_atomically(self._table, [*removed.values(), *entries, *also, *gone])
        except Conflict:
            self._feed.close_gaps(numbers)
            raise

    def remove_parent(self, partition: Partition, row: StudyRow | SeriesRow) -> None:
        """Remove a study or series row with its postings, and mark a study.

        Raises `Conflict` if the row was written since it was read.
        """
        gone = statistics.additions(partition, Contents(-1, 0, 0), row.created) if isinstance(row, StudyRow) else []
        write_atomically(
            self._table,
            [
                Delete(row.key, closing.unchanged(row)),
                *(Delete(key) for key in postings(row)),
                *gone,
                *mark_of_removal(row),
            ],
        )


def _cost(row: InstanceRow) -> Cost:
    """Return what the removal of an instance takes of a transaction, with its feed entry."""
    changes, size = cost(removal_changes(row).values())
    return Cost(changes + ITEMS_PER_ENTRY, size)
