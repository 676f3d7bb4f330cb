"""The rows of studies, series and instances that exist, as they are stored: with their pending versions (`rows`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from app.storage.records.rows import InstanceRow, SeriesRow, StudyRow, is_visible_series
from app.storage.records.snapshot import Snapshot
from app.storage.table import keys
from app.storage.table.ports import Range, Table

R = TypeVar("R", StudyRow, SeriesRow, InstanceRow)


class StoredRows:
    """Reads the rows of studies that exist."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def study(self, partition: int, study: str) -> StudyRow | None:
        """Return the row of a study, None if the study does not exist."""
        return self.studies(partition, [study])[study]

    def studies(self, partition: int, studies: Iterable[str]) -> dict[str, StudyRow | None]:
        """Return the row of each study, None for one that does not exist. This is one batched read."""
        uids = list(dict.fromkeys(studies))
        items = self._table.get_many([keys.study(partition, uid) for uid in uids])
        rows = [item and StudyRow.of(item, partition, uid) for uid, item in zip(uids, items, strict=True)]
        return {uid: None if row is None or row.closing else row for uid, row in zip(uids, rows, strict=True)}

    def is_writing(self, study: StudyRow) -> bool:
        """Return whether the update that the given row names still writes new versions of the study."""
        row = self.study(study.partition, study.study)
        return row is not None and row.writing == study.writing

    def series(self, study: StudyRow) -> dict[str, SeriesRow]:
        """Return the visible series of a study, by UID."""
        items = self._table.query(keys.study_items(study.partition, study.study), keys.SERIES)
        rows = (SeriesRow.of(item, study.partition, study.study) for item in items)
        return {row.series: row for row in rows if is_visible_series(study, row)}

    def instances(self, study: StudyRow, between: Range = keys.INSTANCES) -> Iterator[InstanceRow]:
        """Yield the instances of a study in a range of sort keys, visible or not."""
        items = self._table.query(keys.study_items(study.partition, study.study), between)
        return (InstanceRow.of(item, study.partition, study.study) for item in items)

    def reread(self, row: R) -> R | None:
        """Return the present state of a row, None if its study, series or instance no longer exists."""
        if isinstance(row, StudyRow):
            return self.study(row.partition, row.study)
        if isinstance(row, SeriesRow):
            found = Snapshot.read(self._table, row.partition, [(row.study, row.series)])
            series = found.series.get((row.study, row.series))
            return series if is_visible_series(found.studies.get(row.study), series) else None
        uids = (row.study, row.series, row.instance)
        found = Snapshot.read(self._table, row.partition, [uids])
        return found.instances[uids] if found.exists(uids) else None
