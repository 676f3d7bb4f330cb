"""Conditional writes of many rows: as many rows in one write as fit, and the rows of a conflict one by one.

The documents of a write are written before its transaction. A record of the caller names them. The files that a write
replaces are named by a record that the transaction puts. So a kill -9 leaves nothing that the sweep does not find.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Final, Generic, NamedTuple, TypeVar

from app.errors import Conflict
from app.storage.index import sweep
from app.storage.records.leftovers import Leftovers
from app.storage.table import keys
from app.storage.table.batch import cost, grouped, write_atomically
from app.storage.table.ports import Change, Table
from app.storage.table.retry import retry
from app.storage.updates.version_changes import RowWrite

_MOST_BESIDE: Final = 2
"""Changes that `Preparation.beside` may return."""

J = TypeVar("J")
"""A job: a row, or something that holds a row."""


def _nothing(_: object) -> list[Change]:
    return []


class Preparation(NamedTuple, Generic[J]):
    """What the writes of some jobs have in common.

    `write_of` returns the write of a job, which is conditional on the revision of the row. `beside` returns up to
    `_MOST_BESIDE` changes that each transaction has beside those of its jobs.
    """

    write_of: Callable[[J], RowWrite]
    beside: Callable[[Sequence[J]], list[Change]] = _nothing


class RowWriter:
    """Writes rows. All changes of a row are one atomic write. A kill -9 leaves some rows written and others not."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def write(
        self,
        jobs: Sequence[J],
        prepare: Callable[[], Preparation[J]],
        reread: Callable[[J], J | None],
        conditions: Sequence[Change] = (),
    ) -> list[J]:
        """Write each job, under the conditions. Return the jobs that were abandoned.

        If a write conflicts, its jobs are written one by one: `reread` returns the present job, or None to abandon it.
        """
        abandoned: list[J] = []
        prepared = prepare()
        writes = ((job, prepared.write_of(job)) for job in jobs)
        reserved = len(conditions) + _MOST_BESIDE + 1  # the record of what the write replaces
        for group in grouped(writes, lambda each: cost(each[1].changes), reserved=reserved):
            beside = prepared.beside([job for job, _ in group])
            try:
                self._commit([*conditions, *beside], [write for _, write in group])
            except Conflict:
                written = (self._write_one(job, prepare, reread, conditions) for job, _ in group)
                abandoned += [job for (job, _), done in zip(group, written, strict=True) if not done]
        return abandoned

    def _commit(self, others: Sequence[Change], writes: Sequence[RowWrite]) -> None:
        """Make one write. A kill -9 before its transaction leaves documents, which a record of the caller names."""
        replaced = Leftovers.joined(each.replaced for each in writes)
        changes = [*others, *chain.from_iterable(each.changes for each in writes)]
        if replaced:
            changes.append(sweep.queue_removal(replaced, max(each.delay for each in writes)))
        changes.sort(key=lambda change: keys.is_posting(change.key))  # postings come last: they may be written apart
        write_atomically(self._table, changes, before=list(chain.from_iterable(each.before for each in writes)))

    def _write_one(
        self,
        job: J,
        prepare: Callable[[], Preparation[J]],
        reread: Callable[[J], J | None],
        conditions: Sequence[Change],
    ) -> bool:
        """Read a job again and write it, until the write does not conflict. False if the job is abandoned."""

        def attempt() -> bool:
            present = reread(job)
            if present is None:
                return False
            prepared = prepare()
            self._commit([*conditions, *prepared.beside([present])], [prepared.write_of(present)])
            return True

        return retry(attempt)
