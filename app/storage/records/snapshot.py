"""Index rows that were read in one batch, and the rule which of them are visible."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from app.storage.records.rows import EMPTYING, InstanceRow, SeriesRow, StudyRow, is_visible_instance
from app.storage.table import keys
from app.storage.table.ports import Item, Key, Table

Uids = tuple[str, str, str]
"""Study, Series and SOP Instance UID."""

_KEYS: Final[tuple[Callable[..., Key], ...]] = (keys.study, keys.series, keys.instance)


@dataclass(slots=True, kw_only=True)
class Snapshot:
    """The rows of some instances and the rows above them, visible or not, as they were read."""

    partition: int
    studies: dict[str, StudyRow] = field(default_factory=dict)
    series: dict[tuple[str, str], SeriesRow] = field(default_factory=dict)
    instances: dict[Uids, InstanceRow] = field(default_factory=dict)

    @staticmethod
    def read(table: Table, partition: int, paths: Iterable[tuple[str, ...]]) -> Snapshot:
        """Read, in one batch, the row at each path and the rows above it. A path has one to three UIDs."""
        paths_in_partition = ((partition, path) for path in paths)
        return Snapshot.read_partitions(table, paths_in_partition).get(partition) or Snapshot(partition=partition)

    @staticmethod
    def read_partitions(table: Table, paths: Iterable[tuple[int, tuple[str, ...]]]) -> dict[int, Snapshot]:
        """Do the same for paths in several partitions, each with its partition key. Return a snapshot of each."""
        found: dict[int, Snapshot] = {}
        wanted: dict[Key, tuple[Snapshot, tuple[str, ...]]] = {}
        for partition, path in paths:
            snapshot = found.get(partition)
            if snapshot is None:
                snapshot = found[partition] = Snapshot(partition=partition)
            for level, key_of in enumerate(_KEYS[: len(path)], start=1):
                wanted[key_of(partition, *path[:level])] = snapshot, path[:level]
        for (snapshot, path), item in zip(wanted.values(), table.get_many(list(wanted)), strict=True):
            if item is not None:
                snapshot._add(path, item)
        return found

    def _add(self, path: tuple[str, ...], item: Item) -> None:
        match path:
            case (study,):
                self.studies[study] = StudyRow.of(item, self.partition, study)
            case (study, series):
                self.series[study, series] = SeriesRow.of(item, self.partition, study)
            case (study, series, instance):
                self.instances[study, series, instance] = InstanceRow.of(item, self.partition, study)

    def exists(self, uids: Uids) -> bool:
        study, series, _ = uids
        return is_visible_instance(self.studies.get(study), self.series.get((study, series)), self.instances.get(uids))

    def visible_instance(self, uids: Uids) -> InstanceRow:
        """Return the row of an instance that exists, as readers see it: after the update that the study shows."""
        return self.instances[uids].after_update(self.studies[uids[0]].update_id)

    def is_in_update(self, uids: Uids) -> bool:
        """Return whether the bulk update that runs in the study, or the last one that ran, changed the instance."""
        study, row = self.studies[uids[0]], self.instances[uids]
        updates = {row.update_id, row.pending.update_id if row.pending else ""} - {""}
        return not updates.isdisjoint((study.update_id, study.writing))

    def closing(self, uids: Uids) -> bool:
        """Return whether a deletion is closing the study or the series."""
        study, series = self.studies.get(uids[0]), self.series.get(uids[:2])
        return bool(study and (study.closing or (series and series.of_study == study.created and series.closing)))

    def is_closing_as_empty(self, uids: Uids) -> bool:
        """Return whether the study or the series is being closed because it seemed empty. Such a row may open again."""
        rows = (self.studies.get(uids[0]), self.series.get(uids[:2]))
        return any(row is not None and row.closing == EMPTYING for row in rows)

    def are_parents_of(self, row: InstanceRow) -> bool:
        """Return whether the study row and the series row are open, and are those of this instance."""
        return is_visible_instance(self.studies.get(row.study), self.series.get((row.study, row.series)), row)
