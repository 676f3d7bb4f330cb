"""How all instances of a study get a new version at one moment (conformance §12.4).

1. `begin` marks the study as being written by an update, named by its `update_id`;
2. `write` notes new versions, whose files are stored, as pending in the instances' rows, some in one write with their
   documents, the postings of their new values and the end of their intents -> nothing that readers see;
3. `flip` writes the study row with the update_id and its new attributes -> every reader sees every new version;
4. `settle` makes what is pending current, some rows in one write with their feed entries, each row once; the original
   stays noted in its row, an intermediate version is queued for removal.
`revert` takes back what was written of an update that is not to be seen.

Each may be repeated after a kill -9 at any point: what is done is read from the rows. A worker that is late does no
harm: writes before the flip expect the study's mark, and every write of a row the revision that was read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

from app.dicom.json.dataset import JsonElement, first_of
from app.dicom.validation.attributes import INDEXED, ExtendedAttributes, Level
from app.errors import Conflict
from app.storage.feed.change_feed import FeedLog
from app.storage.feed.row_writer import ChangesOf, RowWriter
from app.storage.records.file_versions import merged
from app.storage.records.rows import InstanceRow, StudyRow, visible
from app.storage.records.snapshot import Snapshot
from app.storage.records.stored_rows import StoredRows
from app.storage.table import keys
from app.storage.table.counters import SequenceCounter
from app.storage.table.partitions import Partition
from app.storage.table.ports import Change, Range, Require, Table
from app.storage.table.retry import retry
from app.storage.updates.series_versions import SeriesVersions
from app.storage.updates.version_changes import NewVersion, noted, replaced, reverted, settled, while_writing

Changes = Mapping[str, JsonElement]
"""Tag -> new element."""


class VerifiedStudy(NamedTuple):
    """How much of a study is written: `missing` are instances (some of them) that are not, `written` how many are."""

    missing: list[InstanceRow]
    written: int


class StudyVersions:
    """Moves studies from version to version. `extended` tells the extended query tags whose values rows hold."""

    def __init__(
        self, table: Table, numbers: SequenceCounter, feed: FeedLog, extended: Callable[[], ExtendedAttributes]
    ) -> None:
        self.rows = StoredRows(table)
        self._table = table
        self._numbers = numbers
        self._feed = feed
        self._extended = extended
        self._writes = RowWriter(table, numbers, feed)
        self._series = SeriesVersions(self.rows, self._writes)

    def begin(self, partition: int, study: str, update_id: str, lease: Require) -> StudyRow | None:
        """Mark a study as being written; None if it does not exist.

        One that another update left unfinished comes back as it is: it is to be settled or reverted first. Raises
        `Conflict` if the update is not the caller's any more.
        """

        def attempt() -> StudyRow | None:
            row = self.rows.study(partition, study)
            if row is None or row.writing or row.finishing:
                return row
            marked = replace(row, writing=update_id, revision=row.revision + 1)
            self._writes.write([lease, *replaced(row, marked)])
            return marked

        return retry(attempt, when=lambda conflict: conflict.key != lease.key)

    # --- what is to be written ---

    def newest(self) -> int:
        """Return the highest watermark there is, or more."""
        return self._numbers.last()

    def older(self, study: StudyRow, after: int, until: int, limit: int) -> tuple[list[InstanceRow], int]:
        """Return instances with watermarks in (after, until] that are not written yet, oldest first, and how far that
        goes: to `until`, or part of the way when there are more than `limit`.
        """
        at = keys.metadata_items(study.partition, study.study)
        between = Range(keys.newest(until), keys.newest(after + 1))
        found = [
            (keys.NEWEST - int(item.key.sk, 16), (study.study, item.fields["series"], item.fields["instance"]))
            for item in self._table.query(at, between, reverse=True, limit=limit)
        ]
        rows = Snapshot.read(self._table, study.partition, [uids for _, uids in found])
        there = [(number, rows.instances[uids]) for number, uids in found if rows.exists(uids)]
        wanted = [row for number, row in there if row.watermark == number and not _noted(row, study.writing)]
        return wanted, found[-1][0] if len(found) == limit else until

    def verify(self, study: StudyRow, limit: int) -> VerifiedStudy:
        """Look at every instance of a study that is being written."""
        series = self.rows.series(study)
        missing: list[InstanceRow] = []
        written = 0
        for row in self.rows.instances(study):
            if not visible(study, series.get(row.series), row):
                continue
            if _noted(row, study.writing):
                written += 1
            elif len(missing) < limit:
                missing.append(row)
        return VerifiedStudy(missing, written)

    # --- the moves ---

    def write(self, study: StudyRow, batch: Sequence[NewVersion], changes: Changes) -> list[NewVersion]:
        """Note new versions as pending; return those that could not be, as their instance changed or went meanwhile, or
        as the study is not this update's to write any more.
        """

        def written() -> ChangesOf[NewVersion]:
            values = self._values(Level.INSTANCE, changes)
            return lambda each, number: noted(each, number, study.writing, values)

        def refreshed(each: NewVersion) -> NewVersion | None:
            row = self.rows.again(each.row)
            if row is None or row.watermark != each.row.watermark or _noted(row, study.writing):
                return None
            return replace(each, row=row) if self.rows.is_writing(study) else None

        return self._writes.all(batch, written, refreshed, [while_writing(study)])

    def mark_series(self, study: StudyRow, changes: Changes) -> None:
        """Note new values of series-level extended query tags as pending in the rows of the series there are now."""
        self._series.note(study, self._values(Level.SERIES, changes))

    def publish(self, study: StudyRow, changes: Changes) -> bool:
        """Show what was written of a study; false if its row is another by now than the one that was verified."""
        shown = replace(
            study,
            attributes=merged(study.attributes, self._values(Level.STUDY, changes)),
            update_id=study.writing,
            finishing=study.writing,
            writing="",
            last_watermark=self._numbers.last(),
            revision=study.revision + 1,
        )
        return self._put(study, shown)

    def finish(
        self, partition: Partition, study: str, update_id: str, after: str, limit: int, changes: Changes | None = None
    ) -> str:
        """Make what is pending current in up to `limit` rows beyond a sort key; return the last one's, empty when done.

        Rows deleted meanwhile are passed over. When done, the study's mark is gone too. `changes` let rows have values
        of extended query tags that were added since they were written; each row's number is reserved before the tags
        are read (`querytags`).
        """
        row = self.rows.study(partition.key, study)
        if row is None or row.update_id != update_id:
            return ""

        def made_current() -> ChangesOf[InstanceRow]:
            values = self._values(Level.INSTANCE, changes or {})

            def changes_of(each: InstanceRow, number: int) -> list[Change]:
                current, written = settled(each, update_id, values)
                return [*written, *self._feed.changes(partition, [(number, current)], "Update")]

            return changes_of

        rows, last = self._noted_after(row, update_id, after, limit)
        self._writes.all(rows, made_current, lambda each: self._still(each, update_id))
        if not last:
            self._series.finish(row, update_id, self._values(Level.SERIES, changes or {}))
            self._end(row, update_id)
        return last

    def revert(self, partition: int, study: str, update_id: str, after: str, limit: int) -> str:
        """Take back what is pending in up to `limit` rows beyond a sort key; return the last one's, empty when done.

        When done, the study's mark is gone too. Does nothing to a study that is not, or no longer, being written: what
        is pending in it goes with the instances, or is to be seen.
        """
        row = self.rows.study(partition, study)
        if row is None or row.writing != update_id:
            return ""

        def still(each: InstanceRow) -> InstanceRow | None:
            return self._still(each, update_id) if self.rows.is_writing(row) else None

        rows, last = self._noted_after(row, update_id, after, limit)
        also = [while_writing(row)]
        self._writes.all(rows, lambda: lambda each, _: reverted(each), still, also, numbered=False)
        if not last:
            self._series.revert(row, update_id)
            self._end(row, update_id)
        return last

    # --- pieces ---

    def _end(self, study: StudyRow, update_id: str) -> None:
        """Take the mark of an update off a study."""

        def attempt() -> None:
            now = self.rows.again(study)
            if now is None:
                return
            writing, finishing = (mark if mark != update_id else "" for mark in (now.writing, now.finishing))
            after = replace(now, writing=writing, finishing=finishing, revision=now.revision + 1)
            self._writes.write(replaced(now, after))

        retry(attempt)

    def _put(self, before: StudyRow, after: StudyRow) -> bool:
        """Write a study with its postings; false if it was changed meanwhile."""
        try:
            self._writes.write(replaced(before, after))
        except Conflict:
            return False
        return True

    def _noted_after(self, study: StudyRow, update_id: str, after: str, limit: int) -> tuple[list[InstanceRow], str]:
        """Return those of the next `limit` instances in which an update is pending, and the last one's sort key."""
        series = self.rows.series(study)
        rows = list(islice(self.rows.instances(study, keys.instances_beyond(after)), limit))
        last = rows[-1].key.sk if len(rows) == limit else ""
        return [row for row in rows if _noted(row, update_id) and visible(study, series.get(row.series), row)], last

    def _still(self, row: InstanceRow, update_id: str) -> InstanceRow | None:
        """Return a row as it is now if the update is still pending in it."""
        now = self.rows.again(row)
        return now if now and _noted(now, update_id) else None

    def _values(self, level: Level, changes: Changes) -> dict[str, JsonElement]:
        """Return those of the new values that the rows of a level hold."""
        held = (*INDEXED[level], *self._extended().get(level, ()))
        firsts = ((each.key, first_of(changes[each.tag])) for each in held if each.tag in changes)
        return {key: element for key, element in firsts if element}


def _noted(row: InstanceRow, update_id: str) -> bool:
    return row.pending is not None and row.pending.update_id == update_id
