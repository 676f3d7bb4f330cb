"""Reads of the index: which studies, series and instances are visible, by UID (`rows.is_visible_instance`).

The study row is read after the series rows and the instance rows. A bulk update shows its pending versions with one
write to the study row, after it wrote them all. So each row that was read after its pending version was written shows
the version that the study row names. Only a row that was read before that can show an older one. `_mixes_versions`
detects this case, and the study is read again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from app.storage.records.rows import InstanceRow, SeriesRow, StudyRow, belongs_to, is_visible_series
from app.storage.records.snapshot import Snapshot, Uids
from app.storage.table import keys
from app.storage.table.ports import Item, Table

_CHECK_AFTER: Final = 1000
"""Rows of a study that are read before the first look at the study row."""


@dataclass(frozen=True, slots=True)
class StudyView:
    """The visible rows of one study: its row (None if it does not exist), its series by UID, and the instances read."""

    study: StudyRow | None = None
    series: dict[str, SeriesRow] = field(default_factory=dict)
    instances: list[InstanceRow] = field(default_factory=list)

    @property
    def in_order(self) -> list[InstanceRow]:
        """The instances in the order of storing."""
        return sorted(self.instances, key=lambda row: row.created)


class Instances:
    """Finds the visible studies, series and instances of a partition."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def find(self, partition: int, study: str, series: str, instance: str) -> InstanceRow | None:
        """Return an instance, None if it does not exist. This is one read of three keys."""
        uids = (study, series, instance)
        return self.find_many(partition, [uids]).get(uids)

    def view(self, partition: int, study: str, series: str | None = None) -> StudyView:
        """Return a study with its visible series and instances, or with one series and its instances.

        Either all rows are as before a bulk update or all are as after it. This is one query for a study, and one
        query and one batched read for a series.
        """
        view = _view_of(partition, study, self._items(partition, study, series))
        while _mixes_versions(view):
            update_id = view.study.update_id if view.study else ""
            view = _view_of(partition, study, self._items(partition, study, series))
            if view.study and view.study.update_id == update_id:
                break  # this reading began after that update was shown
        return view

    def view_of_few(self, partition: int, study: str, series: str | None, most: int) -> StudyView | None:
        """Return as `view`, None if the study or the series has more than `most` rows."""
        items = list(islice(self._items(partition, study, series), most + 1))
        if len(items) > most:
            return None
        view = _view_of(partition, study, items)
        return self.view(partition, study, series) if _mixes_versions(view) else view

    def _items(self, partition: int, study: str, series: str | None) -> Iterator[Item]:
        pk = keys.study_items(partition, study)
        if series is None:  # the study row comes last: "study" sorts after "instance/", "series/" and "shard/"
            yield from self._until_hidden(partition, study, series, self._table.query(pk))
            return
        items = self._table.query(pk, keys.instances_of(series))
        yield from self._until_hidden(partition, study, series, items)
        parents = self._table.get_many([keys.series(partition, study, series), keys.study(partition, study)])
        yield from (item for item in parents if item)

    def _until_hidden(self, partition: int, study: str, series: str | None, items: Iterable[Item]) -> Iterator[Item]:
        """Yield items. After many of them, check whether the study or series is visible, and stop if it is not.

        So a large study that was just deleted is not read to its end while the worker removes its rows.
        """
        for count, item in enumerate(items, start=1):
            if count == _CHECK_AFTER:
                parents = Snapshot.read(self._table, partition, [(study, series) if series else (study,)])
                row = parents.studies.get(study)
                if (
                    row is None
                    or row.closing
                    or (series and not is_visible_series(row, parents.series.get((study, series))))
                ):
                    return
            yield item

    def series_view(self, partition: int, study: str) -> StudyView:
        """Return a study with its visible series, without instances. This is one read and one query."""
        item = self._table.get(keys.study(partition, study))
        row = StudyRow.of(item, partition, study) if item else None
        if row is None or row.closing:
            return StudyView()
        return StudyView(row, {each.series: each for each in self.visible_series(row)})

    def visible_series(self, study: StudyRow) -> list[SeriesRow]:
        """Return the visible series of a study, given its row. This is one query."""
        items = self._table.query(keys.study_items(study.partition, study.study), keys.SERIES)
        rows = (SeriesRow.of(item, study.partition, study.study) for item in items)
        return [row.after_update(study.update_id) for row in rows if is_visible_series(study, row)]

    def find_many(self, partition: int, wanted: Iterable[Uids]) -> dict[Uids, InstanceRow]:
        """Return those of many instances that exist, by study, series and instance UID. This is one batched read."""
        return _visible_instances(Snapshot.read(self._table, partition, wanted))

    def find_in_partitions(self, wanted: Iterable[tuple[int, Uids]]) -> dict[tuple[int, Uids], InstanceRow]:
        """Do the same for instances of several partitions, each with its partition key. This is one batched read."""
        snapshots = Snapshot.read_partitions(self._table, wanted)
        return {
            (partition, uids): row
            for partition, snapshot in snapshots.items()
            for uids, row in _visible_instances(snapshot).items()
        }


def _visible_instances(snapshot: Snapshot) -> dict[Uids, InstanceRow]:
    return {uids: snapshot.visible_instance(uids) for uids in snapshot.instances if snapshot.exists(uids)}


def _view_of(partition: int, uid: str, items: Iterable[Item]) -> StudyView:
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
        elif sk == "study":
            study = StudyRow.of(item, partition, uid)
    if study is None or study.closing:
        return StudyView()
    series = {uid: row.after_update(study.update_id) for uid, row in series.items() if is_visible_series(study, row)}
    return StudyView(
        study,
        series,
        [
            row.after_update(study.update_id)
            for row in instances
            if (parent := series.get(row.series)) and belongs_to(row, parent, study)
        ],
    )


def _mixes_versions(view: StudyView) -> bool:
    """Return whether instances of an updated study do not have the version of that update.

    They were read before the update wrote them, or they were stored while the update was being written.
    """
    study = view.study
    if study is None or not study.update_id:
        return False
    return any(row.update_id != study.update_id and row.created <= study.last_watermark for row in view.instances)
