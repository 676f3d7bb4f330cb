"""Makes the index of an archive again from the blobs alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from app.errors import ConfigurationError
from app.services.parallel import ParallelMap
from app.services.recovery.file_examination import ExaminedFile, UnreadableFile
from app.services.recovery.indexing import FoundInstance, Indexing
from app.services.recovery.item_checks import partition_of
from app.services.recovery.stored_versions import StoredVersions, in_time_order, stored_versions
from app.services.recovery.verification import ShowProgress
from app.storage.records.leftovers import InstanceVersion
from app.storage.records.partition_objects import PartitionObjects
from app.storage.table import clock, keys
from app.storage.table.partitions import Partition, Partitions
from app.storage.table.ports import BlobStore, Delete, Item, Key, Put, Table

_BATCH: Final = 12
"""Instances that are indexed together, as in a store."""

_MAX_LISTED: Final = 1000

LOST: Final = (
    "workitems",
    "extended query tags (add them again: they are indexed from the stored metadata)",
    "grants and tokens (stored ones)",
    "background operations and their results",
    "the positions of consumers of the change feed: its numbers begin at 1",
    "deletions whose files were not removed yet: these instances exist again",
)
"""What the blobs do not have."""


@dataclass(slots=True)
class RebuildReport:
    """What a rebuild made. `unreadable` are the files that are not indexed, with the reason, the first ones alone."""

    instances: int = 0
    existing: int = 0
    updated: int = 0
    partitions: int = 0
    generated_names: list[str] = field(default_factory=list)
    superseded: int = 0
    failures: int = 0
    unreadable: list[dict[str, str]] = field(default_factory=list)

    def fail(self, blob: str, reason: str) -> None:
        self.failures += 1
        if len(self.unreadable) < _MAX_LISTED:
            self.unreadable.append({"blob": blob, "reason": reason})

    def as_json(self) -> dict[str, Any]:
        return {
            "instances": self.instances,
            "existing": self.existing,
            "updated": self.updated,
            "partitions": self.partitions,
            "generatedNames": self.generated_names,
            "supersededVersions": self.superseded,
            "failures": self.failures,
            "unreadable": self.unreadable,
            "notRebuilt": list(LOST),
        }


class _Examined(NamedTuple):
    """The files of one instance after their examination."""

    stored: StoredVersions
    current: ExaminedFile | UnreadableFile
    original: ExaminedFile | UnreadableFile | None


class Rebuild:
    """Makes the index of an archive from its blobs.

    `prefetch` is `map`, or a function like it that examines the next files while the caller writes.
    `folder` is for temporary files, None for the one of the system.
    """

    def __init__(
        self,
        *,
        table: Table,
        blobs: BlobStore,
        partitions: Partitions,
        objects: PartitionObjects,
        examine: Callable[[InstanceVersion], ExaminedFile | UnreadableFile],
        indexing: Indexing,
        prefetch: ParallelMap,
        folder: Path | None,
        show: ShowProgress,
    ) -> None:
        self._table = table
        self._blobs = blobs
        self._partitions = partitions
        self._objects = objects
        self._examine = examine
        self._indexing = indexing
        self._prefetch = prefetch
        self._folder = folder
        self._show = show

    def run(self) -> RebuildReport:
        """Index every file. Raises `ConfigurationError` if the table has rows that no rebuild made.

        A kill -9 at any point leaves a part of the index, and a mark. The next run continues.
        """
        self._begin()
        report = RebuildReport()
        by_key = self.restore_partitions(report)
        self.index_all(self._counted(), by_key, report)
        self._table.write(Delete(keys.REBUILD))
        return report

    def _begin(self) -> None:
        if self._table.get(keys.REBUILD) is None:
            if any(_is_of_instances(item.key) for item in self._table.items()):
                raise ConfigurationError(
                    "The table has rows already. `bulkhead rebuild` makes the index in an empty table. `bulkhead "
                    "restore-check` adds what is missing in a table that has rows."
                )
            self._table.write(Put(Item(keys.REBUILD, {"started": clock.timestamp(clock.now())})))

    def _counted(self) -> Iterator[StoredVersions]:
        """Yield the instances of the blob store while the listing is shown."""
        for number, each in enumerate(stored_versions(self._blobs.listed()), start=1):
            if number % 1000 == 0:
                self._show("listing files", number, None)
            yield each

    # --- partitions ---

    def restore_partitions(self, report: RebuildReport) -> dict[int, Partition]:
        """Create the partitions that objects name. Return those that exist, by key."""
        for partition in self._objects.listed():
            self._partitions.restore(replace(partition, counted=True))
        found = {each.key: each for each in self._partitions.listed()}
        report.partitions = len(found)
        return found

    def _partition(self, key: int, by_key: dict[int, Partition], report: RebuildReport) -> Partition:
        """Return a partition. One that no object names gets a name of its own."""
        if key not in by_key:
            new = Partition(key=key, name=f"recovered-{key}", created=clock.timestamp(clock.now()), counted=True)
            by_key[key] = self._partitions.restore(new)
            report.partitions += 1
            report.generated_names.append(new.name)
            self._objects.write(by_key[key])
        return by_key[key]

    # --- instances ---

    def index_all(
        self, instances: Iterable[StoredVersions], by_key: dict[int, Partition], report: RebuildReport
    ) -> None:
        """Index instances in the order in which they were stored."""
        done = 0
        examined = iter(self._prefetch(self._examine_versions, in_time_order(instances, self._folder)))
        while batch := list(islice(examined, _BATCH)):
            for key in dict.fromkeys(each.stored.partition for each in batch):
                partition = self._partition(key, by_key, report)
                self._index(partition, [each for each in batch if each.stored.partition == key], report)
            done += len(batch)
            self._show("indexing", done, None)

    def _examine_versions(self, stored: StoredVersions) -> _Examined:
        files = stored.files
        current = self._examine(files[-1])
        return _Examined(stored, current, self._examine(files[0]) if len(files) > 1 else None)

    def _index(self, partition: Partition, batch: Sequence[_Examined], report: RebuildReport) -> None:
        found = []
        for each in batch:
            report.superseded += max(len(each.stored.versions) - 2, 0)
            for file in (each.current, each.original):
                if isinstance(file, UnreadableFile):
                    report.fail(file.version.blob, file.reason)
            current, original = each.current, each.original
            if isinstance(current, UnreadableFile):
                current, original = original or current, None  # the other version is all there is
            if isinstance(current, ExaminedFile):
                found.append(FoundInstance(current, original if isinstance(original, ExaminedFile) else None))
        indexed = self._indexing.index(partition, found)
        report.instances += indexed.created
        report.existing += indexed.existing
        report.updated += indexed.updated
        for instance, refusal in indexed.refused:
            report.fail(instance.current.version.blob, f"It was not indexed: {refusal.value}.")


def _is_of_instances(key: Key) -> bool:
    """Return whether an item shows that something was stored. A worker writes a list of pages into an empty table."""
    return partition_of(key) > 0 and not key.pk.endswith(("/statistics", "/pages"))
