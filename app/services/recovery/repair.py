"""Mends the faults that can be mended without loss. Each write expects the rows that it was computed from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog
from msgspec.structs import replace

from app.errors import NotFound, StorageError
from app.services.recovery.file_examination import ExaminedFile, UnreadableFile
from app.services.recovery.findings import Fault, FaultKind
from app.services.recovery.item_checks import documents_beside, items_of_row, row_of
from app.storage.feed.log import CommitLog, CommittedEntry
from app.storage.index import sweep
from app.storage.index.counts import InstanceCounts
from app.storage.index.leftovers_removal import LeftoversRemoval
from app.storage.index.removal import InstanceRemoval
from app.storage.records import documents
from app.storage.records.contents import Contents
from app.storage.records.leftovers import InstanceVersion, Leftovers, version_of
from app.storage.records.partition_objects import PartitionObjects
from app.storage.records.rows import InstanceRow, SeriesRow
from app.storage.table import clock, keys
from app.storage.table.partitions import Partition, Partitions
from app.storage.table.ports import Add, BlobStore, Delete, Holds, Key, Put, Require, Table

_logger = structlog.get_logger("bulkhead.recovery")

GRACE_SECONDS: Final = 86_400
"""How long an orphan blob stays after it was found, unless the settings say longer."""

LOST: Final = frozenset((FaultKind.LOST_FILE, FaultKind.WRONG_SIZE, FaultKind.WRONG_DIGEST))
"""Faults that only the deletion of the instance ends."""


class Repair:
    """Mends faults.

    `examine` reads a file as a store does. `delete_lost` lets it delete instances whose current file is lost. `grace`
    is in seconds: so long orphan blobs stay.
    """

    def __init__(
        self,
        *,
        table: Table,
        blobs: BlobStore,
        partitions: Partitions,
        objects: PartitionObjects,
        examine: Callable[[InstanceVersion], ExaminedFile | UnreadableFile],
        leftovers: LeftoversRemoval,
        removal: InstanceRemoval,
        log: CommitLog,
        grace: int = GRACE_SECONDS,
        delete_lost: bool = False,
    ) -> None:
        self._table = table
        self._blobs = blobs
        self._partitions = partitions
        self._objects = objects
        self._examine = examine
        self._leftovers = leftovers
        self._removal = removal
        self._log = log
        self._counts = InstanceCounts(table)
        self._grace = grace
        self._by_kind: Mapping[FaultKind, Callable[[Fault], bool]] = {
            FaultKind.ORPHAN_BLOB: self._queue_blob,
            FaultKind.ORPHAN_DOCUMENT: self._delete_document,
            FaultKind.ORPHAN_POSTING: self._delete_posting,
            FaultKind.LOST_POSTING: self._write_posting,
            FaultKind.LOST_METADATA: self._write_documents,
            FaultKind.LOST_FRAMES: self._write_documents,
            FaultKind.NO_CREATE_ENTRY: self._record_creation,
            FaultKind.WRONG_COUNT: self._count_again,
            FaultKind.WRONG_STATISTICS: self._correct_statistics,
            FaultKind.LOST_PARTITION: self._name_partition,
            **(dict.fromkeys(LOST, self._delete_instance) if delete_lost else {}),
        }

    def __call__(self, faults: Sequence[Fault]) -> list[Fault]:
        """Return those of the faults that are mended. A kill -9 leaves some of them mended."""
        return [fault for fault in faults if self._mend(fault)]

    def _mend(self, fault: Fault) -> bool:
        mend = self._by_kind.get(fault.kind)
        try:
            return bool(mend and mend(fault))
        except (StorageError, NotFound) as error:
            _logger.warning("fault not mended", reason=str(error), **fault.as_json())
            return False

    # --- what is left over ---

    def _queue_blob(self, fault: Fault) -> bool:
        """Queue the removal of a blob. The sweep looks once more whether a row names it."""
        version = InstanceVersion(
            partition=fault.partition,
            study=fault.study,
            series=fault.series,
            instance=fault.instance,
            version=fault.version,
        )
        self._table.write(sweep.queue_removal(Leftovers(versions=(version,)), self._grace))
        return True

    def _delete_document(self, fault: Fault) -> bool:
        """Delete a document, and the frame table of the same version. No row can name it later: its watermark is used
        once."""
        assert fault.target is not None  # noqa: S101 - every orphan document has a key
        self._table.write_each(Delete(key) for key in documents_beside(fault.target))
        return True

    def _delete_posting(self, fault: Fault) -> bool:
        item = self._table.get(fault.target) if fault.target else None
        if item:
            self._leftovers.remove_postings([row_of(item)], [item.key])
        return True

    # --- what is missing ---

    def _write_posting(self, fault: Fault) -> bool:
        """Write a posting of a row, on the condition that the row is unchanged. An error of a tag cannot be written."""
        row = self._table.get(_row_key(fault))
        posting = items_of_row(row).get(fault.target) if row and fault.target else None
        if row is None or posting is None:
            return False
        self._table.write(Require(row.key, Holds("revision", row.fields["revision"])), Put(posting))
        return True

    def _write_documents(self, fault: Fault) -> bool:
        """Write the documents of a version again, from the bytes of its file."""
        row = self._instance(fault)
        file = next((each for each in row.files if each.version == fault.version), None) if row else None
        if row is None or file is None:
            return False
        version = row.with_file(file)
        examined = self._examine(version_of(version))
        if isinstance(examined, UnreadableFile):
            _logger.warning("fault not mended", reason=examined.reason, **fault.as_json())
            return False
        metadata, frames = examined.examined.metadata, examined.examined.frames
        documents.put_large(self._blobs, version.blob, metadata, frames)
        items = documents.items_of(version, metadata, frames)
        self._table.write(Require(row.key, Holds("revision", row.revision)), *map(Put, items))
        return True

    def _name_partition(self, fault: Fault) -> bool:
        """Put a partition into the list again, with the name that its object has, or with a generated one."""
        named = next((each for each in self._objects.listed() if each.key == fault.partition), None)
        created = clock.timestamp(clock.now())
        partition = named or Partition(
            key=fault.partition, name=f"recovered-{fault.partition}", created=created, counted=True
        )
        return self._partitions.restore(partition).key == fault.partition

    def _record_creation(self, fault: Fault) -> bool:
        """Append a Create entry to the change feed, on the condition that the row is unchanged."""
        row, partition = self._instance(fault), self._partition(fault)
        if row is None or partition is None:
            return False
        entry = CommittedEntry.of(row.with_original_file, "Create")
        record = self._log.committed(partition, [entry], Contents(0, 0, 0))
        self._table.write(Require(row.key, Holds("revision", row.revision)), record)
        return True

    # --- numbers ---

    def _count_again(self, fault: Fault) -> bool:
        """Correct the number of instances of a series, if nothing was stored in it meanwhile."""
        item = self._table.get(keys.series(fault.partition, fault.study, fault.series))
        if item is None:
            return False
        row = SeriesRow.of(item, fault.partition, fault.study)
        (before,) = self._counts.of_series([row])
        pk = keys.study_items(row.partition, row.study)
        instances = self._table.query(pk, keys.instances_of(row.series))
        number = sum(1 for each in instances if each.fields["of_series"] == row.created)
        if row.counted is None or self._counts.of_series([row]) != [before]:
            return False
        corrected = replace(row, counted=row.counted + number - before, revision=row.revision + 1)
        self._table.write(Put(corrected.item, Holds("revision", row.revision)))
        return True

    def _correct_statistics(self, fault: Fault) -> bool:
        """Add the difference to the statistics of a partition. The subject has what the rows and the statistics say."""
        numbers = list(map(int, fault.subject.at[1:]))
        of_rows, stated = Contents(*numbers[:3]), Contents(*numbers[3:])
        difference = {name: getattr(of_rows, name) - getattr(stated, name) for name in Contents._fields}
        self._table.write(Add(keys.statistics(fault.partition, 0), difference))
        return True

    # --- what is lost ---

    def _delete_instance(self, fault: Fault) -> bool:
        """Delete an instance whose current file is lost. It gets its Delete entry in the change feed."""
        row, partition = self._instance(fault), self._partition(fault)
        if row is None or partition is None or row.version != fault.version:
            return False
        self._removal.delete(partition, fault.study, fault.series, fault.instance)
        return True

    def _partition(self, fault: Fault) -> Partition | None:
        return next((each for each in self._partitions.listed() if each.key == fault.partition), None)

    def _instance(self, fault: Fault) -> InstanceRow | None:
        item = self._table.get(keys.instance(fault.partition, fault.study, fault.series, fault.instance))
        return InstanceRow.of(item, fault.partition, fault.study) if item else None


def _row_key(fault: Fault) -> Key:
    """Return the key of the row that a missing posting belongs to."""
    if not fault.study:
        return keys.workitem(fault.partition, fault.instance)
    if fault.instance:
        return keys.instance(fault.partition, fault.study, fault.series, fault.instance)
    if fault.series:
        return keys.series(fault.partition, fault.study, fault.series)
    return keys.study(fault.partition, fault.study)
