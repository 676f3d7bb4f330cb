"""Deletion of studies, series and instances (conformance §6.2).

A study or series is *closed* in one write. From then on no reader sees it or anything in it, so the deletion is
complete for readers. The same write records that its rows are to be removed (`sweep.Deletion`). Then the request
removes rows within the limits of `cleanup.IN_REQUEST`. If some are left, it writes a record that is due at once, and
the worker removes the rest.

A single instance is removed in one write. If it is the last one of its series, the same write closes the series, and
the study with the last series. So a visible study always has a visible series, and that has a visible instance. If it
is not the last one, the write raises the revision of its series row. So two deletions that run at the same time
conflict, and the second one sees that its instance is the last. `storage/index/closing.py` says how this works beside
stores.

A kill -9 leaves, after each step:

1. the closing write: hidden rows and a deletion record that is due after `sweep.CLEANUP_SECONDS`;
2. a write of the cleanup: fewer hidden rows, and the same record;
3. the record of the rest: hidden rows, and two records, the second one due at once. Both may be processed.

A store that meets the closing row in the meantime helps to remove the rows (`help_cleanup`).
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import partial

from app.errors import Conflict, NotFound, StorageUnavailable
from app.storage.index import cleanup, closing, counts, sweep
from app.storage.index.removal_writer import RemovalWriter
from app.storage.index.sweep import Deletion
from app.storage.records.rows import DELETING, EMPTYING, InstanceRow, SeriesRow, StudyRow, is_visible_series
from app.storage.records.snapshot import Snapshot, Uids
from app.storage.table import keys
from app.storage.table.partitions import Partition
from app.storage.table.ports import Change, Key, Range, Table
from app.storage.table.retry import retry


class InstanceRemoval:
    """Deletes studies, series and instances."""

    def __init__(self, table: Table, writer: RemovalWriter) -> None:
        self._table = table
        self._writer = writer
        self._cleanup = cleanup.Cleanup(table, writer)

    # --- for clients ---

    def delete(self, partition: Partition, study: str, series: str | None = None, instance: str | None = None) -> None:
        """Delete a study, a series or an instance. Raises `NotFound` if it does not exist.

        When this returns, no reader sees what was deleted. The Delete entries of a large study appear in the change
        feed later, as the worker removes the instances.
        """
        if series is None:
            deletion: Deletion | None = retry(lambda: self._close_study(partition, study))
        elif instance is None:
            deletion = retry(lambda: self._close_series(partition, study, series))
        else:
            deletion = retry(lambda: self._delete_instance(partition, study, series, instance))
        if deletion:
            self._clean_up(deletion)

    def _close_study(self, partition: Partition, uid: str) -> Deletion:
        study = Snapshot.read(self._table, partition.key, [(uid,)]).studies.get(uid)
        if study is None or study.closing:
            raise NotFound("study")
        deletion = sweep.deletion_of(partition, uid)
        self._table.write(closing.close(study, DELETING), sweep.queue_cleanup(deletion, sweep.CLEANUP_SECONDS))
        return deletion

    def _close_series(self, partition: Partition, *uids: str) -> Deletion:
        found = Snapshot.read(self._table, partition.key, [uids])
        study, series = found.studies.get(uids[0]), found.series.get((uids[0], uids[1]))
        if study is None or series is None or not is_visible_series(study, series):
            raise NotFound("series")
        deletion = sweep.deletion_of(partition, study.study, series.series)
        self._table.write(*self._closing_changes(deletion, study, series, DELETING))
        return deletion

    def _delete_instance(self, partition: Partition, *uids: str) -> Deletion | None:
        study, series, instance = uids
        found = Snapshot.read(self._table, partition.key, [uids])
        if not found.exists((study, series, instance)):
            raise NotFound("instance")
        return self._remove_one(partition, found, (study, series, instance))

    def _clean_up(self, deletion: Deletion) -> None:
        """Remove the hidden rows within the limits of a request, and hand over the rest to the worker.

        A failure here does not change the result of the deletion: the worker finds the record that the closing write
        made.
        """
        with suppress(StorageUnavailable):
            rest = self._cleanup.run(deletion, cleanup.IN_REQUEST)
            if rest:
                retry(lambda: self._table.write(sweep.queue_cleanup(rest, 0)))

    # --- for the worker and for stores ---

    def clean_up(self, deletion: Deletion) -> Deletion | None:
        """Do one step of a cleanup for the worker; as `Cleanup.run`."""
        return self._cleanup.run(deletion, cleanup.IN_WORKER)

    def help_cleanup(self, deletion: Deletion) -> bool:
        """Remove rows of a deletion that a store has met, within the limits of a request. Its record stays.

        Returns whether nothing is left. Raises `StorageUnavailable` as `Cleanup.run`.
        """
        return self._cleanup.run(deletion, cleanup.IN_REQUEST) is None

    def take_back(self, partition: Partition, rows: Iterable[InstanceRow]) -> None:
        """Remove instances that a store has written, visible or not. Those that do not exist any more are skipped.

        Raises `StorageUnavailable` if the data store fails, or if every attempt conflicts with another writer.
        """
        for row in rows:
            deletion = retry(partial(self._take_back, partition, row))
            if deletion:
                self._clean_up(deletion)

    def _take_back(self, partition: Partition, row: InstanceRow) -> Deletion | None:
        uids = (row.study, row.series, row.instance)
        found = Snapshot.read(self._table, partition.key, [uids])
        if uids not in found.instances or found.instances[uids].created != row.created:
            return None
        return self._remove_one(partition, found, uids)

    # --- one instance ---

    def _remove_one(self, partition: Partition, found: Snapshot, uids: Uids) -> Deletion | None:
        """Remove an instance. Return the deletion of its series if the write has closed it.

        Raises `Conflict` if the rows are not as they were read. Then the caller reads them again.
        """
        row, series, study = found.instances[uids], found.series.get(uids[:2]), found.studies.get(uids[0])
        if series is None or study is None or closing.is_orphan(row, series, study):
            self._writer.remove(partition, [row])
            return None
        if self._has_others(partition.key, series, row.key, keys.instances_of(series.series)):
            self._writer.remove(partition, [row], [closing.new_revision(counts.with_one_less(series))])
            return None
        if not series.ending:
            self._table.write(closing.mark_ending(series))
            raise Conflict(series.key)  # look for other instances again, now that every store sees the mark
        deletion = sweep.deletion_of(partition, study.study, series.series)
        closing_changes = self._closing_changes(deletion, study, counts.with_one_less(series), EMPTYING)
        self._writer.remove(partition, [row], closing_changes)
        return deletion

    def _closing_changes(self, deletion: Deletion, study: StudyRow, series: SeriesRow, reason: str) -> list[Change]:
        """Return the changes that close a series, and its study if that has no other series, and record the cleanup."""
        others = self._has_others(study.partition, study, series.key, keys.SERIES)
        parent = closing.new_revision(study) if others else closing.close(study, EMPTYING)
        return [closing.close(series, reason), parent, sweep.queue_cleanup(deletion, sweep.CLEANUP_SECONDS)]

    def _has_others(self, partition: int, row: StudyRow | SeriesRow, member_key: Key, members: Range) -> bool:
        """Return whether a study or series has open members other than this one."""
        items = self._table.query(keys.study_items(partition, row.study), members)
        return any(item.key != member_key and closing.is_open_member(row, item) for item in items)
