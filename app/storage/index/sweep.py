"""Blobs that may have to go: those written before any row vouches for them, and those of deleted versions.

One kind of record serves both: "when due, remove this blob unless its instance's row vouches for it". A record is
written *before* a blob is stored (an intent) and together with the write that deletes a row; so no crash leaks a blob.
A record is *taken* before its blob is removed, and a store's commit expects its intent not to be taken: a commit that
comes too late fails instead of naming a removed blob.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

from msgspec.structs import replace

from app.errors import Conflict, StorageError
from app.storage.records.rows import InstanceRow
from app.storage.table import clock, keys
from app.storage.table.batch import UnfinishedPostings, cost, grouped
from app.storage.table.codec import Record, decode, encode
from app.storage.table.partitions import Partition
from app.storage.table.ports import (
    Absent,
    BlobStore,
    Change,
    Delete,
    Expectation,
    Holds,
    Item,
    Key,
    Put,
    Require,
    Table,
)

INTENT_SECONDS: Final = 3600
"""How long a store may take from its first blob to its commit."""

TIDY_SECONDS: Final = 300
"""When a deletion is looked at again: far beyond the end of any request that was under way."""

MAX_RETRIES: Final = 5
RETRY_SECONDS: Final = 86_400
_BATCH: Final = 100

EntriesOf = Callable[[Item], Collection[Key]]
"""Returns the keys of the postings that a stored row has."""


class InstanceVersion(Record, frozen=True, kw_only=True):
    """One version of an instance, as its blob is named.

    `watermark` is in the keys of its documents if the sweep must remove these with the blob. It is 0 if they are removed
    with the row.
    """

    partition: int
    study: str
    series: str
    instance: str
    version: str
    watermark: int = 0

    @property
    def blob(self) -> str:
        return keys.blob(self.partition, self.study, self.series, self.instance, self.version)


class BlobRecord(InstanceVersion, frozen=True, kw_only=True):
    """The sweep record of a blob. `taken` is 1 once a sweep is about to remove it, `retries` counts failed removals."""

    taken: int
    retries: int


class StudyRecord(Record, frozen=True, kw_only=True):
    """The sweep record of a study in which something was deleted; `name` is that of the partition."""

    partition: int
    name: str
    study: str


def version_of(row: InstanceRow) -> InstanceVersion:
    """Return the current version of an instance."""
    return InstanceVersion(
        partition=row.partition, study=row.study, series=row.series, instance=row.instance, version=row.version
    )


def intent(version: InstanceVersion) -> Item:
    """Return the record that must be written before the blob of this version is."""
    return _record(version, int(clock.now()) + INTENT_SECONDS)


def removal(version: InstanceVersion, delay: int) -> Change:
    """Return the change that queues the blob of a deleted version for removal after `delay` seconds."""
    return Put(_record(version, int(clock.now()) + delay))


def fulfilled(record: Key) -> Change:
    """Return the change that drops an intent as its instance comes to exist; it fails if the intent was taken."""
    return Delete(record, Holds("taken", 0))


def tidying(partition: Partition, study: str) -> Change:
    """Return the change that has a study looked at after a deletion in it: finished if cut short, and cleaned."""
    key = keys.sweep(int(clock.now()) + TIDY_SECONDS, f"{partition.key}/{study}")
    record = StudyRecord(partition=partition.key, name=partition.name, study=study)
    return Put(Item(key, encode(record)))


def _record(version: InstanceVersion, due: int, retries: int = 0) -> Item:
    record = BlobRecord(
        partition=version.partition,
        study=version.study,
        series=version.series,
        instance=version.instance,
        version=version.version,
        watermark=version.watermark,
        taken=0,
        retries=retries,
    )
    return Item(keys.sweep(due, version.blob), encode(record))


class Sweep:
    """Works off due records, a batch at a time. Any number may run at once: every step may be repeated.

    `current` tells the versions that an instance's row vouches for; `tidy` finishes the deletions of a study.
    `entries_of` has a function for each family of rows (`keys.family`).
    """

    def __init__(
        self,
        table: Table,
        blobs: BlobStore,
        current: Callable[[InstanceVersion], Iterable[str]],
        tidy: Callable[[Partition, str], None],
        entries_of: Mapping[str, EntriesOf],
    ) -> None:
        self._table = table
        self._blobs = blobs
        self._current = current
        self._tidy = tidy
        self._entries_of = entries_of

    def run_once(self, now: float) -> int:
        """Work off up to a hundred due records; return how many. What fails is due again later."""
        due = list(self._table.query(keys.SWEEP, keys.due_by(int(now)), limit=_BATCH))
        for record in due:
            try:
                self._work(record)
            except StorageError:
                self._postpone(record, int(now))
        return len(due)

    def _work(self, record: Item) -> None:
        unfinished = UnfinishedPostings.of(record)
        if unfinished:
            self._remove_postings(unfinished, record)
            return
        if "version" not in record.fields:
            study = decode(StudyRecord, record.fields)
            self._tidy(Partition(key=study.partition, name=study.name, created=""), study.study)
            self._table.write(Delete(record.key))
            return
        version = decode(BlobRecord, record.fields)
        try:
            self._table.write(Put(Item(record.key, encode(replace(version, taken=1))), Holds("taken", version.taken)))
        except Conflict:
            return  # fulfilled, or in another worker's hands
        if version.version not in self._current(version):
            self._blobs.delete(keys.files(version.blob))
            self._forget(version)
        self._table.write(Delete(record.key))

    def _remove_postings(self, unfinished: UnfinishedPostings, record: Item) -> None:
        """Remove those of the postings that no row has. A kill -9 in it leaves the record, which is due again.

        Raises `Conflict` if a writer changed a row meanwhile: it may have given the row one of the postings again.
        """
        rows = dict(zip(unfinished.rows, self._table.get_many(unfinished.rows), strict=True))
        unchanged = [Require(key, _unchanged(item)) for key, item in rows.items()]
        kept = {entry for key, item in rows.items() if item for entry in self._entries_of[keys.family(key)](item)}
        gone = [Delete(key) for key in unfinished.postings if key not in kept]
        for group in grouped([*gone, Delete(record.key)], lambda change: cost([change]), reserved=len(unchanged)):
            self._table.write(*unchanged, *group)

    def _forget(self, version: InstanceVersion) -> None:
        if version.watermark:
            at = (version.partition, version.study, version.watermark)
            self._table.write(Delete(keys.metadata(*at)), Delete(keys.frames(*at)))

    def _postpone(self, record: Item, now: int) -> None:
        """Make a failed removal due a day later, five times; then leave it in place a year ahead for an operator.

        A study that could not be tidied, and postings that could not be removed, are due again minutes later, for ever.
        """
        if "version" not in record.fields:
            due = keys.sweep(now + TIDY_SECONDS, record.key.sk.partition("/")[2])
            self._table.write(Delete(record.key), Put(Item(due, record.fields, record.data)))
            return
        version = decode(BlobRecord, record.fields)
        retries = version.retries + 1
        wait = RETRY_SECONDS if retries <= MAX_RETRIES else 365 * RETRY_SECONDS
        self._table.write(Delete(record.key), Put(_record(version, now + wait, retries)))


def _unchanged(row: Item | None) -> Expectation:
    return Holds("revision", row.fields["revision"]) if row else Absent()
