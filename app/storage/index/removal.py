"""How instances cease to exist (conformance §6.2).

A study or series is *closed* first, in one write: from then on nobody sees it or anything in it. Then its instances are
unmade, as many in one write as fit, each with its feed entry and its blob queued for the sweep; then the emptied series
and study rows go. An instance that is the last of its series closes the series in the same write, and the series the
study; one that is not the last writes the row above all the same, so that of two that go at once one sees that it is.
`closing` tells how that meets a store. So an open study always has an open series, and that an instance.
Whoever closes writes a record that has the study looked at again minutes later: a kill -9 at any point leaves something
invisible, which `tidy` finishes.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import Final

from app.errors import Conflict, NotFound, StorageUnavailable
from app.storage.feed.change_feed import FEED_ITEMS, FeedLog
from app.storage.index import closing, sweep
from app.storage.index.plan import removal_changes
from app.storage.records.postings import postings
from app.storage.records.rows import DELETING, EMPTYING, InstanceRow, SeriesRow, StudyRow, member
from app.storage.records.snapshot import Snapshot, Uids
from app.storage.table import keys
from app.storage.table.batch import Cost, cost, grouped, write_atomically
from app.storage.table.counters import SequenceCounter
from app.storage.table.partitions import Partition
from app.storage.table.ports import Change, Delete, Key, Range, Table
from app.storage.table.retry import retry

_SPARE: Final = 4  # changes left free in a write for closing the rows above


class InstanceRemoval:
    """Deletes studies, series and instances. `delay` is how many seconds their blobs stay."""

    def __init__(
        self,
        table: Table,
        numbers: SequenceCounter,
        feed: FeedLog,
        delay: int,
    ) -> None:
        self._table = table
        self._numbers = numbers
        self._feed = feed
        self._delay = delay

    # --- what a client asks for ---

    def delete(self, partition: Partition, study: str, series: str | None = None, instance: str | None = None) -> None:
        """Delete a study, a series or an instance; raises `NotFound` if it does not exist."""
        if series is None:
            retry(lambda: self._delete_study(partition, study))
        elif instance is None:
            retry(lambda: self._delete_series(partition, study, series))
        else:
            retry(lambda: self._delete_instance(partition, study, series, instance))

    def _delete_study(self, partition: Partition, uid: str) -> None:
        study = Snapshot.read(self._table, partition.key, [(uid,)]).studies.get(uid)
        if study is None or study.closing:
            raise NotFound("study")
        self._table.write(closing.closed(study, DELETING), sweep.tidying(partition, uid))
        self._finish(partition, uid)

    def _delete_series(self, partition: Partition, *uids: str) -> None:
        found = Snapshot.read(self._table, partition.key, [uids])
        study, series = found.studies.get(uids[0]), found.series.get((uids[0], uids[1]))
        if study is None or series is None or not member(study, series):
            raise NotFound("series")
        self._table.write(*self._closing(partition, study, series, DELETING))
        self._finish(partition, study.study)

    def _delete_instance(self, partition: Partition, *uids: str) -> None:
        study, series, instance = uids
        found = Snapshot.read(self._table, partition.key, [uids])
        if not found.exists((study, series, instance)):
            raise NotFound("instance")
        self._unmake_one(partition, found, (study, series, instance))

    # --- what a store asks for ---

    def take_back(self, partition: Partition, rows: Iterable[InstanceRow]) -> None:
        """Unmake instances, visible or not; those that are gone already are passed over."""
        for row in rows:
            retry(partial(self._take_back, partition, row))

    def _take_back(self, partition: Partition, row: InstanceRow) -> None:
        uids = (row.study, row.series, row.instance)
        found = Snapshot.read(self._table, partition.key, [uids])
        if uids in found.instances and found.instances[uids].created == row.created:
            self._unmake_one(partition, found, uids)

    # --- finishing ---

    def _finish(self, partition: Partition, study: str) -> None:
        """Tidy at once. The deletion is done whatever fails here: the record written with it has it looked at again."""
        with suppress(StorageUnavailable):
            self.tidy(partition, study)

    def tidy(self, partition: Partition, study: str) -> None:
        """Finish every deletion under way in a study, and unmake what a crashed store left in it.

        Safe to repeat and to run beside itself and beside stores. Opens again what was closed as empty but is not.
        """
        retry(lambda: self._tidy(partition, study))

    def _tidy(self, partition: Partition, uid: str) -> None:
        study, series, instances = self._everything(partition.key, uid)
        deleting = {
            each.series
            for each in series.values()
            if study is None or study.closing == DELETING or each.closing == DELETING or each.of_study != study.created
        }
        doomed = [
            row for row in instances if row.series in deleting or closing.astray(row, series.get(row.series), study)
        ]
        for batch in grouped(doomed, _cost, reserved=_SPARE):
            self._unmake(partition, batch)
        for each in series.values():
            if each.series in deleting or each.closing:
                self._settle(each, keys.instances_of(each.series), study)
        if study and study.closing:
            self._settle(study, keys.SERIES)

    def _settle(self, row: StudyRow | SeriesRow, members: Range, above: StudyRow | None = None) -> None:
        """Remove the row of an emptied study or series, or open it again: a store put something in after all."""
        left = list(self._table.query(keys.study_items(row.partition, row.study), members))
        if not left:
            gone = postings(row)
            changes = [Delete(row.key, closing.unchanged(row)), *(Delete(key) for key in gone)]
            write_atomically(self._table, changes)
        elif row.closing == EMPTYING and any(closing.is_open_in(row, item) for item in left):
            self._table.write(closing.opened(row), *((closing.touched(above),) if above else ()))
        else:
            raise Conflict(row.key)

    # --- pieces ---

    def _everything(self, partition: int, uid: str) -> tuple[StudyRow | None, dict[str, SeriesRow], list[InstanceRow]]:
        """Return every row under a study UID, visible or not."""
        study: StudyRow | None = None
        series: dict[str, SeriesRow] = {}
        instances: list[InstanceRow] = []
        for item in self._table.query(keys.study_items(partition, uid)):
            if item.key.sk.startswith("instance/"):
                instances.append(InstanceRow.of(item, partition, uid))
            elif item.key.sk.startswith("series/"):
                row = SeriesRow.of(item, partition, uid)
                series[row.series] = row
            else:
                study = StudyRow.of(item, partition, uid)
        return study, series, instances

    def _unmake(self, partition: Partition, rows: list[InstanceRow], also: Iterable[Change] = ()) -> None:
        """Remove instances in one write, with their feed entries."""
        unmade: dict[Key, Change] = {}
        for row in rows:
            unmade |= removal_changes(row, self._delay)
        numbers = self._numbers.reserve(len(rows))
        changes = [
            *unmade.values(),
            *self._feed.changes(partition, zip(numbers, rows, strict=True), "Delete"),
            *also,
        ]
        try:
            write_atomically(self._table, changes)
        except Conflict:
            self._feed.seal(numbers)
            raise

    def _unmake_one(self, partition: Partition, found: Snapshot, uids: Uids) -> None:
        """Remove an instance, and close its series if that was its last one."""
        row, series, study = found.instances[uids], found.series.get(uids[:2]), found.studies.get(uids[0])
        if series is None or study is None or closing.astray(row, series, study):
            self._unmake(partition, [row])
        elif self._has_others(partition.key, series, row.key, keys.instances_of(series.series)):
            self._unmake(partition, [row], [closing.touched(series)])
        elif not series.ending:
            self._table.write(closing.ending(series))
            raise Conflict(series.key)  # look again, now that every store knows
        else:
            self._unmake(partition, [row], self._closing(partition, study, series, EMPTYING))
            self._finish(partition, study.study)

    def _closing(self, partition: Partition, study: StudyRow, series: SeriesRow, why: str) -> list[Change]:
        """Return the changes that close a series, and its study if that loses its last one."""
        others = self._has_others(partition.key, study, series.key, keys.SERIES)
        above = closing.touched(study) if others else closing.closed(study, EMPTYING)
        return [closing.closed(series, why), above, sweep.tidying(partition, study.study)]

    def _has_others(self, partition: int, row: StudyRow | SeriesRow, but: Key, members: Range) -> bool:
        """Tell whether a study or series, read before, has members besides one."""
        items = self._table.query(keys.study_items(partition, row.study), members)
        return any(item.key != but and closing.is_open_in(row, item) for item in items)


def _cost(row: InstanceRow) -> Cost:
    """Return what the removal of an instance takes of a transaction, with its feed entry."""
    changes, size = cost(removal_changes(row).values())
    return Cost(changes + FEED_ITEMS, size)
