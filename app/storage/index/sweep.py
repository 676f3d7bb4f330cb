"""The records of the sweep: work that is due later. `storage/index/sweep_worker.py` does it.

There are three kinds of records:

* A *record of leftovers* names files, documents and postings (`records/leftovers.py`). When it is due, the sweep
  removes those that no row names (`leftovers_removal.py`). A bulk update writes it before it leaves anything (then it
  is called an intent, see `intents.py`). A deletion puts it in the transaction that deletes the rows. The open record
  of a store is an intent too, but it is in the log of commits (`feed/log.py`). So no crash leaves anything that nothing
  will remove.
* A *deletion record* says: when it is due, remove what is left of a deleted study or series
  (`storage/index/cleanup.py`). It is written together with the write that closes the study or series. So no crash
  leaves hidden rows for ever.
* A *record of unfinished postings* says: when it is due, remove those of these postings that no row has
  (`storage/table/batch.py`).

The worker marks an intent as `taken` before it removes anything, and the write that makes an instance exist expects
that its intents are not taken. So a store that is too late fails. It cannot create a row that names a removed blob.

Layouts before 4 had *blob records*. Each has one version in its fields, beside `taken` and `retries`.
"""

from __future__ import annotations

import uuid
from typing import Final

import zstandard

from app.storage.records.leftovers import InstanceVersion, Leftovers
from app.storage.table import clock, keys
from app.storage.table.batch import UnfinishedPostings
from app.storage.table.codec import DamagedRecord, Record, decode, encode, stored_as
from app.storage.table.partitions import Partition
from app.storage.table.ports import Change, Delete, Holds, Item, Key, Put

INTENT_SECONDS: Final = 3600
"""The longest time from an intent to the write after which rows name what it names."""

LEFTOVERS: Final = "leftovers"
NEVER_TAKEN: Final = -1

CLEANUP_SECONDS: Final = 300
"""After so many seconds a deletion is checked again. Every request that began before the deletion has ended by then."""


class LeftoversRecord(Record, frozen=True, kw_only=True):
    """The fields of a record of leftovers, which are in `Item.data`.

    `taken` is 0 in an intent, and 1 when the worker is about to remove its leftovers. Other records have -1. `retries`
    is how often the removal has failed.
    """

    kind: str
    taken: int = NEVER_TAKEN
    retries: int = 0


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


def intent(leftovers: Leftovers) -> Item:
    """Return the record that must be written before these leftovers can exist."""
    fields = LeftoversRecord(kind=LEFTOVERS, taken=0)
    return _leftovers_item(leftovers, int(clock.now()) + INTENT_SECONDS, fields)


def drop_intent(record: Key) -> Change:
    """Return the change that removes an intent as its instances come to exist. It conflicts if the intent is taken."""
    return Delete(record, Holds("taken", 0))


def queue_removal(leftovers: Leftovers, delay: int, retries: int = 0, shard: int = 0) -> Put:
    """Return the change by which the sweep removes leftovers after `delay` seconds."""
    fields = LeftoversRecord(kind=LEFTOVERS, retries=retries)
    return Put(_leftovers_item(leftovers, int(clock.now()) + delay, fields, shard))


def work_of(record: Item) -> Leftovers | UnfinishedPostings | Deletion | None:
    """Return what a record of the sweep, or an open record of the log of commits, says. None if it cannot be read."""
    try:
        if keys.is_logged(record.key) or record.fields.get("kind") == LEFTOVERS:
            return Leftovers.unpack(record.data)
        if "version" in record.fields:
            return Leftovers(versions=(decode(InstanceVersion, record.fields),))
        return UnfinishedPostings.of(record) or decode(Deletion, record.fields)
    except (DamagedRecord, ValueError, zstandard.ZstdError):  # ValueError: its JSON is damaged
        return None


def _leftovers_item(leftovers: Leftovers, due: int, fields: LeftoversRecord, shard: int = 0) -> Item:
    return Item(keys.sweep(due, f"{LEFTOVERS}/{uuid.uuid4().hex}", shard), encode(fields), leftovers.pack())


def queue_cleanup(deletion: Deletion, delay: int) -> Change:
    """Return the change by which the sweep continues a deletion after `delay` seconds."""
    return Put(deletion_record(deletion, int(clock.now()) + delay))


def deletion_record(deletion: Deletion, due: int) -> Item:
    """Return a record of a deletion. Its key is unique, because two deletions of a study can be due at one second."""
    name = f"{deletion.partition_key}/{deletion.study}/{uuid.uuid4().hex}"
    return Item(keys.sweep(due, name), encode(deletion))
