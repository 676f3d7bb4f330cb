"""The check after the write of a store: is the instance visible, and has a bulk update included it?

A store that does not write its study row and series row does not conflict with a deletion or a bulk update that writes
them at the same time. So it reads these rows again after its write, before a client is told that the instance is
stored. (A transaction that expects the rows as they were read needs no such check: `storage/index/writer.py`.)

* A deletion has closed the study or series. The deletion wins, and the store removes its instance again.
* A deletion is about to close the series as empty (`storage/index/closing.py`). The store clears that mark.
* A bulk update has begun or is published. The store counts as later than the update, unless the update has included the
  instance. So its values are written into the study row again.

A kill -9 before the check leaves an instance that no client was told of. It is visible, or the cleanup of the deletion
removes it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from app.errors import Conflict, StorageUnavailable
from app.storage.index import closing
from app.storage.index.plan import NewInstance, WritePlan
from app.storage.records.rows import InstanceRow
from app.storage.records.snapshot import Snapshot
from app.storage.table.batch import write_atomically
from app.storage.table.partitions import Partition
from app.storage.table.ports import Table
from app.storage.table.retry import RetriesExhausted, retry

_REOPEN_SECONDS: Final = 0.05
"""How long a store waits for a deletion that closed the series as empty to open it again."""


class Confirmation:
    """Checks instances just after their write. `take_back` removes instances again."""

    def __init__(self, table: Table, take_back: Callable[[Partition, Iterable[InstanceRow]], None]) -> None:
        self._table = table
        self._take_back = take_back

    def confirm(self, partition: Partition, plan: WritePlan) -> list[InstanceRow | None]:
        """Return the rows that a plan has written, in order; None for an instance that is removed again.

        Raises `StorageUnavailable` if the outcome is not known.
        """
        rows = [row for _, row in plan.created]
        unsure = [row for row in rows if not plan.writes_parents_of(row)]
        if not unsure:
            return list(rows)
        hidden, parents = self._hidden(partition, unsure)
        if hidden:
            try:
                self._take_back(partition, hidden)
            except RetriesExhausted as exhausted:  # the rows are written, so the outcome is unknown and not contended
                raise StorageUnavailable from exhausted
        for row, new_instance in zip(rows, plan.new_instances, strict=True):
            if row in unsure and row not in hidden and not plan.has_same_update(parents.studies[row.study]):
                self._write_study_values(partition, new_instance)
        return [None if row in hidden else row for row in rows]

    def _hidden(self, partition: Partition, rows: list[InstanceRow]) -> tuple[list[InstanceRow], Snapshot]:
        """Return the instances whose study or series is closed or does not exist, and the study and series rows."""

        def read() -> Snapshot:
            return Snapshot.read(self._table, partition.key, {(row.study, row.series) for row in rows})

        def attempt() -> tuple[list[InstanceRow], Snapshot]:
            parents = read()
            hidden = [row for row in rows if not parents.are_parents_of(row)]
            if any(parents.is_closing_as_empty((row.study, row.series, row.instance)) for row in hidden):
                time.sleep(_REOPEN_SECONDS)  # the deletion finds this instance and opens the series again
                raise Conflict(None)
            self._keep_open(parents)
            return hidden, parents

        try:
            return retry(attempt)
        except RetriesExhausted:
            return rows, read()

    def _keep_open(self, parents: Snapshot) -> None:
        """Clear the mark on series that a deletion is about to close as empty. Raises `Conflict` if one was written."""
        for row in parents.series.values():
            if row.ending and not row.closing:
                self._table.write(closing.clear_ending(row))

    def _write_study_values(self, partition: Partition, new_instance: NewInstance) -> None:
        """Write the study attributes of an instance into its study row, unless a bulk update has included it."""

        def attempt() -> None:
            found = Snapshot.read(self._table, partition.key, [new_instance.uids])
            if found.exists(new_instance.uids) and not found.is_in_update(new_instance.uids):
                write_atomically(self._table, WritePlan(partition, found).study_value_changes(new_instance))

        with suppress(RetriesExhausted):
            retry(attempt)
