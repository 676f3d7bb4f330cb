"""Index rows as they were read together, visible or not, and what is visible among them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from app.storage.records.rows import EMPTYING, InstanceRow, SeriesRow, StudyRow, visible
from app.storage.table import keys
from app.storage.table.ports import Key, Table

Uids = tuple[str, str, str]
"""Study, Series and SOP Instance UID."""

_KEYS: Final[tuple[Callable[..., Key], ...]] = (keys.study, keys.series, keys.instance)


@dataclass(slots=True)
class Snapshot:
    """The rows that a set of instances touches, visible or not, as they were read."""

    partition: int
    studies: dict[str, StudyRow] = field(default_factory=dict)
    series: dict[tuple[str, str], SeriesRow] = field(default_factory=dict)
    instances: dict[Uids, InstanceRow] = field(default_factory=dict)

    @staticmethod
    def read(table: Table, partition: int, paths: Iterable[tuple[str, ...]]) -> Snapshot:
        """Read the rows on the way down to each path, one to three UIDs long, in one batch."""
        found = Snapshot(partition)
        wanted: dict[Key, tuple[str, ...]] = {}
        for path in paths:
            for level, key_of in enumerate(_KEYS[: len(path)], start=1):
                wanted[key_of(partition, *path[:level])] = path[:level]
        for path, item in zip(wanted.values(), table.get_many(list(wanted)), strict=True):
            if item is None:
                continue
            match path:
                case (study,):
                    found.studies[study] = StudyRow.of(item, partition, study)
                case (study, series):
                    found.series[study, series] = SeriesRow.of(item, partition, study)
                case (study, series, instance):
                    found.instances[study, series, instance] = InstanceRow.of(item, partition, study)
        return found

    def exists(self, uids: Uids) -> bool:
        study, series, _ = uids
        return visible(self.studies.get(study), self.series.get((study, series)), self.instances.get(uids))

    def shown(self, uids: Uids) -> InstanceRow:
        """Return an instance that exists, as readers see it."""
        return self.instances[uids].at(self.studies[uids[0]].update_id)

    def taken_in(self, uids: Uids) -> bool:
        """Tell whether a bulk update that is under way in the study, or was the last one, has the instance."""
        study, row = self.studies[uids[0]], self.instances[uids]
        updates = {row.update_id, row.pending.update_id if row.pending else ""} - {""}
        return not updates.isdisjoint((study.update_id, study.writing))

    def closing(self, uids: Uids) -> bool:
        """Tell whether a deletion of the study or series is under way."""
        study, series = self.studies.get(uids[0]), self.series.get(uids[:2])
        return bool(study and (study.closing or (series and series.of_study == study.created and series.closing)))

    def emptying(self, uids: Uids) -> bool:
        """Tell whether it is closing only because it seemed empty, and may open again."""
        rows = (self.studies.get(uids[0]), self.series.get(uids[:2]))
        return any(row is not None and row.closing == EMPTYING for row in rows)

    def holds(self, row: InstanceRow) -> bool:
        """Tell whether the study and series that an instance was written under are still those."""
        return visible(self.studies.get(row.study), self.series.get((row.study, row.series)), row)
