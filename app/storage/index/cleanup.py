"""The removal of what a deletion hid: the rows of closed studies and series, in bounded steps.

A deletion closes its study or series in one write (`storage/index/removal.py`). From then on no reader sees anything in
it. The rows, postings and documents are removed here, page by page, by three callers: the request that deletes, the
worker that finds the deletion record, and a store that meets the closing row. They may run at the same time. Each write
removes some instances with their feed entries, so a kill -9 between two writes leaves hidden rows and nothing half
removed, and the next caller continues with them.

A store that is killed just after its write into a closing series leaves a hidden instance. The cleanup removes it too.
A row can be closed as empty although a store has added a member in the meantime. The cleanup opens such a row again.

The end of a cleanup removes the count shards of series that do not exist any more. A kill -9 before that leaves the
deletion record, so the cleanup runs again.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Final, NamedTuple

from msgspec.structs import replace

from app.storage.index import closing, counts
from app.storage.index.removal_writer import RemovalWriter
from app.storage.index.sweep import Deletion
from app.storage.records.rows import DELETING, EMPTYING, InstanceRow, SeriesRow, StudyRow
from app.storage.records.snapshot import Snapshot
from app.storage.table import keys
from app.storage.table.partitions import Partition
from app.storage.table.ports import ALL, Item, Table
from app.storage.table.retry import retry

_PAGE: Final = 100
"""Rows in memory at once."""


class WorkLimit(NamedTuple):
    """The most that one call does: a number of pages of `_PAGE` rows, and no new page after so many seconds."""

    pages: int
    seconds: float


IN_REQUEST: Final = WorkLimit(pages=5, seconds=10)
"""For requests: a load balancer waits 60 seconds for an answer."""

IN_WORKER: Final = WorkLimit(pages=20, seconds=10)
"""For the worker: a step must end before its lease ends, and the other records of the sweep wait for the step."""


class Cleanup:
    """Removes the hidden rows of deletions."""

    def __init__(self, table: Table, writer: RemovalWriter) -> None:
        self._table = table
        self._writer = writer

    def run(self, deletion: Deletion, limit: WorkLimit) -> Deletion | None:
        """Remove the next rows of a deletion. Return it with its new position, None when nothing of it is left.

        Raises `StorageUnavailable` if the data store fails, or if every attempt conflicts with another writer.
        """
        deadline = time.monotonic() + limit.seconds
        for _ in range(limit.pages):
            after = retry(partial(self._process_page, deletion))
            if after is None:
                retry(partial(counts.remove_lost_shards, self._table, deletion.partition.key, deletion.study))
                return None
            deletion = replace(deletion, after=after)
            if time.monotonic() >= deadline:
                break
        return deletion

    def _process_page(self, deletion: Deletion) -> str | None:
        """Process the next page of rows. Return the sort key after which the next page begins, None after the last.

        The study row and the series rows of instances are read after the instances. A store writes them together. So an
        instance without its study row is left over from an earlier study. It does not belong to a study that is being
        created.
        """
        partition = deletion.partition
        items, after = self._read_page(deletion)
        instances = [
            InstanceRow.of(item, partition.key, deletion.study)
            for item in items
            if item.key.sk.startswith(keys.INSTANCES.low)
        ]
        paths = {(deletion.study,), *((row.study, row.series) for row in instances)}
        parents = Snapshot.read(self._table, partition.key, paths)
        study = parents.studies.get(deletion.study)
        for batch in self._writer.batches(row for row in instances if _is_hidden(row, parents)):
            self._writer.remove(partition, batch)
        for item in items:
            if item.key.sk.startswith(keys.SERIES.low):
                series = SeriesRow.of(item, partition.key, deletion.study)
                if not self._end_series(partition, series, study):
                    return keys.before_instances_of(series.series)
            elif (
                item.key == keys.study(partition.key, deletion.study)
                and study
                and not self._end_study(partition, study)
            ):
                return after if deletion.series else keys.BEFORE_SERIES
        return after

    def _read_page(self, deletion: Deletion) -> tuple[list[Item], str | None]:
        """Return the next rows, and the sort key of the last one; None if these are the last rows.

        The rows of a study are sorted: instances, series, the study. Those of a series end with its own row and the
        row of its study.
        """
        key, study, series = deletion.partition.key, deletion.study, deletion.series
        between = keys.rows_after(deletion.after, keys.instances_of(series) if series else ALL)
        items = list(self._table.query(keys.study_items(key, study), between, limit=_PAGE))
        if len(items) == _PAGE:
            return items, items[-1].key.sk
        if series:
            parents = self._table.get_many([keys.series(key, study, series), keys.study(key, study)])
            items += [item for item in parents if item]
        return items, None

    def _end_series(self, partition: Partition, series: SeriesRow, study: StudyRow | None) -> bool:
        """Remove a series row that is closing and empty, or open it again. Return False if it still has instances."""
        is_deleted = _is_deleted(series, study)
        if not is_deleted and not series.closing:
            return True
        pk = keys.study_items(series.partition, series.study)
        members = keys.instances_of(series.series)
        if not any(True for _ in self._table.query(pk, members, limit=1)):
            self._writer.remove_parent(partition, series)
            return True
        if is_deleted or not any(closing.is_open_member(series, item) for item in self._table.query(pk, members)):
            return False
        self._table.write(closing.reopen(series), *([closing.new_revision(study)] if study else []))
        return True

    def _end_study(self, partition: Partition, study: StudyRow) -> bool:
        """Remove a study row that is closing and empty, or open it again. Return False if it still has series."""
        if not study.closing:
            return True
        pk = keys.study_items(study.partition, study.study)
        if not any(True for _ in self._table.query(pk, keys.SERIES, limit=1)):
            self._writer.remove_parent(partition, study)
            return True
        series = self._table.query(pk, keys.SERIES)
        if study.closing != EMPTYING or not any(closing.is_open_member(study, item) for item in series):
            return False
        self._table.write(closing.reopen(study))
        return True


def _is_deleted(series: SeriesRow, study: StudyRow | None) -> bool:
    """Return whether a series was deleted, alone or with its study, or belongs to an earlier study of the same UID."""
    return study is None or DELETING in (study.closing, series.closing) or series.of_study != study.created


def _is_hidden(row: InstanceRow, parents: Snapshot) -> bool:
    """Return whether an instance belongs to a deleted series, or to rows that do not exist any more."""
    study, series = parents.studies.get(row.study), parents.series.get((row.study, row.series))
    return series is None or _is_deleted(series, study) or closing.is_orphan(row, series, study)
