"""A bulk update gives all instances of a study a new version at one moment (conformance §12.4).

1. `begin` writes the id of the update into the study row (`writing`). A kill -9 after it leaves a study that readers
   see unchanged. The next step continues from that row. If there is none, the next update of the study does.
2. `write_pending` adds pending versions to the instance rows, some rows in one write. Their files are stored before.
   The postings of the new values are in the same write, and their documents are written just before it. Records name
   the files and documents. Readers do not see pending versions. A kill -9 leaves some rows with a pending version and
   some without. The repeated step writes the others.
3. `publish` writes the study row with `update_id` and the new attributes. This one write shows every new version to
   every reader: from then on, readers take the pending version of a row.
4. `finish` makes the pending versions current, some rows in one write with the record for the feed, each row once. The
   original version stays. An intermediate version is queued for removal. A kill -9 leaves some rows with a pending
   version, and the repeated step finds them.

`revert` removes the pending versions of an update that failed before `publish`. A kill -9 leaves some of them, and the
repeated step finds them.

A late worker does no harm. Its writes before `publish` require that the study row still names the update, and every
write of a row is conditional on the revision that was read.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from msgspec.structs import replace

from app.dicom.json.dataset import JsonElement, first_of
from app.dicom.validation.attributes import INDEXED, ExtendedAttributes, Level
from app.errors import Conflict
from app.storage.feed.log import CommitLog, CommittedEntry
from app.storage.index.intents import Intents
from app.storage.records.contents import Contents
from app.storage.records.file_versions import merged
from app.storage.records.leftovers import InstanceVersion, Leftovers, version_of
from app.storage.records.row_changes import replace_row
from app.storage.records.rows import InstanceRow, StudyRow, is_visible_instance
from app.storage.records.snapshot import Snapshot
from app.storage.records.stored_rows import StoredRows
from app.storage.table import keys
from app.storage.table.batch import write_atomically
from app.storage.table.counters import WatermarkCounter
from app.storage.table.partitions import Partition
from app.storage.table.ports import Change, Range, Require, Table
from app.storage.table.retry import retry
from app.storage.tags.query_tags import QueryTags
from app.storage.updates.row_writer import Preparation, RowWriter
from app.storage.updates.series_versions import SeriesVersions
from app.storage.updates.version_changes import (
    NewVersion,
    add_pending,
    is_pending,
    make_current,
    remove_pending,
    study_still_written,
)

NewValues = Mapping[str, JsonElement]
"""Tag -> new element, as in the request of the update."""


class VerifiedStudy(NamedTuple):
    """How much of a study is written: some of the instances without a pending version, and how many have one."""

    missing: list[InstanceRow]
    written: int


class NamedVersions(NamedTuple):
    """New versions whose files are not stored yet, and the record that names their files and documents."""

    versions: list[InstanceVersion]
    intents: Intents


class StudyVersions:
    """Runs the phases of bulk updates. `read_tags` returns the extended query tags, whose values the rows hold."""

    def __init__(
        self, *, table: Table, numbers: WatermarkCounter, log: CommitLog, read_tags: Callable[[], QueryTags]
    ) -> None:
        self.rows = StoredRows(table)
        self._table = table
        self._numbers = numbers
        self._log = log
        self._read_tags = read_tags
        self._writer = RowWriter(table)
        self._series = SeriesVersions(self.rows, self._writer)

    def begin(self, partition: int, study: str, update_id: str, lease: Require) -> StudyRow | None:
        """Mark a study as being written by an update, and return its row. None if the study does not exist.

        If another update left the study unfinished, its row is returned unchanged. The caller must finish or revert
        that update first. Raises `Conflict` if the caller does not hold the lease any more.
        """

        def attempt() -> StudyRow | None:
            row = self.rows.study(partition, study)
            if row is None or row.writing or row.finishing:
                return row
            marked = replace(row, writing=update_id, revision=row.revision + 1)
            write_atomically(self._table, [lease, *replace_row(row, marked)])
            return marked

        return retry(attempt, when=lambda conflict: conflict.key != lease.key)

    # --- what is to be written ---

    def name_versions(self, rows: Sequence[InstanceRow]) -> NamedVersions:
        """Return a new version for each instance, and the record that names their files and documents.

        A kill -9 after it leaves a record that comes due and finds nothing to remove.
        """
        watermarks = self._numbers.reserve(len(rows))
        versions = [
            replace(version_of(row), version=uuid.uuid4().hex, watermark=watermark)
            for row, watermark in zip(rows, watermarks, strict=True)
        ]
        intents = Intents(self._table)
        intents.name(Leftovers(versions=tuple(versions)))
        return NamedVersions(versions, intents)

    def last_watermark(self) -> int:
        """Return a number that no watermark exceeds at this moment."""
        return self._numbers.last()

    def unwritten(self, study: StudyRow, *, after: int, until: int, limit: int) -> tuple[list[InstanceRow], int]:
        """Return the instances without a pending version whose watermarks are in (after, until], oldest first.

        At most `limit` instances are read. The second value is the watermark up to which they were read: `until` when
        there are no more.
        """
        at = keys.metadata_items(study.partition, study.study)
        between = Range(keys.newest(until), keys.newest(after + 1))
        found = [
            (keys.NEWEST - int(item.key.sk, 16), (study.study, item.fields["series"], item.fields["instance"]))
            for item in self._table.query(at, between, reverse=True, limit=limit)
        ]
        snapshot = Snapshot.read(self._table, study.partition, [uids for _, uids in found])
        existing = [(number, snapshot.instances[uids]) for number, uids in found if snapshot.exists(uids)]
        rows = [row for number, row in existing if row.watermark == number and not is_pending(row, study.writing)]
        return rows, found[-1][0] if len(found) == limit else until

    def verify(self, study: StudyRow, limit: int) -> VerifiedStudy:
        """Read every instance of a study that is being written. At most `limit` missing ones are returned."""
        series = self.rows.series(study)
        missing: list[InstanceRow] = []
        written = 0
        for row in self.rows.instances(study):
            if not is_visible_instance(study, series.get(row.series), row):
                continue
            if is_pending(row, study.writing):
                written += 1
            elif len(missing) < limit:
                missing.append(row)
        return VerifiedStudy(missing, written)

    # --- the phases ---

    def write_pending(
        self, study: StudyRow, versions: Sequence[NewVersion], new_values: NewValues, intents: Intents
    ) -> list[NewVersion]:
        """Add pending versions to their rows. Return the versions that were not added.

        `intents` name their files and documents. No row is written after the sweep has taken one.

        A version is not added if its instance was changed or deleted in the meantime, or if another update now writes
        the study.
        """

        def prepare() -> Preparation[NewVersion]:
            values = self._values(Level.INSTANCE, new_values)
            return Preparation(lambda new: add_pending(new, study.writing, values))

        def reread(new: NewVersion) -> NewVersion | None:
            row = self.rows.reread(new.row)
            if row is None or row.watermark != new.row.watermark or is_pending(row, study.writing):
                return None
            return replace(new, row=row) if self.rows.is_writing(study) else None

        conditions = [study_still_written(study), *intents.still_valid()]
        return self._writer.write(versions, prepare, reread, conditions)

    def write_pending_series(self, study: StudyRow, new_values: NewValues) -> None:
        """Add the new values of series-level extended query tags to the series rows, as pending."""
        self._series.add_pending(study, self._values(Level.SERIES, new_values))

    def publish(self, study: StudyRow, new_values: NewValues) -> bool:
        """Show all pending versions of a study to readers. False if the study row was changed since it was read."""
        published = replace(
            study,
            attributes=merged(study.attributes, self._values(Level.STUDY, new_values)),
            update_id=study.writing,
            finishing=study.writing,
            writing="",
            last_watermark=self._numbers.last(),
            revision=study.revision + 1,
        )
        try:
            write_atomically(self._table, replace_row(study, published))
        except Conflict:
            return False
        return True

    def finish(
        self,
        partition: Partition,
        study: str,
        update_id: str,
        *,
        after: str,
        limit: int,
        new_values: NewValues | None = None,
    ) -> str:
        """Make the pending versions of up to `limit` instance rows current, beginning beyond the sort key `after`.

        Return the sort key of the last row, or an empty string at the end. At the end the series rows are current
        too, and the study row does not name the update any more. Rows that were deleted in the meantime are skipped.

        `new_values` give the rows values of extended query tags that were added during the update. Each write requires
        that the tags were not changed since they were read.
        """
        row = self.rows.study(partition.key, study)
        if row is None or row.update_id != update_id:
            return ""

        def prepare() -> Preparation[InstanceRow]:
            tags = self._read_tags()
            values = _values(Level.INSTANCE, new_values or {}, tags.extended)

            def beside(written: Sequence[InstanceRow]) -> list[Change]:
                entries = [CommittedEntry.of(each.after_update(update_id), "Update") for each in written]
                return [self._log.committed(partition, entries, Contents(0, 0, 0)), tags.unchanged]

            return Preparation(lambda each: make_current(each, update_id, values), beside)

        rows, last = self._pending_after(row, update_id, after, limit)
        self._writer.write(rows, prepare, lambda each: self._reread(each, update_id))
        if not last:
            self._series.make_current(row, update_id, self._values(Level.SERIES, new_values or {}))
            self._unmark(row, update_id)
        return last

    def revert(self, partition: int, study: str, update_id: str, *, after: str, limit: int) -> str:
        """Remove the pending versions of up to `limit` instance rows, beginning beyond the sort key `after`.

        Return the sort key of the last row, or an empty string at the end. At the end the study row does not name the
        update any more. A study that this update does not write is left alone: it was deleted, or it is published.
        """
        row = self.rows.study(partition, study)
        if row is None or row.writing != update_id:
            return ""

        def reread(each: InstanceRow) -> InstanceRow | None:
            return self._reread(each, update_id) if self.rows.is_writing(row) else None

        rows, last = self._pending_after(row, update_id, after, limit)
        conditions = [study_still_written(row)]

        def remove() -> Preparation[InstanceRow]:
            return Preparation(remove_pending)

        self._writer.write(rows, remove, reread, conditions)
        if not last:
            self._series.remove_pending(row, update_id)
            self._unmark(row, update_id)
        return last

    # --- pieces ---

    def _unmark(self, study: StudyRow, update_id: str) -> None:
        """Remove the id of an update from a study row."""

        def attempt() -> None:
            now = self.rows.reread(study)
            if now is None:
                return
            writing, finishing = (mark if mark != update_id else "" for mark in (now.writing, now.finishing))
            after = replace(now, writing=writing, finishing=finishing, revision=now.revision + 1)
            write_atomically(self._table, replace_row(now, after))

        retry(attempt)

    def _pending_after(self, study: StudyRow, update_id: str, after: str, limit: int) -> tuple[list[InstanceRow], str]:
        """Return those of the next `limit` instances that have a pending version, and the sort key of the last one."""
        series = self.rows.series(study)
        rows = list(islice(self.rows.instances(study, keys.instances_beyond(after)), limit))
        last = rows[-1].key.sk if len(rows) == limit else ""
        return [
            row
            for row in rows
            if is_pending(row, update_id) and is_visible_instance(study, series.get(row.series), row)
        ], last

    def _reread(self, row: InstanceRow, update_id: str) -> InstanceRow | None:
        """Read a row again. None if it has no pending version of the update any more."""
        now = self.rows.reread(row)
        return now if now and is_pending(now, update_id) else None

    def _values(self, level: Level, new_values: NewValues) -> dict[str, JsonElement]:
        return _values(level, new_values, self._read_tags().extended)


def _values(level: Level, new_values: NewValues, extended: ExtendedAttributes) -> dict[str, JsonElement]:
    """Return those of the new values that the rows of a level hold, by the key of their attribute."""
    held = (*INDEXED[level], *extended.get(level, ()))
    firsts = ((each.key, first_of(new_values[each.tag])) for each in held if each.tag in new_values)
    return {key: element for key, element in firsts if element}
