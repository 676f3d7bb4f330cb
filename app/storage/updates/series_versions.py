"""What a bulk update makes of the series of a study: files are the instances' affair, rows hold values to search for.

Every series there is when a study is written has something pending, if only nothing new: so one that is stored once the
update is shown keeps its own values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from app.dicom.json.dataset import JsonElement
from app.storage.feed.row_writer import RowWriter
from app.storage.records.file_versions import Pending, merged
from app.storage.records.rows import SeriesRow, StudyRow
from app.storage.records.stored_rows import StoredRows
from app.storage.table.ports import Change
from app.storage.updates.version_changes import replaced, while_writing

Values = Mapping[str, JsonElement]


class SeriesVersions:
    """Writes the series rows of studies that are updated."""

    def __init__(self, rows: StoredRows, writes: RowWriter) -> None:
        self._rows = rows
        self._writes = writes

    def note(self, study: StudyRow, values: Values) -> None:
        """Note new values as pending."""
        pending = Pending(study.writing, values)
        self._write(
            [row for row in self._rows.series(study).values() if row.pending != pending],
            lambda row: replace(row, pending=pending),
            lambda _: self._rows.is_writing(study),
            while_writing(study),
        )

    def finish(self, study: StudyRow, update_id: str, values: Values) -> None:
        """Make what is pending current, and `values` with it."""

        def current(row: SeriesRow) -> SeriesRow:
            shown = row.at(update_id)
            return replace(shown, attributes=merged(shown.attributes, values))

        self._write(self._noted(study, update_id), current, lambda row: _is_noted(row, update_id))

    def revert(self, study: StudyRow, update_id: str) -> None:
        """Take back what is pending."""
        rows = self._noted(study, update_id)
        self._write(rows, lambda row: replace(row, pending=None), lambda row: _is_noted(row, update_id))

    def _noted(self, study: StudyRow, update_id: str) -> list[SeriesRow]:
        return [row for row in self._rows.series(study).values() if _is_noted(row, update_id)]

    def _write(
        self,
        rows: Sequence[SeriesRow],
        becomes: Callable[[SeriesRow], SeriesRow],
        still: Callable[[SeriesRow], bool],
        *also: Change,
    ) -> None:
        """Write what series become, on whatever they are by then, while they still are to be written."""

        def written(row: SeriesRow, _: int) -> list[Change]:
            return replaced(row, replace(becomes(row), revision=row.revision + 1))

        def refreshed(row: SeriesRow) -> SeriesRow | None:
            now = self._rows.again(row)
            return now if now and still(now) else None

        self._writes.all(rows, lambda: written, refreshed, also, numbered=False)


def _is_noted(row: SeriesRow, update_id: str) -> bool:
    return row.pending is not None and row.pending.update_id == update_id
