"""One all-or-nothing write that makes several instances exist, planned on rows read before."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import orjson
from msgspec.structs import replace

from app.dicom.json.dataset import JsonAttributes
from app.dicom.query import query_tag_values
from app.dicom.query.canonical import canonical_values
from app.dicom.validation.attributes import CORE, MODALITY, Level
from app.storage.feed.change_feed import FEED_ITEMS
from app.storage.index import sweep
from app.storage.records import documents
from app.storage.records.postings import postings
from app.storage.records.rows import InstanceRow, SeriesRow, StudyRow, first_revision, member, merged
from app.storage.records.snapshot import Snapshot, Uids
from app.storage.table import keys
from app.storage.table.batch import Cost, fits
from app.storage.table.partitions import Partition
from app.storage.table.ports import Absent, Change, Delete, Holds, Key, Put
from app.storage.tags.query_tags import QueryTags


class NewInstance(msgspec.Struct, frozen=True, kw_only=True):
    """An instance about to exist. `metadata` and `frames` are packed documents; `native` as in `InstanceRow`.

    `intent` is the record written before its blob was.
    """

    version: sweep.InstanceVersion
    sop_class: str
    transfer_syntax: str
    size: int
    attributes: Mapping[Level, JsonAttributes]
    metadata: bytes
    intent: Key
    frames: bytes = b""
    native: tuple[int, ...] = ()
    tags: frozenset[str] = frozenset()
    """The keys of the extended query tags that `attributes` were looked for under."""

    @property
    def uids(self) -> Uids:
        return self.version.study, self.version.series, self.version.instance


def with_tags(new_instance: NewInstance, tags: QueryTags) -> NewInstance:
    """Return an new_instance with its values of these extended query tags, if it was examined when there were others."""
    if new_instance.tags == tags.keys:
        return new_instance
    dataset = orjson.loads(documents.unpack(new_instance.metadata))
    attributes = {
        level: {tag: element for tag, element in new_instance.attributes[level].items() if tag in CORE}
        | query_tag_values.indexed_values(dataset, tags.extended[level])
        for level in Level
    }
    return replace(new_instance, attributes=attributes, tags=tags.keys)


class Plan:
    """Collects the changes of as many new_instances as fit into one write; carries the snapshot forward as it goes."""

    def __init__(self, partition: Partition, snapshot: Snapshot) -> None:
        self.created: list[tuple[int, InstanceRow]] = []
        self.new_instances: list[NewInstance] = []
        self._partition = partition.key
        self._snapshot = snapshot
        self._parts: dict[Key, dict[Key, Change]] = {}  # row -> what writing it means
        self._before: dict[Key, StudyRow | SeriesRow | None] = {}
        self._bytes = 0

    def add(self, new_instance: NewInstance, number: int) -> InstanceRow | None:
        """Add an new_instance with its watermark; None if the write would grow too large (a first one is always taken)."""
        old_study, study = self._study(new_instance, number)
        old_series, series = self._series(new_instance, number, study)
        if study is old_study and series.created == number:  # see storage/index/closing.py
            study = replace(study, revision=study.revision + 1)
        row = _instance_row(new_instance, number, study, series)
        parts: dict[Key, dict[Key, Change]] = {}
        if study is not old_study:
            parts[study.key] = self._row_changes(old_study, study)
        if series is not old_series:
            parts[series.key] = self._row_changes(old_series, series)
        parts[row.key] = self._instance_changes(new_instance, row)
        parts = self._parts | parts
        size = sum(map(len, parts.values())) + FEED_ITEMS * (len(self.created) + 1)
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
        """Return the changes, but for the feed entries of `created`."""
        return list({key: change for part in self._parts.values() for key, change in part.items()}.values())

    def writes_parents_of(self, row: InstanceRow) -> bool:
        """Tell whether the write covers the instance's study and series rows, so that no deletion can slip between."""
        return (
            keys.study(row.partition, row.study) in self._parts
            and keys.series(row.partition, row.study, row.series) in self._parts
        )

    def knew(self, study: StudyRow) -> bool:
        """Tell whether the study is in no other state of a bulk update than this plan took it for."""
        known = self._snapshot.studies[study.study]
        return (study.update_id, study.writing) == (known.update_id, known.writing)

    def restatement(self, new_instance: NewInstance) -> list[Change]:
        """Return the changes that put the study-level values of an instance that exists into its study row again."""
        old = self._snapshot.studies[new_instance.version.study]
        new = replace(
            old, attributes=merged(old.attributes, new_instance.attributes[Level.STUDY]), revision=old.revision + 1
        )
        return list(self._row_changes(old, new).values())

    def _study(self, new_instance: NewInstance, number: int) -> tuple[StudyRow | None, StudyRow]:
        uid = new_instance.version.study
        attributes = new_instance.attributes[Level.STUDY]
        modality = canonical_values(CORE[MODALITY], new_instance.attributes[Level.SERIES].get(MODALITY))
        old = self._snapshot.studies.get(uid)
        if old is None:
            new = StudyRow(
                partition=self._partition,
                study=uid,
                created=number,
                revision=first_revision(number),
                attributes=merged({}, attributes),
            )
            return None, replace(new, modalities=modality)
        union = merged(old.attributes, attributes)
        modalities = tuple(sorted({*old.modalities, *modality}))
        # While new versions are written, every store writes the row: so an update knows of each before it shows them.
        if union == old.attributes and modalities == old.modalities and not old.writing:
            return old, old
        return old, replace(old, attributes=union, modalities=modalities, revision=old.revision + 1)

    def _series(self, new_instance: NewInstance, number: int, study: StudyRow) -> tuple[SeriesRow | None, SeriesRow]:
        uid = new_instance.version.series
        attributes = new_instance.attributes[Level.SERIES]
        old = self._snapshot.series.get((study.study, uid))
        if old is None or not member(study, old):
            return old, SeriesRow(
                partition=self._partition,
                study=study.study,
                series=uid,
                of_study=study.created,
                created=number,
                revision=first_revision(number),
                attributes=merged({}, attributes),
            )
        now = old.at(study.update_id)
        union = merged(now.attributes, attributes)
        if union == now.attributes and not old.ending:
            return old, old
        return old, replace(now, attributes=union, ending=False, revision=old.revision + 1)

    def _row_changes(self, old: StudyRow | SeriesRow | None, new: StudyRow | SeriesRow) -> dict[Key, Change]:
        """Return the put of a row and the difference of its postings, against the row as it was before this plan."""
        before = self._before.get(new.key, old)
        now, was = postings(new), postings(before) if before else {}
        return {
            **{gone: Delete(gone) for gone in was if gone not in now},
            **{key: Put(item) for key, item in now.items() if key not in was},
            new.key: Put(new.item, Holds("revision", before.revision) if before else Absent()),
        }

    def _instance_changes(self, new_instance: NewInstance, row: InstanceRow) -> dict[Key, Change]:
        old = self._snapshot.instances.get(new_instance.uids)
        changes: dict[Key, Change] = {}
        if old:  # left behind under an earlier study or series of these UIDs: its place is taken
            changes |= removal_changes(old)
        changes[row.key] = Put(row.item, Holds("revision", old.revision) if old else Absent())
        added = [documents.metadata_item(row, new_instance.metadata)]
        if new_instance.frames:
            added.append(documents.frames_item(row, new_instance.frames))
        added += postings(row).values()
        changes |= {item.key: Put(item) for item in added}
        changes[new_instance.intent] = sweep.fulfilled(new_instance.intent)
        return changes


def removal_changes(row: InstanceRow, delay: int = 0) -> dict[Key, Change]:
    """Return the changes that unmake an instance, but for its feed entry: row, postings, tag errors, all versions'
    documents, and their blobs queued."""
    versions = [row.with_file(file) for file in row.files]
    gone = [*(key for each in versions for key in documents.keys_of(each)), *postings(row)]
    gone += [keys.tag_error(*error) for error in row.errors.items()]
    queued = [sweep.removal(sweep.version_of(each), delay) for each in versions]
    return {
        **{key: Delete(key) for key in gone},
        row.key: Delete(row.key, Holds("revision", row.revision)),
        **{each.key: each for each in queued},
    }


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
        attributes=merged({}, new_instance.attributes[Level.INSTANCE]),
        revision=first_revision(number),
    )
