"""The writes that make several instances exist, computed from rows that were read before.

Rows are written in one transaction. Each expects the revision that was read. If another writer was faster, the whole
transaction conflicts. Documents and new postings are written before it. They have no expectation: a document has a
watermark of its own in its key, and a posting without a row is ignored. `leftovers` names them.

A posting that a study or series row loses is removed in the transaction, because another writer may be about to give
the row the same posting again.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import msgspec
import orjson
from msgspec.structs import replace

from app.dicom.json.dataset import JsonAttributes
from app.dicom.query import query_tag_values
from app.dicom.query.canonical import canonical_values
from app.dicom.validation.attributes import CORE, MODALITY, Level
from app.storage.index import closing, counts
from app.storage.records import documents
from app.storage.records.contents import Contents
from app.storage.records.leftovers import InstanceVersion, Leftovers
from app.storage.records.packed_documents import unpack
from app.storage.records.posted_values import PostedValues, united
from app.storage.records.postings import leftovers_of
from app.storage.records.row_changes import RowChanges, replace_row
from app.storage.records.rows import (
    IndexRow,
    InstanceRow,
    SeriesRow,
    StudyRow,
    first_revision,
    is_visible_series,
    merged,
)
from app.storage.records.snapshot import Snapshot, Uids
from app.storage.table import keys
from app.storage.table.partitions import Partition
from app.storage.table.ports import Add, Change, Delete, Key, Put, Require
from app.storage.tags.query_tags import QueryTags


class NewInstance(msgspec.Struct, frozen=True, kw_only=True):
    """An instance whose row is not written yet.

    `version` has the watermark of the row, and the number of parts of its lists. `size` in bytes. `digest` as in
    `FileVersion`. `metadata` and `frames` are packed documents (`storage/records/documents.py`); `frames` is empty if
    there is no frame table. `native` as in `InstanceRow`. `attributes` holds the searchable attributes by level, and
    `tags` the keys of the extended query tags that they include. `posted` is as in `posted_values`.
    """

    version: InstanceVersion
    sop_class: str
    transfer_syntax: str
    size: int
    digest: str
    attributes: Mapping[Level, JsonAttributes]
    metadata: bytes
    frames: bytes = b""
    native: tuple[int, ...] = ()
    tags: frozenset[str] = frozenset()
    posted: Mapping[Level, PostedValues] = {}

    @property
    def uids(self) -> Uids:
        return self.version.study, self.version.series, self.version.instance

    def with_watermark(self, watermark: int, shards: int) -> NewInstance:
        """Return the instance with the watermark of its row."""
        return replace(self, version=replace(self.version, watermark=watermark, shards=shards))


def with_tags(new_instance: NewInstance, tags: QueryTags) -> NewInstance:
    """Return the instance with its values of these extended query tags, if it was examined for other ones."""
    if new_instance.tags == tags.keys:
        return new_instance
    dataset = orjson.loads(unpack(new_instance.metadata))
    attributes = {
        level: {tag: element for tag, element in new_instance.attributes[level].items() if tag in CORE}
        | query_tag_values.indexed_values(dataset, tags.extended[level])
        for level in Level
    }
    return replace(new_instance, attributes=attributes, tags=tags.keys)


class WritePlan:
    """Collects the writes of instances.

    Each added instance changes the rows in `snapshot`, so that the next one is computed from the changed rows.
    `created` holds (watermark, row) of the added instances, in order, and `new_instances` the instances themselves.
    The writes are computed when they are first asked for. No instance may be added after that.
    """

    def __init__(self, partition: Partition, snapshot: Snapshot) -> None:
        self.created: list[tuple[int, InstanceRow]] = []
        self.new_instances: list[NewInstance] = []
        self._partition = partition
        self._snapshot = snapshot
        self._rows: dict[Key, IndexRow] = {}  # rows to write, as they are after the store
        self._counted: dict[Key, int] = {}  # what is added to count shards
        self._before: dict[Key, StudyRow | SeriesRow | None] = {}  # rows as they were read

    def add(self, new_instance: NewInstance) -> InstanceRow:
        """Add an instance and return its row."""
        number = new_instance.version.watermark
        old_study, study = self._study(new_instance)
        old_series, series = self._series(new_instance, study)
        if study is old_study and series.created == number:  # a new series; see storage/index/closing.py
            study = replace(study, revision=study.revision + 1)
        is_written = series is not old_series or series.key in self._rows
        if is_written and series.counted is not None:
            series = counts.with_one_more(series)
        else:
            shard = counts.shard(series, self.created[0][0] if self.created else number)
            self._counted[shard] = self._counted.get(shard, 0) + 1
        row = _instance_row(new_instance, study, series)
        for old, new in ((old_study, study), (old_series, series)):
            self._before.setdefault(new.key, old)
            if new is not old:
                self._rows[new.key] = new
        self._rows[row.key] = row
        self._snapshot.studies[study.study] = study
        self._snapshot.series[series.study, series.series] = series
        self._snapshot.instances[new_instance.uids] = row
        self.created.append((number, row))
        self.new_instances.append(new_instance)
        return row

    @property
    def tags(self) -> set[frozenset[str]]:
        """The sets of extended query tags that the instances were examined for."""
        return {each.tags for each in self.new_instances}

    @cached_property
    def _row_changes(self) -> list[RowChanges]:
        return [RowChanges.of(self._before.get(key), row) for key, row in self._rows.items()]

    def changes(self) -> list[Change]:
        """Return the transaction, without the record for the change feed."""
        return [
            *(each.row for each in self._row_changes),
            *(mark for each in self._row_changes for mark in each.mark),
            *(Add(key, {counts.FIELD: number}) for key, number in self._counted.items()),
            *(Delete(key) for each in self._row_changes for key in each.removed),
        ]

    def parents_unchanged(self) -> list[Change]:
        """Return the conditions that the study rows and series rows which are not written are as they were read."""
        return [
            Require(key, closing.unchanged(row)) for key, row in self._before.items() if row and key not in self._rows
        ]

    def before(self) -> list[Put]:
        """Return what is written before the transaction: documents and new postings."""
        created = zip(self.created, self.new_instances, strict=True)
        return [
            *(Put(item) for (_, row), new in created for item in documents.items_of(row, new.metadata, new.frames)),
            *(Put(item) for each in self._row_changes for item in each.postings.values()),
        ]

    def files(self) -> Leftovers:
        """Return what a kill -9 before the transaction leaves if the engine makes the rest all or nothing."""
        return Leftovers(versions=tuple(each.version for each in self.new_instances))

    def leftovers(self) -> Leftovers:
        """Return what a kill -9 before the transaction may leave. The files of the instances are among it."""
        versions = [each.version for each in self.new_instances]
        return leftovers_of(versions, {each.row.key: each.postings for each in self._row_changes})

    def contents(self) -> Contents:
        """Return what the write adds to the partition."""
        new_studies = sum(before is None and key.sk == keys.STUDY for key, before in self._before.items())
        sizes = [each.size for each in self.new_instances]
        return Contents(new_studies, len(sizes), sum(sizes))

    def writes_parents_of(self, row: InstanceRow) -> bool:
        """Return whether the write includes the study row and the series row, so it conflicts with any deletion."""
        return (
            keys.study(row.partition, row.study) in self._rows
            and keys.series(row.partition, row.study, row.series) in self._rows
        )

    def has_same_update(self, study: StudyRow) -> bool:
        """Return whether the study, as read now, is in the state of a bulk update that this plan is computed from."""
        planned = self._snapshot.studies[study.study]
        return (study.update_id, study.writing) == (planned.update_id, planned.writing)

    def study_value_changes(self, new_instance: NewInstance) -> list[Change]:
        """Return the changes that write the study attributes of an existing instance into its study row again."""
        old = self._snapshot.studies[new_instance.version.study]
        new = replace(
            old, attributes=merged(old.attributes, new_instance.attributes[Level.STUDY]), revision=old.revision + 1
        )
        return replace_row(old, new)

    def _study(self, new_instance: NewInstance) -> tuple[StudyRow | None, StudyRow]:
        """Return the study row as read and as it is after the store. It is the same object if nothing changes."""
        uid, number = new_instance.version.study, new_instance.version.watermark
        attributes = new_instance.attributes[Level.STUDY]
        modality = canonical_values(CORE[MODALITY], new_instance.attributes[Level.SERIES].get(MODALITY))
        posted = new_instance.posted.get(Level.STUDY, {})
        old = self._snapshot.studies.get(uid)
        if old is None:
            new = StudyRow(
                partition=self._partition.key,
                study=uid,
                created=number,
                revision=first_revision(number),
                attributes=merged({}, attributes),
                shards=new_instance.version.shards,
            )
            return None, replace(new, modalities=modality, posted=united({}, posted))
        union = merged(old.attributes, attributes)
        posted = united(old.posted, posted)
        modalities = tuple(sorted({*old.modalities, *modality}))
        # While a bulk update writes new versions, every store writes the study row. So the update learns of each
        # store before it publishes the new versions.
        if (union, modalities, posted) == (old.attributes, old.modalities, old.posted) and not old.writing:
            return old, old
        revision = old.revision + 1
        return old, replace(old, attributes=union, modalities=modalities, posted=posted, revision=revision)

    def _series(self, new_instance: NewInstance, study: StudyRow) -> tuple[SeriesRow | None, SeriesRow]:
        """Return the series row as read and as it is after the store. It is the same object if nothing changes."""
        uid, number = new_instance.version.series, new_instance.version.watermark
        attributes = new_instance.attributes[Level.SERIES]
        posted = new_instance.posted.get(Level.SERIES, {})
        old = self._snapshot.series.get((study.study, uid))
        if old is None or not is_visible_series(study, old):
            return old, SeriesRow(
                partition=self._partition.key,
                study=study.study,
                series=uid,
                of_study=study.created,
                created=number,
                revision=first_revision(number),
                attributes=merged({}, attributes),
                counted=0,
                posted=united({}, posted),
                shards=new_instance.version.shards,
            )
        now = old.after_update(study.update_id)
        union = merged(now.attributes, attributes)
        posted = united(old.posted, posted)
        if (union, posted) == (now.attributes, old.posted) and not old.ending:
            return old, old
        return old, replace(now, attributes=union, posted=posted, ending=False, revision=old.revision + 1)


def _instance_row(new_instance: NewInstance, study: StudyRow, series: SeriesRow) -> InstanceRow:
    version = new_instance.version
    return InstanceRow(
        partition=study.partition,
        study=study.study,
        series=series.series,
        instance=version.instance,
        of_study=study.created,
        of_series=series.created,
        watermark=version.watermark,
        version=version.version,
        size=new_instance.size,
        sop_class=new_instance.sop_class,
        transfer_syntax=new_instance.transfer_syntax,
        native=new_instance.native,
        digest=new_instance.digest,
        attributes=merged({}, new_instance.attributes[Level.INSTANCE]),
        revision=first_revision(version.watermark),
        shards=version.shards,
    )
