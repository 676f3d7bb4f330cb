"""TagBackfill instances that exist under extended query tags that are new (conformance §8.5, "Re-index").

Values come from stored metadata. Of a study or a series the newest instance that has a value gives it: instances are
filed newest first, and a value that is there stays; what a later store put there is newer still. Every write expects
the rows that it was made from and the definitions as they were. So what is deleted meanwhile stays deleted, and backfill
the same instances again, after a kill -9 for instance, changes nothing that was filed before.
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
from app.storage.feed.change_feed import FeedEntry
from app.storage.records.documents import Documents
from app.storage.records.file_versions import Pending
from app.storage.records.rows import InstanceRow, SeriesRow, StudyRow
from app.storage.records.snapshot import Snapshot
from app.storage.table import clock, keys
from app.storage.table.batch import cost, grouped, write_atomically
from app.storage.table.ports import Change, Item, Key, Put, Table
from app.storage.table.retry import retry
from app.storage.tags.query_tags import QueryTags, QueryTagStore, TagError, error_item
from app.storage.updates.version_changes import replaced

R = TypeVar("R", StudyRow, SeriesRow, InstanceRow)

Datasets = Mapping[int, JsonAttributes]
"""What is needed of metadata, by watermark."""

LostDocuments = Mapping[int, str]
"""The messages about metadata documents that are lost, by watermark."""

_ERRORS_AT_ONCE: Final = 40
"""Errors of one instance in one write, beside which its row and postings find their place."""


class _Found(NamedTuple):
    """An instance to be filed, the rows above it, and what its partition is called."""

    study: StudyRow
    series: SeriesRow
    row: InstanceRow
    partition_name: str


@dataclass(slots=True)
class _Move(Generic[R]):
    """What is to become of a row, and the errors that are written with it."""

    before: R
    after: R
    errors: list[Item] = field(default_factory=list)
    faulty: frozenset[str] = frozenset()
    """The tags that these errors are of."""

    @property
    def changed(self) -> bool:
        return self.after is not self.before

    @property
    def changes(self) -> list[Change]:
        return [*replaced(self.before, _written(self.before, self.after)), *map(Put, self.errors)]


AnyMove = _Move[StudyRow] | _Move[SeriesRow] | _Move[InstanceRow]


class TagBackfill:
    """Files instances under those of the wanted tags (`QueryTag.key`) that are still defined."""

    def __init__(self, table: Table, tags: QueryTagStore, documents: Documents) -> None:
        self._table = table
        self._tags = tags
        self._documents = documents

    def file(self, entries: Sequence[FeedEntry], wanted: frozenset[str]) -> None:
        """File the instances that these entries of the feed tell the creation of, those that are still there.

        A value that breaks a rule becomes an error of the tag, which is disabled before.
        """
        created = [each for each in entries if each.action == "Create"]
        while retry(lambda: self._pass(created, wanted)):
            pass

    def _pass(self, created: Sequence[FeedEntry], wanted: frozenset[str]) -> bool:
        """File what can be in one reading; tell whether something was, so that there may be more."""
        tags = self._tags.read()
        found = sorted(self._found(created), key=lambda each: -each.row.created)
        moves = self._moves(found, tags, wanted)
        if self._tags.disable(tags, frozenset().union(*(each.faulty for each in moves))):
            return True
        for group in grouped((each.changes for each in moves), cost, reserved=1):
            write_atomically(self._table, [tags.unchanged, *chain.from_iterable(group)])
        return any(len(each.errors) == _ERRORS_AT_ONCE for each in moves)

    def _found(self, created: Sequence[FeedEntry]) -> Iterator[_Found]:
        """Yield the instances that belong to rows that are there, whether or not a deletion is under way above them:
        one that finds something left undoes itself."""
        for partition in dict.fromkeys(each.partition for each in created):
            mine = {(each.study, each.series, each.instance): each for each in created if each.partition == partition}
            rows = Snapshot.read(self._table, partition, mine)
            for uids, entry in mine.items():
                study, series, row = rows.studies.get(uids[0]), rows.series.get(uids[:2]), rows.instances.get(uids)
                if study and series and row and row.created == entry.sequence and _belongs(row, series, study):
                    yield _Found(study, series, row, entry.partition_name)

    def _moves(self, found: Sequence[_Found], tags: QueryTags, wanted: frozenset[str]) -> list[AnyMove]:
        """Return what is to become of each row that changes."""
        of = {level: tuple(each for each in tags.extended[level] if each.key in wanted) for level in Level}
        datasets, lost = self._datasets(found, list(chain.from_iterable(of.values())))
        studies: dict[Key, _Move[StudyRow]] = {}
        series: dict[Key, _Move[SeriesRow]] = {}
        instances = [_instance(each, datasets, lost, of, tags) for each in found]
        for each in found:
            shown = datasets.get(each.row.at(each.study.update_id).watermark, {})
            study = studies.setdefault(each.study.key, _Move(each.study, each.study))
            study.after = _with(study.after, query_tag_values.indexed_values(shown, of[Level.STUDY]), tags)
            one = series.setdefault(each.series.key, _Move(each.series, each.series))
            one.after = _with(one.after, query_tag_values.indexed_values(shown, of[Level.SERIES]), tags)
        moves: list[AnyMove] = [*studies.values(), *series.values(), *instances]
        return [each for each in moves if each.changed]

    def _datasets(self, found: Iterable[_Found], tags: Sequence[Attribute]) -> tuple[Datasets, LostDocuments]:
        """Return what these tags need of the metadata, and which documents are lost.

        One document at a time is in memory, because that of an enhanced image has megabytes.
        """
        rows = [each.row for each in found]
        pending = [row.with_file(row.pending.file) for row in rows if row.pending and row.pending.file]
        datasets: dict[int, JsonAttributes] = {}
        lost: dict[int, str] = {}
        for row, item in self._documents.items([*rows, *pending]):
            try:
                document = self._documents.read(row, item)
            except LostData as error:
                lost[row.watermark] = str(error)
            else:
                if document is not None:
                    datasets[row.watermark] = query_tag_values.excerpt(orjson.loads(document), tags)
        return datasets, lost


def _instance(
    found: _Found, datasets: Datasets, lost: LostDocuments, of: ExtendedAttributes, tags: QueryTags
) -> _Move[InstanceRow]:
    """Return what is to become of an instance's row: its own values, those of a version that is coming, its errors."""
    row = found.row
    dataset = datasets.get(row.watermark, {})
    move = _Move(row, _with(row, query_tag_values.indexed_values(dataset, of[Level.INSTANCE]), tags))
    if row.pending and row.pending.file:
        coming = query_tag_values.indexed_values(datasets.get(row.pending.file.watermark, {}), of[Level.INSTANCE])
        if coming.keys() - row.pending.attributes.keys():
            values = {**coming, **row.pending.attributes}
            pending = Pending.make(update_id=row.pending.update_id, attributes=values, file=row.pending.file)
            move.after = replace(move.after, pending=pending)
    unseen = (each for level in Level for each in of[level] if each.key not in row.errors)
    if row.watermark in lost:  # a tag error is the only trace of a value that search cannot find
        faults = ((each.key, lost[row.watermark]) for each in unseen if each.key not in row.attributes)
    else:
        faults = ((each.key, text) for each in unseen if (text := query_tag_values.fault(dataset, each)))
    errors: dict[str, str] = {}
    for key, text in islice(faults, _ERRORS_AT_ONCE):
        now = clock.timestamp(clock.now())
        errors[key] = keys.tag_error_place(now, row.created)
        error = TagError(
            partition_name=found.partition_name,
            study=row.study,
            series=row.series,
            instance=row.instance,
            created=now,
            message=text,
        )
        move.errors.append(error_item(key, errors[key], error))
    if errors:
        move.after = replace(move.after, errors={**row.errors, **errors})
        move.faulty = frozenset(errors)
    return move


def _with(row: R, values: JsonAttributes, tags: QueryTags) -> R:
    """Return the row with those values that it has none for, and without what is left of tags that were deleted."""
    if not values.keys() - row.attributes.keys():
        return row
    kept = {key: element for key, element in row.attributes.items() if key in CORE or key in tags.keys}
    return replace(row, attributes={**values, **kept})


def _written(before: R, after: R) -> R:
    return replace(after, revision=before.revision + 1)


def _belongs(row: InstanceRow, series: SeriesRow, study: StudyRow) -> bool:
    return row.of_study == study.created and row.of_series == series.created
