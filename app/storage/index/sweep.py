"""The records of the sweep: work that is due later. `storage/index/sweep_worker.py` does it.

There are three kinds of records:

* A *blob record* says: when it is due, remove the blob of this version, unless the row of its instance names the
  version. It is written before a blob is stored (then it is called an intent) and together with the write that deletes
  a row. So no crash leaves a blob that nothing will remove.
* A *deletion record* says: when it is due, remove what is left of a deleted study or series
  (`storage/index/cleanup.py`). It is written together with the write that closes the study or series. So no crash
  leaves hidden rows for ever.
* A *record of unfinished postings* says: when it is due, remove those of these postings that no row has
  (`storage/table/batch.py`).

The worker marks a blob record as `taken` before it removes the blob, and the write that makes an instance exist expects
that its intent is not taken. So a store that is too late fails. It cannot create a row that names a removed blob.
"""

from __future__ import annotations

import uuid
from typing import Final

from app.storage.records.leftovers import InstanceVersion
from app.storage.table import clock, keys
from app.storage.table.codec import Record, encode, stored_as
from app.storage.table.partitions import Partition
from app.storage.table.ports import Change, Delete, Holds, Item, Key, Put

INTENT_SECONDS: Final = 3600
"""The longest time from the first blob of a store to the write that makes its instance exist."""

CLEANUP_SECONDS: Final = 300
"""After so many seconds a deletion is checked again. Every request that began before the deletion has ended by then."""


class BlobRecord(InstanceVersion, frozen=True, kw_only=True):
    """The fields of a blob record. `taken` is 1 when the worker is about to remove the blob.

    `retries` is how often the removal has failed.
    """

    taken: int
    retries: int


class Deletion(Record, frozen=True, kw_only=True):
    """The deletion of a study or of one series. Its rows are hidden, and some of them are not removed yet.

    These are also the fields of a deletion record. `series` is empty for a whole study. `after` is the sort key of the
    last row that the cleanup has processed. `counted` is as in `Partition`.
    """

    partition_key: int = stored_as("partition")
    partition_name: str = stored_as("name")
    study: str
    series: str = ""
    after: str = ""
    counted: bool = False

    @property
    def partition(self) -> Partition:
        return Partition(key=self.partition_key, name=self.partition_name, created="", counted=self.counted)


def deletion_of(partition: Partition, study: str, series: str = "") -> Deletion:
    """Return the deletion of a study or series, from its beginning."""
    return Deletion(
        partition_key=partition.key,
        partition_name=partition.name,
        study=study,
        series=series,
        counted=partition.counted,
    )


def intent(version: InstanceVersion) -> Item:
    """Return the record that must be written before the blob of this version is stored."""
    return blob_record(version, int(clock.now()) + INTENT_SECONDS)


def queue_removal(version: InstanceVersion, delay: int) -> Change:
    """Return the change by which the sweep removes the blob of a deleted version after `delay` seconds."""
    return Put(blob_record(version, int(clock.now()) + delay))


def drop_intent(record: Key) -> Change:
    """Return the change that removes an intent as its instance comes to exist. It conflicts if the intent is taken."""
    return Delete(record, Holds("taken", 0))


def queue_cleanup(deletion: Deletion, delay: int) -> Change:
    """Return the change by which the sweep continues a deletion after `delay` seconds."""
    return Put(deletion_record(deletion, int(clock.now()) + delay))


def blob_record(version: InstanceVersion, due: int, retries: int = 0) -> Item:
    """Return the record of a blob; `retries` is how often its removal has failed."""
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


def deletion_record(deletion: Deletion, due: int) -> Item:
    """Return a record of a deletion. Its key is unique, because two deletions of a study can be due at one second."""
    name = f"{deletion.partition_key}/{deletion.study}/{uuid.uuid4().hex}"
    return Item(keys.sweep(due, name), encode(deletion))
