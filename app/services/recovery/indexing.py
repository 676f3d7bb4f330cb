"""Makes instances exist whose files are stored already, under the names that the files have.

The rows, postings, documents and feed entries are those of a store. An instance with several versions was updated: the
newest version is the current one, and the oldest one is the original (conformance §12.6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

from msgspec.structs import replace

from app.services.recovery.file_examination import ExaminedFile
from app.storage.feed.log import CommitLog, CommittedEntry
from app.storage.index.writer import IndexWriter, Refusal
from app.storage.records import documents
from app.storage.records.contents import Contents
from app.storage.records.file_versions import FileVersion
from app.storage.records.row_changes import replace_row
from app.storage.records.snapshot import Uids
from app.storage.table.batch import write_atomically
from app.storage.table.counters import WatermarkCounter
from app.storage.table.partitions import Partition
from app.storage.table.ports import BlobStore, Put, Table
from app.storage.table.retry import retry


class FoundInstance(NamedTuple):
    """The files of an instance that are to be indexed. `original` is None if there is one version."""

    current: ExaminedFile
    original: ExaminedFile | None

    @property
    def uids(self) -> Uids:
        version = self.current.version
        return version.study, version.series, version.instance


@dataclass(slots=True)
class Indexed:
    """The outcome of a batch: how many instances exist now, and the refusals."""

    created: int = 0
    updated: int = 0
    existing: int = 0
    refused: list[tuple[FoundInstance, Refusal]] = field(default_factory=list)


class Indexing:
    """Indexes stored files."""

    def __init__(
        self,
        table: Table,
        blobs: BlobStore,
        *,
        writer: IndexWriter,
        numbers: WatermarkCounter,
        log: CommitLog,
    ) -> None:
        self._table = table
        self._blobs = blobs
        self._writer = writer
        self._numbers = numbers
        self._log = log

    def index(self, partition: Partition, found: Sequence[FoundInstance]) -> Indexed:
        """Make instances of one partition exist, as many as one commit takes. Those that exist stay as they are.

        A kill -9 leaves some of them, complete, or without their original version. Another call completes them.
        """
        snapshot = self._writer.read_rows(partition, [each.uids for each in found])
        new = [each for each in found if not snapshot.exists(each.uids)]
        outcome = Indexed(existing=len(found) - len(new))
        for file in filter(None, chain.from_iterable(found)):
            documents.put_large(self._blobs, file.version.blob, file.examined.metadata, file.examined.frames)
        instances = [each.current.new_instance() for each in new]
        opened = self._writer.open(partition, instances, snapshot, files_stay=True)
        results = self._writer.commit(partition, opened, [True] * len(instances))
        rows = {uids: row for uids, row in snapshot.instances.items() if snapshot.exists(uids)}
        for each, result in zip(new, results, strict=True):
            if isinstance(result, Refusal):
                outcome.refused.append((each, result))
            elif result:
                rows[each.uids] = result
                outcome.created += 1
        for each in found:
            row = rows.get(each.uids)
            if each.original and row and row.original is None and row.version == each.current.version.version:
                retry(lambda each=each: self._add_original(partition, each))  # type: ignore[misc]  # bound here
                outcome.updated += 1
        return outcome

    def _add_original(self, partition: Partition, found: FoundInstance) -> None:
        """Give an instance its original version, as a bulk update leaves it. Raises `Conflict` to be repeated.

        The watermark of the store stays with the original version, because postings are ordered by it. The statistics
        of a partition have the sizes of original versions.
        """
        original = found.original
        row = self._writer.read_rows(partition, [found.uids]).instances[found.uids]
        if original is None or row.original is not None:
            return
        (number,) = self._numbers.reserve(1)
        first = _file_version(original, row.watermark)
        updated = replace(row, watermark=number, original=first, revision=row.revision + 1)
        stored = Contents(0, 0, original.size - row.size)
        record = self._log.committed(partition, [CommittedEntry.of(updated, "Update")], stored)
        puts = [
            *documents.items_of(row.with_file(first), original.examined.metadata, original.examined.frames),
            *documents.items_of(updated, found.current.examined.metadata, found.current.examined.frames),
        ]
        write_atomically(self._table, [*replace_row(row, updated), *map(Put, puts), record])


def _file_version(file: ExaminedFile, watermark: int) -> FileVersion:
    return FileVersion(
        watermark=watermark,
        version=file.version.version,
        size=file.size,
        native=file.examined.native,
        digest=file.digest,
    )
