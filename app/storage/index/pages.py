"""The instances of a study or a series in pages, in key order, for work that must not hold or reread all of them."""

from __future__ import annotations

from typing import NamedTuple

from app.storage.records.rows import InstanceRow, is_visible_series
from app.storage.records.snapshot import Snapshot
from app.storage.table import keys
from app.storage.table.ports import Range, Table

PagePosition = tuple[str, str]
"""Series and SOP Instance UID of the instance that was read last."""


class InstancePage(NamedTuple):
    """Visible instances, and the position after which the next page begins; None if this page is the last."""

    rows: list[InstanceRow]
    last: PagePosition | None


class InstancePages:
    """Reads instances of a partition page by page."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def exists(self, partition: int, study: str, series: str | None) -> bool:
        """Return whether the study, or the series, is visible. This is one batched read."""
        path = (study, series) if series else (study,)
        found = Snapshot.read(self._table, partition, [path])
        study_row = found.studies.get(study)
        if series is None:
            return study_row is not None and not study_row.closing
        return is_visible_series(study_row, found.series.get((study, series)))

    def page(
        self, partition: int, study: str, series: str | None, after: PagePosition | None, limit: int
    ) -> InstancePage:
        """Return the visible ones of the next `limit` instances after `after`. This is one query and one batched read.

        No instance is in two pages. An instance that is stored or deleted between two pages may be missing or
        present. Of an instance that is updated between two pages, the page has the old or the new version.
        """
        between = keys.instances_of(series) if series else keys.INSTANCES
        if after:
            between = Range(keys.instance(partition, study, *after).sk + " ", between.high)
        items = list(self._table.query(keys.study_items(partition, study), between, limit=limit))
        rows = [InstanceRow.of(item, partition, study) for item in items]
        parents = Snapshot.read(self._table, partition, {(study, row.series) for row in rows})
        last = (rows[-1].series, rows[-1].instance) if len(rows) == limit else None
        return InstancePage(
            [row.after_update(parents.studies[study].update_id) for row in rows if parents.are_parents_of(row)], last
        )
