"""The worker step of the sweep: it processes the records that are due (`storage/index/sweep.py`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

from msgspec.structs import replace

from app.errors import Conflict, StorageError
from app.storage.index.sweep import (
    BlobRecord,
    Deletion,
    blob_record,
    deletion_record,
    queue_cleanup,
)
from app.storage.records.leftovers import InstanceVersion
from app.storage.table import clock, keys
from app.storage.table.batch import UnfinishedPostings, cost, grouped
from app.storage.table.codec import decode, encode
from app.storage.table.ports import (
    Absent,
    BlobStore,
    Delete,
    Expectation,
    Holds,
    Item,
    Key,
    Present,
    Put,
    Require,
    Table,
)

LEASE_SECONDS: Final = 60
"""How long one worker has a deletion record for itself. After a failure or a kill, the record is due again then."""

MAX_RETRIES: Final = 5
RETRY_SECONDS: Final = 86_400
_BATCH: Final = 100

EntriesOf = Callable[[Item], Collection[Key]]
"""Returns the keys of the postings that a stored row has."""


class Sweep:
    """Processes due records in batches. Any number of workers may run at once, because every step may be repeated.

    `referenced` returns the versions that the row of an instance names. `clean_up` removes some of the rows of a
    deletion; it returns the deletion with its new position, or None when nothing is left. `entries_of` has a function
    for each family of rows (`keys.family`).
    """

    def __init__(
        self,
        table: Table,
        blobs: BlobStore,
        *,
        referenced: Callable[[InstanceVersion], Iterable[str]],
        clean_up: Callable[[Deletion], Deletion | None],
        entries_of: Mapping[str, EntriesOf],
    ) -> None:
        self._table = table
        self._blobs = blobs
        self._referenced = referenced
        self._clean_up = clean_up
        self._entries_of = entries_of

    def run_once(self, now: float) -> int:
        """Process up to a hundred records that are due at `now`; return their number.

        A record that fails is due again later, so it does not delay the others.
        """
        due = list(self._table.query(keys.SWEEP, keys.due_by(int(now)), limit=_BATCH))
        for record in due:
            if unfinished := UnfinishedPostings.of(record):
                self._process_postings(unfinished, record, int(now))
            elif "version" in record.fields:
                self._process_blob(record, int(now))
            else:
                self._process_deletion(record)
        return len(due)

    def _process_deletion(self, record: Item) -> None:
        """Do one step of a cleanup. Before it, the record moves to the end of a lease.

        So one worker has it at a time, and a kill -9 or a failure in the step leaves a record that is due again. A kill
        after the step repeats the step, which finds nothing to do.
        """
        deletion = decode(Deletion, record.fields)
        leased = deletion_record(deletion, int(clock.now()) + LEASE_SECONDS)
        try:
            self._table.write(Delete(record.key, Present()), Put(leased))
        except Conflict:
            return  # another worker has it
        try:
            rest = self._clean_up(deletion)
        except StorageError:
            return
        self._table.write(Delete(leased.key), *([queue_cleanup(rest, 0)] if rest else []))

    def _process_postings(self, unfinished: UnfinishedPostings, record: Item, now: int) -> None:
        """Remove the postings that no row has. A kill -9 at any point leaves the record, which is still due."""
        try:
            self._remove_postings(unfinished, record)
        except StorageError:
            due = keys.sweep(now + LEASE_SECONDS, record.key.sk.partition("/")[2])
            self._table.write(Delete(record.key), Put(Item(due, record.fields, record.data)))

    def _remove_postings(self, unfinished: UnfinishedPostings, record: Item) -> None:
        """Remove postings in writes that expect the rows to be unchanged, and the record with the last of them.

        Raises `Conflict` if a row was written since it was read: the row may have one of the postings again.
        """
        rows = dict(zip(unfinished.rows, self._table.get_many(unfinished.rows), strict=True))
        unchanged = [Require(key, _unchanged(item)) for key, item in rows.items()]
        kept = {entry for key, item in rows.items() if item for entry in self._entries_of[keys.family(key)](item)}
        gone = [Delete(key) for key in unfinished.postings if key not in kept]
        for group in grouped([*gone, Delete(record.key)], lambda change: cost([change]), reserved=len(unchanged)):
            self._table.write(*unchanged, *group)

    def _process_blob(self, record: Item, now: int) -> None:
        try:
            self._remove_blob(record)
        except StorageError:
            self._retry_later(record, now)

    def _remove_blob(self, record: Item) -> None:
        """Remove a blob that no row names, and its record last. A kill -9 at any point leaves the record."""
        version = decode(BlobRecord, record.fields)
        try:
            self._table.write(Put(Item(record.key, encode(replace(version, taken=1))), Holds("taken", version.taken)))
        except Conflict:
            return  # the intent was dropped by its store, or another worker has removed the record
        if version.version not in self._referenced(version):
            self._blobs.delete(keys.files(version.blob))
            self._delete_documents(version)
        self._table.write(Delete(record.key))

    def _delete_documents(self, version: InstanceVersion) -> None:
        if version.watermark:
            at = (version.partition, version.study, version.watermark)
            self._table.write(Delete(keys.metadata(*at)), Delete(keys.frames(*at)))

    def _retry_later(self, record: Item, now: int) -> None:
        """Make a failed removal due a day later, five times. After that it is due in a year, for an operator to see."""
        version = decode(BlobRecord, record.fields)
        retries = version.retries + 1
        wait = RETRY_SECONDS if retries <= MAX_RETRIES else 365 * RETRY_SECONDS
        self._table.write(Delete(record.key), Put(blob_record(version, now + wait, retries)))


def _unchanged(row: Item | None) -> Expectation:
    return Holds("revision", row.fields["revision"]) if row else Absent()
