"""Conditional writes of many rows: as many rows in one write as fit, and the rows of a conflict one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from app.errors import Conflict
from app.storage.feed.change_feed import FeedLog
from app.storage.table.batch import cost, grouped, write_atomically
from app.storage.table.counters import SequenceCounter
from app.storage.table.ports import Change, Table
from app.storage.table.retry import retry

J = TypeVar("J")
"""A job: a row, or something that holds a row."""

ChangesOf = Callable[[J, int], list[Change]]
"""Returns the changes that write a job under a feed number. They are conditional on the revision of the row."""


class RowWriter:
    """Writes rows. All changes of a row are one atomic write. A kill -9 leaves some rows written and others not."""

    def __init__(self, table: Table, numbers: SequenceCounter, feed: FeedLog) -> None:
        self._table = table
        self._numbers = numbers
        self._feed = feed

    def write(
        self,
        jobs: Sequence[J],
        prepare: Callable[[], ChangesOf[J]],
        reread: Callable[[J], J | None],
        conditions: Sequence[Change] = (),
        *,
        numbered: bool = True,
    ) -> list[J]:
        """Write each job, under the conditions. Return the jobs that were abandoned.

        If `numbered`, each job gets a new number of the feed, else 0. `prepare` is called after the numbers are
        reserved, so what it reads is not older than they are.

        If a write conflicts, its jobs are written one by one: `reread` returns the present job, or None to abandon it.
        """
        abandoned: list[J] = []
        numbers = self._reserve(len(jobs), numbered)
        changes_of = prepare()
        prepared = ((job, number, changes_of(job, number)) for job, number in zip(jobs, numbers, strict=True))
        for group in grouped(prepared, lambda each: cost(each[2]), reserved=len(conditions)):
            try:
                write_atomically(self._table, [*conditions, *(change for _, _, changes in group for change in changes)])
            except Conflict:
                self._feed.close_gaps(number for _, number, _ in group if number)
                written = (self._write_one(job, prepare, reread, conditions, numbered) for job, _, _ in group)
                abandoned += [job for (job, _, _), done in zip(group, written, strict=True) if not done]
        return abandoned

    def _reserve(self, count: int, numbered: bool) -> Sequence[int]:
        return self._numbers.reserve(count) if count and numbered else [0] * count

    def _write_one(
        self,
        job: J,
        prepare: Callable[[], ChangesOf[J]],
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
            try:
                write_atomically(self._table, [*conditions, *prepare()(present, number)])
            except Conflict:
                self._feed.close_gaps([number] if number else ())
                raise
            return True

        return retry(attempt)
