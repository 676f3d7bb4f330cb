"""The series rows of a study that a bulk update changes. They hold values of extended query tags, and no files.

While a study is written, every series row has a pending version, even if no value changes. When the study is
published, a series without one is therefore known to be stored later. It keeps its own values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from app.dicom.json.dataset import JsonElement
from app.storage.records.file_versions import Pending, merged
from app.storage.records.row_changes import replace_row
from app.storage.records.rows import SeriesRow, StudyRow
from app.storage.records.stored_rows import StoredRows
from app.storage.table.ports import Change
from app.storage.updates.row_writer import Preparation, RowWriter
from app.storage.updates.version_changes import RowWrite, study_still_written

IndexedValues = Mapping[str, JsonElement]
"""Key of an extended query tag -> new element of the series row."""


class SeriesVersions:
    """Writes the series rows of studies that are updated. Each row is one conditional write: a kill -9 leaves it done
    or not done, and the repeated step finds the rest."""

    def __init__(self, rows: StoredRows, writer: RowWriter) -> None:
        self._rows = rows
        self._writer = writer

    def add_pending(self, study: StudyRow, values: IndexedValues) -> None:
        """Write `values` as the pending version of each series row."""
        pending = Pending.make(update_id=study.writing, attributes=values)
        self._write(
            [row for row in self._rows.series(study).values() if row.pending != pending],
            lambda row: replace(row, pending=pending),
            lambda _: self._rows.is_writing(study),
            study_still_written(study),
        )

    def make_current(self, study: StudyRow, update_id: str, values: IndexedValues) -> None:
        """Make the pending version of each series row current. `values` are merged over it."""

        def current(row: SeriesRow) -> SeriesRow:
            published = row.after_update(update_id)
            return replace(published, attributes=merged(published.attributes, values))

        self._write(self._pending(study, update_id), current, lambda row: _is_pending(row, update_id))

    def remove_pending(self, study: StudyRow, update_id: str) -> None:
        """Remove the pending version of each series row."""
        rows = self._pending(study, update_id)
        self._write(rows, lambda row: replace(row, pending=None), lambda row: _is_pending(row, update_id))

    def _pending(self, study: StudyRow, update_id: str) -> list[SeriesRow]:
        return [row for row in self._rows.series(study).values() if _is_pending(row, update_id)]

    def _write(
        self,
        rows: Sequence[SeriesRow],
        new_state: Callable[[SeriesRow], SeriesRow],
        needs_write: Callable[[SeriesRow], bool],
        *conditions: Change,
    ) -> None:
        """Write the new state of each row. After a conflict the row is read again, and written if `needs_write`."""

        def write_of(row: SeriesRow) -> RowWrite:
            return RowWrite(replace_row(row, replace(new_state(row), revision=row.revision + 1)))

        def reread(row: SeriesRow) -> SeriesRow | None:
            now = self._rows.reread(row)
            return now if now and needs_write(now) else None

        self._writer.write(rows, lambda: Preparation(write_of), reread, conditions)


def _is_pending(row: SeriesRow, update_id: str) -> bool:
    return row.pending is not None and row.pending.update_id == update_id
