"""The changes of one all-or-nothing write that makes several instances exist, computed from rows that were read before.

Each row in the write expects the revision that was read. If another writer was faster, the whole write conflicts.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import orjson
from msgspec.structs import replace

from app.dicom.json.dataset import JsonAttributes
from app.dicom.query import query_tag_values
from app.dicom.query.canonical import canonical_values
from app.dicom.validation.attributes import CORE, MODALITY, Level
from app.storage.feed.entries import ITEMS_PER_ENTRY
from app.storage.index import counts, statistics, sweep
from app.storage.index.statistics import Contents
from app.storage.records import documents
from app.storage.records.leftovers import InstanceVersion
from app.storage.records.packed_documents import unpack
from app.storage.records.page_marks import mark_of_change
from app.storage.records.posted_values import PostedValues, united
from app.storage.records.postings import postings
from app.storage.records.rows import InstanceRow, SeriesRow, StudyRow, first_revision, is_visible_series, merged
from app.storage.records.snapshot import Snapshot, Uids
from app.storage.table import keys
from app.storage.table.batch import Cost, fits
from app.storage.table.partitions import Partition
from app.storage.table.ports import Absent, Add, Change, Delete, Holds, Key, Put
from app.storage.tags.query_tags import QueryTags


class NewInstance(msgspec.Struct, frozen=True, kw_only=True):
    """An instance whose blob is stored and whose row is not written yet.

    `size` in bytes. `digest` as in `FileVersion`. `metadata` and `frames` are packed documents
    (`storage/records/documents.py`); `frames` is empty if there is no frame table. `native` as in `InstanceRow`.
    `intent` is the key of the record that was written before the blob. `attributes` holds the searchable attributes by
    level, and `tags` the keys of the extended query tags that they include. `posted` is as in `posted_values`.
    """

    version: InstanceVersion
    sop_class: str
    transfer_syntax: str
    size: int
    digest: str
    attributes: Mapping[Level, JsonAttributes]
    metadata: bytes
    intent: Key
    frames: bytes = b""
    native: tuple[int, ...] = ()
    tags: frozenset[str] = frozenset()
    posted: Mapping[Level, PostedValues] = {}

    @property
    def uids(self) -> Uids:
        return self.version.study, self.version.series, self.version.instance


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
    """Collects the changes of as many instances as fit in one write.

    Each added instance changes the rows in `snapshot`, so that the next one is computed from the changed rows.
    `shards` is that of new rows (`records/spread_lists.py`). `created` holds (watermark, row) of the added instances,
    in order, and `new_instances` the instances themselves.
    """

    def __init__(self, partition: Partition, snapshot: Snapshot, shards: int = 1) -> None:
        self.created: list[tuple[int, InstanceRow]] = []
        self.new_instances: list[NewInstance] = []
        self._partition = partition
        self._snapshot = snapshot
        self._shards = shards
        self._parts: dict[Key, dict[Key, Change]] = {}  # key of a row -> its changes and those of its postings
        self._before: dict[Key, StudyRow | SeriesRow | None] = {}  # rows as they were read
        self._bytes = 0

    def add(self, new_instance: NewInstance, number: int) -> InstanceRow | None:
        """Add an instance and return its row. Return None if it does not fit; the first instance is always added."""
        old_study, study = self._study(new_instance, number)
        old_series, series = self._series(new_instance, number, study)
        if study is old_study and series.created == number:  # a new series; see storage/index/closing.py
            study = replace(study, revision=study.revision + 1)
        parts: dict[Key, dict[Key, Change]] = {}
        is_written = series is not old_series or series.key in self._parts
        if is_written and series.counted is not None:
            series = counts.with_one_more(series)
        else:
            shard = self._shard(series, number)
            parts[shard.key] = {shard.key: shard}
        row = replace(_instance_row(new_instance, number, study, series), shards=self._shards)
        if study is not old_study:
            parts[study.key] = self._row_changes(old_study, study)
        if series is not old_series:
            parts[series.key] = self._row_changes(old_series, series)
        parts[row.key] = self._instance_changes(new_instance, row)
        parts = self._parts | parts
        size = statistics.CHANGES + sum(map(len, parts.values())) + ITEMS_PER_ENTRY * (len(self.created) + 1)
        in_bytes = self._bytes + len(new_instance.metadata) + len(new_instance.frames)
        if self.created and not fits(Cost(size, in_bytes)):
            return None
        self._parts = parts
        self._bytes = in_bytes
        self._before.setdefault(study.key, old_study)
        self._before.setdefault(series.key, old_series)
        self._snapshot.studies[study.study] = study
        self._snapshot.series[series.study, series.series] = series
        self._snapshot.instances[new_instance.uids] = row
        self.created.append((number, row))
        self.new_instances.append(new_instance)
        return row

    def changes(self) -> list[Change]:
        """Return the changes without the feed entries of `created`."""
        changes = {key: change for part in self._parts.values() for key, change in part.items()}
        return [*changes.values(), *statistics.additions(self._partition, self._contents(), self.created[0][0])]

    def _contents(self) -> Contents:
        """Return what the write adds to the partition."""
        new_studies = sum(before is None and key.sk == keys.STUDY for key, before in self._before.items())
        sizes = [each.size for each in self.new_instances]
        return Contents(new_studies, len(sizes), sum(sizes))

    def writes_parents_of(self, row: InstanceRow) -> bool:
        """Return whether the write includes the study row and the series row, so it conflicts with any deletion."""
        return (
            keys.study(row.partition, row.study) in self._parts
            and keys.series(row.partition, row.study, row.series) in self._parts
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
        return list(self._row_changes(old, new).values())

    def _study(self, new_instance: NewInstance, number: int) -> tuple[StudyRow | None, StudyRow]:
        """Return the study row as read and as it is after the store. It is the same object if nothing changes."""
        uid = new_instance.version.study
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
                shards=self._shards,
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

    def _series(self, new_instance: NewInstance, number: int, study: StudyRow) -> tuple[SeriesRow | None, SeriesRow]:
        """Return the series row as read and as it is after the store. It is the same object if nothing changes."""
        uid = new_instance.version.series
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
                shards=self._shards,
            )
        now = old.after_update(study.update_id)
        union = merged(now.attributes, attributes)
        posted = united(old.posted, posted)
        if (union, posted) == (now.attributes, old.posted) and not old.ending:
            return old, old
        return old, replace(now, attributes=union, posted=posted, ending=False, revision=old.revision + 1)

    def _shard(self, series: SeriesRow, number: int) -> Add:
        """Return the change that counts the instances of this plan, and one more, in one shard of their series."""
        key = counts.shard(series, self.created[0][0] if self.created else number)
        planned = self._parts.get(key, {}).get(key)
        return Add(key, {counts.FIELD: planned.by[counts.FIELD] + 1 if isinstance(planned, Add) else 1})

    def _row_changes(self, old: StudyRow | SeriesRow | None, new: StudyRow | SeriesRow) -> dict[Key, Change]:
        """Return the put of a row, the difference of its postings to those of the row as it was read, and its mark."""
        before = self._before.get(new.key, old)
        now, old_postings = postings(new), postings(before) if before else {}
        return {
            **{key: Delete(key) for key in old_postings if key not in now},
            **{key: Put(item) for key, item in now.items() if key not in old_postings},
            **{each.key: each for each in mark_of_change(before, new, old_postings.keys() ^ now.keys())},
            new.key: Put(new.item, Holds("revision", before.revision) if before else Absent()),
        }

    def _instance_changes(self, new_instance: NewInstance, row: InstanceRow) -> dict[Key, Change]:
        changes: dict[Key, Change] = {row.key: Put(row.item, Absent())}
        added = [documents.metadata_item(row, new_instance.metadata)]
        if new_instance.frames:
            added.append(documents.frames_item(row, new_instance.frames))
        added += postings(row).values()
        changes |= {item.key: Put(item) for item in added}
        changes[new_instance.intent] = sweep.drop_intent(new_instance.intent)  # conflicts if the sweep has taken it
        return changes


def _instance_row(new_instance: NewInstance, number: int, study: StudyRow, series: SeriesRow) -> InstanceRow:
    return InstanceRow(
        partition=study.partition,
        study=study.study,
        series=series.series,
        instance=new_instance.version.instance,
        of_study=study.created,
        of_series=series.created,
        watermark=number,
        version=new_instance.version.version,
        size=new_instance.size,
        sop_class=new_instance.sop_class,
        transfer_syntax=new_instance.transfer_syntax,
        native=new_instance.native,
        digest=new_instance.digest,
        attributes=merged({}, new_instance.attributes[Level.INSTANCE]),
        revision=first_revision(number),
    )
