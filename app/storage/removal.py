"""How instances cease to exist (spec/05).

A study or series is *closed* first, in one write: from then on nobody sees it or anything in it. Then its instances are
unmade, as many in one write as fit, each with its feed entry and its blob queued for the sweep; then the emptied series
and study rows go. An instance that is the last of its series closes the series in the same write, and the series the
study. Whoever closes writes a record that has the study looked at again minutes later: a kill -9 at any point leaves
something invisible, which `tidy` finishes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Final

from app.dicom.attributes import MODALITY, Attribute, Level
from app.errors import Conflict, NotFound, StorageUnavailable
from app.storage import keys, sweep
from app.storage.changefeed import ChangeFeed
from app.storage.instances import Instances
from app.storage.partitions import Partition
from app.storage.plan import Extended, removal_changes
from app.storage.ports import MAX_CHANGES, Change, Delete, Holds, Key, Put, Table
from app.storage.postings import modality, postings
from app.storage.rows import DELETING, EMPTYING, InstanceRow, SeriesRow, StudyRow
from app.storage.sequence import Sequence

_ATTEMPTS: Final = 20
_SPARE: Final = 4  # changes left free in a write for closing the rows above


class Removal:
    """Deletes studies, series and instances. `delay` is how many seconds their blobs stay."""

    def __init__(
        self,
        table: Table,
        instances: Instances,
        numbers: Sequence,
        feed: ChangeFeed,
        extended: Callable[[], Extended],
        delay: int,
    ) -> None:
        self._table = table
        self._instances = instances
        self._numbers = numbers
        self._feed = feed
        self._extended = extended
        self._delay = delay

    # --- what a client asks for ---

    def delete(self, partition: Partition, study: str, series: str | None = None, instance: str | None = None) -> None:
        """Delete a study, a series or an instance; raises `NotFound` if it does not exist."""
        for _ in range(_ATTEMPTS):
            try:
                if series and instance:
                    return self._delete_instance(partition, study, series, instance)
                return self._delete_whole(partition, study, series)
            except Conflict:
                continue  # a store changed a row that was read: read again
        raise StorageUnavailable

    def _delete_instance(self, partition: Partition, study: str, series: str, instance: str) -> None:
        row = self._instances.one(partition.key, study, series, instance)
        if row is None:
            raise NotFound("instance")
        closing = self._emptied_by(partition, row)
        self._unmake(partition, [row], closing)
        if closing:
            self.tidy(partition, study)

    def _delete_whole(self, partition: Partition, study: str, series: str | None) -> None:
        view = self._instances.series_of(partition.key, study)
        if view.study is None or (series and series not in view.series):
            raise NotFound("series" if series else "study")
        closed: StudyRow | SeriesRow = view.series[series] if series else view.study
        last = series is not None and len(view.series) == 1
        self._table.write(
            _closed(closed, DELETING),
            *([_closed(view.study, EMPTYING)] if last else []),
            sweep.tidying(partition, study),
        )
        self.tidy(partition, study)

    def remove(self, partition: Partition, rows: Iterable[InstanceRow]) -> None:
        """Unmake instances, visible or not, and nothing above them; those that are gone already are passed over."""
        for row in rows:
            try:
                self._unmake(partition, [row])
            except Conflict:
                continue

    # --- finishing ---

    def tidy(self, partition: Partition, study: str) -> None:
        """Finish every deletion under way in a study, and unmake what a crashed store left in it.

        Safe to repeat and to run beside itself and beside stores. Opens again what was closed as empty but is not.
        """
        for _ in range(_ATTEMPTS):
            try:
                return self._tidy(partition, study)
            except Conflict:
                continue
        raise StorageUnavailable

    def _tidy(self, partition: Partition, uid: str) -> None:
        study, series, instances = self._everything(partition.key, uid)
        deleting = {
            each.series
            for each in series.values()
            if study is None or study.closing == DELETING or each.closing == DELETING or each.of_study != study.created
        }
        doomed = [row for row in instances if row.series in deleting or _astray(row, series.get(row.series), study)]
        for batch in self._batches(doomed):
            self._unmake(partition, batch)
        gone = {row.instance for row in doomed}
        for each in series.values():
            if each.series in deleting or each.closing:
                left = [row for row in instances if row.series == each.series and row.instance not in gone]
                self._settle_series(partition.key, uid, study, each, empty=not left)
        if study and study.closing:
            self._settle_study(partition.key, study)

    def _settle_series(
        self, partition: int, uid: str, study: StudyRow | None, series: SeriesRow, *, empty: bool
    ) -> None:
        """Remove the row of an emptied series, or open it again: a store put an instance in after all."""
        inside = next(self._table.query(keys.study_items(partition, uid), keys.instances_of(series.series), limit=1), 0)
        if inside or not empty:
            if series.closing == EMPTYING:
                self._table.write(
                    Put(replace(series, closing="", revision=series.revision + 1).item, _unchanged(series))
                )
                return
            raise Conflict(series.key)
        changes: dict[Key, Change] = {key: Delete(key) for key in postings(series, self._tags(Level.SERIES))}
        if study and series.of_study == study.created and not self._modality_remains(partition, study, series):
            changes |= {key: Delete(key) for key in modality(study, series.attributes)}
        self._table.write(*changes.values(), Delete(series.key, _unchanged(series)))

    def _settle_study(self, partition: int, study: StudyRow) -> None:
        left = next(self._table.query(keys.study_items(partition, study.study), keys.SERIES, limit=1), None)
        if left is None:
            gone = postings(study, self._tags(Level.STUDY))
            self._table.write(*(Delete(key) for key in gone), Delete(study.key, _unchanged(study)))
        elif study.closing == EMPTYING:
            self._table.write(Put(replace(study, closing="", revision=study.revision + 1).item, _unchanged(study)))
        else:
            raise Conflict(study.key)

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

    def _batches(self, rows: list[InstanceRow]) -> Iterator[list[InstanceRow]]:
        """Cut rows into batches whose removal fits one write."""
        batch: list[InstanceRow] = []
        size = _SPARE
        for row in rows:
            weight = len(removal_changes(row, self._tags(Level.INSTANCE))) + 2
            if batch and size + weight > MAX_CHANGES:
                yield batch
                batch, size = [], _SPARE
            batch.append(row)
            size += weight
        if batch:
            yield batch

    def _unmake(self, partition: Partition, rows: list[InstanceRow], closing: Iterable[Change] = ()) -> None:
        """Remove instances in one write, with their feed entries; what does not fit is postings, removed after it."""
        tags = self._tags(Level.INSTANCE)
        unmade: dict[Key, Change] = {}
        for row in rows:
            unmade |= removal_changes(row, tags, self._delay)
        numbers = self._numbers.reserve(len(rows))
        changes = [
            *unmade.values(),
            *self._feed.changes(partition, zip(numbers, rows, strict=True), "Delete"),
            *closing,
        ]
        later = [each for each in changes if isinstance(each, Delete) and each.expect is None]
        later = later[: max(0, len(changes) - MAX_CHANGES)]
        postponed = {change.key for change in later}
        try:
            self._table.write(*(change for change in changes if change.key not in postponed))
        except Conflict:
            self._feed.seal(numbers)
            raise
        for start in range(0, len(later), MAX_CHANGES):
            self._table.write(*later[start : start + MAX_CHANGES])

    def _emptied_by(self, partition: Partition, row: InstanceRow) -> list[Change]:
        """Return the changes that close the series, and the study, that lose their last member with this instance."""
        at = keys.study_items(row.partition, row.study)
        neighbours = [item.key for item in self._table.query(at, keys.instances_of(row.series), limit=2)]
        if any(key != row.key for key in neighbours):
            return []
        view = self._instances.series_of(row.partition, row.study)
        if view.study is None or row.series not in view.series:
            raise Conflict(row.key)
        changes = [_closed(view.series[row.series], EMPTYING), sweep.tidying(partition, row.study)]
        if len(view.series) == 1:
            changes.append(_closed(view.study, EMPTYING))
        return changes

    def _modality_remains(self, partition: int, study: StudyRow, gone: SeriesRow) -> bool:
        """Tell whether another series of the study has the same Modality."""
        items = self._table.query(keys.study_items(partition, study.study), keys.SERIES)
        others = (SeriesRow.of(item, partition, study.study) for item in items if item.key != gone.key)
        return any(other.attributes.get(MODALITY) == gone.attributes.get(MODALITY) for other in others)

    def _tags(self, level: Level) -> tuple[Attribute, ...]:
        return self._extended().get(level, ())


def _closed(row: StudyRow | SeriesRow, why: str) -> Change:
    return Put(replace(row, closing=why, revision=row.revision + 1).item, _unchanged(row))


def _unchanged(row: StudyRow | SeriesRow) -> Holds:
    return Holds("revision", row.revision)


def _astray(row: InstanceRow, series: SeriesRow | None, study: StudyRow | None) -> bool:
    """Tell whether an instance belongs to rows that are not there any more."""
    return not (study and series and row.of_study == study.created and row.of_series == series.created)
