"""The backfill of extended query tags: it indexes stored instances under new tags (conformance §8.5).

Values are read from the stored metadata. In a study or series, the newest instance with a value wins. So instances are
indexed newest first, and a value that a row already has stays: it comes from the same or from a newer instance.

Every write is conditional on the rows that it replaces, and on the definitions of the tags. So an instance that is
deleted in the meantime stays deleted. After a kill -9 some rows are written and others not. The repeated step writes
those, and changes nothing in rows that are done.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Final, Generic, NamedTuple, TypeVar

import orjson
from msgspec.structs import replace

from app.dicom.json.dataset import JsonAttributes
from app.dicom.query import query_tag_values
from app.dicom.validation.attributes import CORE, Attribute, ExtendedAttributes, Level
from app.errors import LostData
from app.storage.feed.entries import FeedEntry
from app.storage.records.documents import Documents
from app.storage.records.file_versions import Pending
from app.storage.records.row_changes import replace_row
from app.storage.records.rows import InstanceRow, SeriesRow, StudyRow, belongs_to
from app.storage.records.snapshot import Snapshot
from app.storage.table import clock, keys
from app.storage.table.batch import cost, grouped, write_atomically
from app.storage.table.ports import Change, Item, Key, Put, Table
from app.storage.table.retry import retry
from app.storage.tags.query_tags import QueryTags, QueryTagStore, TagError, error_item

R = TypeVar("R", StudyRow, SeriesRow, InstanceRow)

_MAX_ERRORS: Final = 40
"""Errors of one instance in one write. They fit beside its row and its postings. Others go into the next write."""


class _StoredInstance(NamedTuple):
    """The rows of an instance, and the name of its partition."""

    study: StudyRow
    series: SeriesRow
    row: InstanceRow
    partition_name: str


class _Metadata(NamedTuple):
    """What the tags need of the metadata, and the error messages about lost documents. Both by watermark."""

    attributes: Mapping[int, JsonAttributes]
    lost: Mapping[int, str]


@dataclass(slots=True, kw_only=True)
class _RowChange(Generic[R]):
    """The old and the new state of a row, and the errors that are written with it."""

    before: R
    after: R
    errors: list[Item] = field(default_factory=list)
    tags_with_errors: frozenset[str] = frozenset()

    @property
    def changed(self) -> bool:
        return self.after is not self.before

    @property
    def changes(self) -> list[Change]:
        return [*replace_row(self.before, _next_revision(self.before, self.after)), *map(Put, self.errors)]


AnyRowChange = _RowChange[StudyRow] | _RowChange[SeriesRow] | _RowChange[InstanceRow]


class TagBackfill:
    """Indexes stored instances under extended query tags."""

    def __init__(self, table: Table, tags: QueryTagStore, documents: Documents) -> None:
        self._table = table
        self._tags = tags
        self._documents = documents

    def index(self, entries: Sequence[FeedEntry], tag_keys: frozenset[str]) -> None:
        """Index the instances that these entries of the feed created, as far as they still exist.

        `tag_keys` are keys of tags (`QueryTag.key`). Those that are not defined any more are ignored. A value that
        breaks a rule, or a lost document, becomes an error of the tag. The tag is disabled before the error is written.
        """
        created = [each for each in entries if each.action == "Create"]
        while retry(lambda: self._write(created, tag_keys)):
            pass

    def _write(self, created: Sequence[FeedEntry], tag_keys: frozenset[str]) -> bool:
        """Read the instances once and write their changes. Return whether it must be done again.

        It must if tags were disabled instead, or if an instance has more errors than one write takes.
        """
        tags = self._tags.read()
        newest_first = sorted(self._stored_instances(created), key=lambda each: -each.row.created)
        row_changes = self._row_changes(newest_first, tags, tag_keys)
        if self._tags.disable(tags, frozenset().union(*(each.tags_with_errors for each in row_changes))):
            return True
        for group in grouped((each.changes for each in row_changes), cost, reserved=1):
            write_atomically(self._table, [tags.unchanged, *chain.from_iterable(group)])
        return any(len(each.errors) == _MAX_ERRORS for each in row_changes)

    def _stored_instances(self, created: Sequence[FeedEntry]) -> Iterator[_StoredInstance]:
        """Yield the instances whose rows exist, also in a study or series that is closing.

        A study that closes because it seems empty may be opened again (`rows.EMPTYING`). Its instances are visible
        then.
        """
        for partition in dict.fromkeys(each.partition for each in created):
            by_uids = {
                (each.study, each.series, each.instance): each for each in created if each.partition == partition
            }
            rows = Snapshot.read(self._table, partition, by_uids)
            for uids, entry in by_uids.items():
                study, series, row = rows.studies.get(uids[0]), rows.series.get(uids[:2]), rows.instances.get(uids)
                if study and series and row and row.created == entry.watermark and belongs_to(row, series, study):
                    yield _StoredInstance(study, series, row, entry.partition_name)

    def _row_changes(
        self, newest_first: Sequence[_StoredInstance], tags: QueryTags, tag_keys: frozenset[str]
    ) -> list[AnyRowChange]:
        """Return the rows that change: studies first, then series, then instances."""
        attributes = {level: tuple(each for each in tags.extended[level] if each.key in tag_keys) for level in Level}
        metadata = self._read_metadata(newest_first, list(chain.from_iterable(attributes.values())))
        studies: dict[Key, _RowChange[StudyRow]] = {}
        series: dict[Key, _RowChange[SeriesRow]] = {}
        instances = [_instance_change(each, metadata, attributes, tags) for each in newest_first]
        for each in newest_first:
            visible = metadata.attributes.get(each.row.after_update(each.study.update_id).watermark, {})
            _add_to(studies, each.study, query_tag_values.indexed_values(visible, attributes[Level.STUDY]), tags)
            _add_to(series, each.series, query_tag_values.indexed_values(visible, attributes[Level.SERIES]), tags)
        all_changes: list[AnyRowChange] = [*studies.values(), *series.values(), *instances]
        return [each for each in all_changes if each.changed]

    def _read_metadata(self, instances: Iterable[_StoredInstance], tags: Sequence[Attribute]) -> _Metadata:
        """Read the metadata of current and pending versions.

        One document at a time is in memory, because that of an enhanced image has megabytes.
        """
        rows = [each.row for each in instances]
        pending = [row.with_file(row.pending.file) for row in rows if row.pending and row.pending.file]
        attributes: dict[int, JsonAttributes] = {}
        lost: dict[int, str] = {}
        for row, item in self._documents.items([*rows, *pending]):
            try:
                document = self._documents.read(row, item)
            except LostData as error:
                lost[row.watermark] = str(error)
            else:
                if document is not None:
                    attributes[row.watermark] = query_tag_values.excerpt(orjson.loads(document), tags)
        return _Metadata(attributes, lost)


def _instance_change(
    instance: _StoredInstance, metadata: _Metadata, attributes: ExtendedAttributes, tags: QueryTags
) -> _RowChange[InstanceRow]:
    """Return the change of an instance row: its own values, those of its pending version, and its errors."""
    row = instance.row
    values = query_tag_values.indexed_values(metadata.attributes.get(row.watermark, {}), attributes[Level.INSTANCE])
    change = _RowChange(before=row, after=_add_values(row, values, tags))
    if row.pending and row.pending.file:
        new = metadata.attributes.get(row.pending.file.watermark, {})
        values = query_tag_values.indexed_values(new, attributes[Level.INSTANCE])
        if values.keys() - row.pending.attributes.keys():
            pending = Pending.make(
                update_id=row.pending.update_id,
                attributes={**values, **row.pending.attributes},
                file=row.pending.file,
            )
            change.after = replace(change.after, pending=pending)
    errors: dict[str, str] = {}
    for key, text in islice(_errors(row, metadata, attributes), _MAX_ERRORS):
        now = clock.timestamp(clock.now())
        errors[key] = keys.tag_error_place(now, row.created)
        error = TagError(
            partition_name=instance.partition_name,
            study=row.study,
            series=row.series,
            instance=row.instance,
            created=now,
            message=text,
        )
        change.errors.append(error_item(key, errors[key], error))
    if errors:
        change.after = replace(change.after, errors={**row.errors, **errors})
        change.tags_with_errors = frozenset(errors)
    return change


def _errors(row: InstanceRow, metadata: _Metadata, attributes: ExtendedAttributes) -> Iterator[tuple[str, str]]:
    """Yield (tag key, error message) for each tag without an error yet: of a lost document, or of an invalid value."""
    dataset = metadata.attributes.get(row.watermark, {})
    lost = metadata.lost.get(row.watermark)
    lost_pending = metadata.lost.get(row.pending.file.watermark) if row.pending and row.pending.file else None
    for attribute in chain.from_iterable(attributes[level] for level in Level):
        if attribute.key in row.errors:
            continue
        if lost_pending:
            yield attribute.key, lost_pending
        elif lost and attribute.key not in row.attributes:
            yield attribute.key, lost
        elif text := query_tag_values.fault(dataset, attribute):
            yield attribute.key, text


def _add_to(row_changes: dict[Key, _RowChange[R]], row: R, values: JsonAttributes, tags: QueryTags) -> None:
    """Add the values to the change of a row, unless the row or a newer instance has them already."""
    change = row_changes.setdefault(row.key, _RowChange(before=row, after=row))
    change.after = _add_values(change.after, values, tags)


def _add_values(row: R, values: JsonAttributes, tags: QueryTags) -> R:
    """Return the row with the values that it does not have yet. Values of tags that were deleted are left out."""
    if not values.keys() - row.attributes.keys():
        return row
    kept = {key: element for key, element in row.attributes.items() if key in CORE or key in tags.keys}
    return replace(row, attributes={**values, **kept})


def _next_revision(before: R, after: R) -> R:
    return replace(after, revision=before.revision + 1)
