"""The instances of a study or a series in pages, in key order, for work that must neither hold nor reread them all."""

from __future__ import annotations

from typing import NamedTuple

from app.storage.records.rows import InstanceRow, member
from app.storage.records.snapshot import Snapshot
from app.storage.table import keys
from app.storage.table.ports import Range, Table

PagePosition = tuple[str, str]
"""Series and SOP Instance UID of the instance that was read last."""


class Page(NamedTuple):
    """Visible instances, and where the next page begins; None after the last one."""

    rows: list[InstanceRow]
    last: PagePosition | None


class InstancePages:
    """Reads instances of a partition page by page."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def exists(self, partition: int, study: str, series: str | None) -> bool:
        """Tell whether the study, or the series, is visible; one read."""
        path = (study, series) if series else (study,)
        found = Snapshot.read(self._table, partition, [path])
        parent = found.studies.get(study)
        if series is None:
            return parent is not None and not parent.closing
        return member(parent, found.series.get((study, series)))

    def page(self, partition: int, study: str, series: str | None, after: PagePosition | None, limit: int) -> Page:
        """Return those visible among the next `limit` instances after `after`: one query and one batched read.

        Instances stored or deleted meanwhile are in it or not; none is in two pages. Of one that is updated meanwhile
        either version is given.
        """
        between = keys.instances_of(series) if series else keys.INSTANCES
        if after:
            between = Range(keys.instance(partition, study, *after).sk + " ", between.high)
        items = list(self._table.query(keys.study_items(partition, study), between, limit=limit))
        rows = [InstanceRow.of(item, partition, study) for item in items]
        above = Snapshot.read(self._table, partition, {(study, row.series) for row in rows})
        last = (rows[-1].series, rows[-1].instance) if len(rows) == limit else None
        return Page([row.at(above.studies[study].update_id) for row in rows if above.holds(row)], last)
