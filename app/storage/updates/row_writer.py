"""Many rows written anew, as many in one write as fit, each on the condition that it is still what was read."""

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
ChangesOf = Callable[[J, int], list[Change]]
"""What it takes to write a job that has a number."""


class RowWriter:
    """Writes what rows shall become; every row's changes are all or nothing."""

    def __init__(self, table: Table, numbers: SequenceCounter, feed: FeedLog) -> None:
        self._table = table
        self._numbers = numbers
        self._feed = feed

    def all(
        self,
        jobs: Sequence[J],
        prepare: Callable[[], ChangesOf[J]],
        refreshed: Callable[[J], J | None],
        also: Sequence[Change] = (),
        *,
        numbered: bool = True,
    ) -> list[J]:
        """Write the changes of every job, with `also` in every write; if `numbered` each has a fresh number of the
        archive's sequence, else 0. `prepare` is called when numbers are reserved, and tells the changes of a job.

        Where a write conflicts, its jobs are tried one by one on what `refreshed` reads: None gives a job up. Returns
        the jobs given up.
        """
        lost: list[J] = []
        numbers = self._reserve(len(jobs), numbered)
        changes_of = prepare()
        prepared = ((job, number, changes_of(job, number)) for job, number in zip(jobs, numbers, strict=True))
        for group in grouped(prepared, lambda each: cost(each[2]), reserved=len(also)):
            try:
                write_atomically(self._table, [*also, *(change for _, _, changes in group for change in changes)])
            except Conflict:
                self._feed.seal(number for _, number, _ in group if number)
                lost += [job for job, _, _ in group if not self._alone(job, prepare, refreshed, also, numbered)]
        return lost

    def _reserve(self, count: int, numbered: bool) -> Sequence[int]:
        return self._numbers.reserve(count) if count and numbered else [0] * count

    def _alone(
        self,
        job: J,
        prepare: Callable[[], ChangesOf[J]],
        refreshed: Callable[[J], J | None],
        also: Sequence[Change],
        numbered: bool,
    ) -> bool:
        def attempt() -> bool:
            fresh = refreshed(job)
            if fresh is None:
                return False
            (number,) = self._reserve(1, numbered)
            try:
                write_atomically(self._table, [*also, *prepare()(fresh, number)])
            except Conflict:
                self._feed.seal([number] if number else ())
                raise
            return True

        return retry(attempt)
