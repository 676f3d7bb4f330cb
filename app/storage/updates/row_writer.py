"""Conditional writes of many rows: as many rows in one write as fit, and the rows of a conflict one by one.

The documents of a write are written before its transaction. A record names them, which the transaction removes. The
files that a write replaces are named by a record that the transaction puts. So a kill -9 leaves nothing that the sweep
does not find.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Final, Generic, NamedTuple, TypeVar

from app.errors import Conflict
from app.storage.index import sweep
from app.storage.index.open_commit import OpenCommit
from app.storage.records.leftovers import Leftovers
from app.storage.table import keys
from app.storage.table.batch import cost, grouped, write_atomically
from app.storage.table.counters import SequenceCounter
from app.storage.table.ports import Change, Table
from app.storage.table.retry import retry
from app.storage.updates.version_changes import RowWrite

_RECORDS: Final = 2
"""Changes of a transaction for the records of what it leaves and of what it replaces."""

_MOST_BESIDE: Final = 2
"""Changes that `Preparation.beside` may return."""

J = TypeVar("J")
"""A job: a row, or something that holds a row."""

WriteOf = Callable[[J, int], RowWrite]
"""Returns the write of a job under a watermark. It is conditional on the revision of the row."""


def _nothing(_: object) -> list[Change]:
    return []


class Preparation(NamedTuple, Generic[J]):
    """What the writes of some jobs have in common.

    `beside` returns up to `_MOST_BESIDE` changes that each write has beside those of its jobs.
    """

    write_of: WriteOf[J]
    beside: Callable[[Sequence[J]], list[Change]] = _nothing


class RowWriter:
    """Writes rows. All changes of a row are one atomic write. A kill -9 leaves some rows written and others not."""

    def __init__(self, table: Table, numbers: SequenceCounter) -> None:
        self._table = table
        self._numbers = numbers

    def write(
        self,
        jobs: Sequence[J],
        prepare: Callable[[], Preparation[J]],
        reread: Callable[[J], J | None],
        conditions: Sequence[Change] = (),
        *,
        numbered: bool = True,
        opened: OpenCommit | None = None,
    ) -> list[J]:
        """Write each job, under the conditions. Return the jobs that were abandoned.

        `opened` names the files of the jobs. No row is written after the sweep has taken its records.

        If `numbered`, each job gets a new watermark, else 0.

        If a write conflicts, its jobs are written one by one: `reread` returns the present job, or None to abandon it.
        """
        required = [*conditions, *(opened.still_open() if opened else ())]
        abandoned: list[J] = []
        numbers = self._reserve(len(jobs), numbered)
        prepared = prepare()
        writes = ((job, prepared.write_of(job, number)) for job, number in zip(jobs, numbers, strict=True))
        reserved = len(required) + _RECORDS + _MOST_BESIDE
        for group in grouped(writes, lambda each: cost(each[1].changes), reserved=reserved):
            beside = prepared.beside([job for job, _ in group])
            try:
                self._commit([*required, *beside], [write for _, write in group])
            except Conflict:
                written = (self._write_one(job, prepare, reread, required, numbered) for job, _ in group)
                abandoned += [job for (job, _), done in zip(group, written, strict=True) if not done]
        return abandoned

    def _commit(self, conditions: Sequence[Change], writes: Sequence[RowWrite]) -> None:
        """Make one write. A kill -9 before its transaction leaves documents, and the record that names them."""
        new = Leftovers.joined(each.new for each in writes)
        replaced = Leftovers.joined(each.replaced for each in writes)
        changes = [*conditions, *chain.from_iterable(each.changes for each in writes)]
        if new:
            changes += OpenCommit(self._table, new).ending(new)
        if replaced:
            changes.append(sweep.queue_removal(replaced, max(each.delay for each in writes)))
        changes.sort(key=lambda change: keys.is_posting(change.key))  # postings come last: they may be written apart
        write_atomically(self._table, changes, before=list(chain.from_iterable(each.before for each in writes)))

    def _reserve(self, count: int, numbered: bool) -> Sequence[int]:
        return self._numbers.reserve(count) if count and numbered else [0] * count

    def _write_one(
        self,
        job: J,
        prepare: Callable[[], Preparation[J]],
        reread: Callable[[J], J | None],
        conditions: Sequence[Change],
        numbered: bool,
    ) -> bool:
        """Read a job again and write it, until the write does not conflict. False if the job is abandoned."""

        def attempt() -> bool:
            present = reread(job)
            if present is None:
                return False
            (number,) = self._reserve(1, numbered)
            prepared = prepare()
            self._commit([*conditions, *prepared.beside([present])], [prepared.write_of(present, number)])
            return True

        return retry(attempt)
