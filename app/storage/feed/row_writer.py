"""Many rows written anew, as many in one write as fit, each on the condition that it is still what was read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from app.errors import Conflict
from app.storage.feed.change_feed import FeedLog
from app.storage.table.counters import SequenceCounter
from app.storage.table.ports import MAX_CHANGES, Change, Delete, Put, Table
from app.storage.table.retry import retry

J = TypeVar("J")
ChangesOf = Callable[[J, int], list[Change]]
"""What it takes to write a job that has a number."""

_BYTES: Final = 2_000_000
"""Bytes of documents in one write, with room for the rows to what engines take."""
_POSTINGS: Final = ("/value/", "/word/")


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
        for group in _groups(prepared, len(also)):
            try:
                self.write([*also, *(change for _, _, changes in group for change in changes)])
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
                self.write([*also, *prepare()(fresh, number)])
            except Conflict:
                self._feed.seal([number] if number else ())
                raise
            return True

        return retry(attempt)

    def write(self, changes: Sequence[Change]) -> None:
        """Write all or nothing. What does not fit are postings: new ones are written before, old ones removed after."""
        surplus = max(0, len(changes) - MAX_CHANGES)
        early = [each for each in changes if isinstance(each, Put) and _is_posting(each)][:surplus]
        late = [each for each in changes if isinstance(each, Delete) and each.expect is None][: surplus - len(early)]
        apart = {each.key for each in early} | {each.key for each in late}
        self._in_pieces(early)
        self._table.write(*(each for each in changes if each.key not in apart))
        self._in_pieces(late)

    def _in_pieces(self, changes: Sequence[Change]) -> None:
        for start in range(0, len(changes), MAX_CHANGES):
            self._table.write(*changes[start : start + MAX_CHANGES])


def _is_posting(change: Put) -> bool:
    return any(family in change.key.pk for family in _POSTINGS)


def _groups(jobs: Iterator[tuple[J, int, list[Change]]], spare: int) -> Iterator[list[tuple[J, int, list[Change]]]]:
    """Cut jobs into groups of which each fits one write."""
    group: list[tuple[J, int, list[Change]]] = []
    changes, size = spare, 0
    for job in jobs:
        weight = sum(len(each.item.data) for each in job[2] if isinstance(each, Put))
        if group and (changes + len(job[2]) > MAX_CHANGES or size + weight > _BYTES):
            yield group
            group, changes, size = [], spare, 0
        group.append(job)
        changes += len(job[2])
        size += weight
    if group:
        yield group
