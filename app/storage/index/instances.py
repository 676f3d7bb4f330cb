"""Reads of the index: which instances exist, by their UIDs. One place decides what is visible (`rows.visible`).

Study and series rows are read after the instances in them. So a row that shows its pending version says that all do,
but for those read before theirs was written; where that can be (`_torn`), it is read again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from app.storage.records.rows import InstanceRow, SeriesRow, StudyRow, member
from app.storage.records.snapshot import Snapshot, Uids
from app.storage.table import keys
from app.storage.table.ports import Item, Table


@dataclass(frozen=True, slots=True)
class StudyView:
    """What is visible of one study: its row (None if there is no such study), its series and the instances read."""

    study: StudyRow | None = None
    series: dict[str, SeriesRow] = field(default_factory=dict)
    instances: list[InstanceRow] = field(default_factory=list)


class Instances:
    """Finds studies, series and instances of a partition."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def one(self, partition: int, study: str, series: str, instance: str) -> InstanceRow | None:
        """Return an instance, or None: one read of three keys."""
        uids = (study, series, instance)
        return self.many(partition, [uids]).get(uids)

    def within(self, partition: int, study: str, series: str | None = None) -> StudyView:
        """Return a study with its visible series and instances, or only one series of it: one query (two for one).

        Either all of them are as before a bulk update or all are as after it.
        """
        view = _view(partition, study, self._items(partition, study, series))
        while _torn(view):
            update_id = view.study.update_id if view.study else ""
            view = _view(partition, study, self._items(partition, study, series))
            if view.study and view.study.update_id == update_id:
                break  # all of it was read after that update
        return view

    def _items(self, partition: int, study: str, series: str | None) -> Iterable[Item]:
        at = keys.study_items(partition, study)
        if series is None:
            return self._table.query(at)  # the study comes last, as "study" sorts after "instance/" and "series/"
        inside = list(self._table.query(at, keys.instances_of(series)))
        above = self._table.get_many([keys.series(partition, study, series), keys.study(partition, study)])
        return [*inside, *(item for item in above if item)]

    def series_of(self, partition: int, study: str) -> StudyView:
        """Return a study with its visible series, without instances."""
        item = self._table.get(keys.study(partition, study))
        row = StudyRow.of(item, partition, study) if item else None
        if row is None or row.closing:
            return StudyView()
        return StudyView(row, {each.series: each for each in self.series_in(row)})

    def series_in(self, study: StudyRow) -> list[SeriesRow]:
        """Return the visible series of a study whose row was read: one query."""
        inside = self._table.query(keys.study_items(study.partition, study.study), keys.SERIES)
        rows = (SeriesRow.of(item, study.partition, study.study) for item in inside)
        return [row.at(study.update_id) for row in rows if member(study, row)]

    def count(self, partition: int, study: str, series: str | None = None) -> int:
        """Return how many instances a study or series has, without reading them.

        Two calls for a study, one for a series. What a store left that was killed just after its write, while its
        series was deleted, is counted until it is tidied away, minutes after the deletion.
        """
        at = keys.study_items(partition, study)
        if series:
            return self._table.count(at, keys.instances_of(series))
        every = self._table.count(at, keys.INSTANCES)
        if not any("closing" in item.fields for item in self._table.query(at, keys.SERIES)):
            return every
        visible = self.series_of(partition, study).series
        return sum(self._table.count(at, keys.instances_of(each)) for each in visible)

    def many(self, partition: int, wanted: Iterable[Uids]) -> dict[Uids, InstanceRow]:
        """Return those of many instances (study, series, instance UIDs) that exist: one batched read."""
        snapshot = Snapshot.read(self._table, partition, wanted)
        return {uids: snapshot.shown(uids) for uids in snapshot.instances if snapshot.exists(uids)}

    def vouched(self, partition: int, study: str, series: str, instance: str) -> frozenset[str]:
        """Return the versions that must be kept: every one that the row names, current or not."""
        uids = (study, series, instance)
        snapshot = Snapshot.read(self._table, partition, [uids])
        if not snapshot.exists(uids):
            return frozenset()
        return frozenset(file.version for file in snapshot.instances[uids].files)


def _view(partition: int, uid: str, items: Iterable[Item]) -> StudyView:
    study: StudyRow | None = None
    series: dict[str, SeriesRow] = {}
    instances: list[InstanceRow] = []
    for item in items:
        sk = item.key.sk
        if sk.startswith("instance/"):
            instances.append(InstanceRow.of(item, partition, uid))
        elif sk.startswith("series/"):
            row = SeriesRow.of(item, partition, uid)
            series[row.series] = row
        else:
            study = StudyRow.of(item, partition, uid)
    if study is None or study.closing:
        return StudyView()
    series = {uid: row.at(study.update_id) for uid, row in series.items() if member(study, row)}
    created, update_id = study.created, study.update_id
    return StudyView(
        study,
        series,
        [
            row.at(update_id)
            for row in instances
            if row.of_study == created and (parent := series.get(row.series)) and parent.created == row.of_series
        ],
    )


def _torn(view: StudyView) -> bool:
    """Tell whether instances of an updated study are not of that update: read before it, perhaps, or just stored."""
    study = view.study
    if study is None or not study.update_id:
        return False
    return any(row.update_id != study.update_id and row.created <= study.last_watermark for row in view.instances)
