"""The work that is on its way: files and rows that a store or a deletion has named in a record of the table.

What such a record names is no fault. The sweep removes it when the record is due.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from app.storage.feed.log import OPEN_SECONDS, CommitLog
from app.storage.index.sweep import LEFTOVERS, NEVER_TAKEN, Deletion, work_of
from app.storage.records.leftovers import InstanceVersion, Leftovers
from app.storage.records.postings import postings_of_version
from app.storage.table import clock, keys
from app.storage.table.batch import UnfinishedPostings
from app.storage.table.ports import Item, Key, Table


class Work(NamedTuple):
    """What one record names."""

    versions: tuple[InstanceVersion, ...] = ()
    deletion: Deletion | None = None
    postings: tuple[Key, ...] = ()


def work_in_flight(table: Table, log: CommitLog) -> Iterator[Work]:
    """Yield what each record names, one after another."""
    for item in chain(_open_in_log(log), chain.from_iterable(map(table.query, keys.SWEEPS))):
        match work_of(item):
            case Leftovers() as leftovers:
                yield _work_of(leftovers)
            case UnfinishedPostings() as unfinished:
                yield Work(postings=tuple(unfinished.postings))
            case Deletion() as deletion:
                yield Work(deletion=deletion)


def open_records(table: Table, log: CommitLog) -> Iterator[Item]:
    """Yield the records of stores that are under way."""
    yield from _open_in_log(log)
    for item in chain.from_iterable(map(table.query, keys.SWEEPS)):
        if item.fields.get("kind") == LEFTOVERS and item.fields.get("taken", NEVER_TAKEN) != NEVER_TAKEN:
            yield item


def _open_in_log(log: CommitLog) -> Iterator[Item]:
    return log.expired(clock.now() + 2 * OPEN_SECONDS)  # clocks may disagree by so much


def _work_of(leftovers: Leftovers) -> Work:
    postings = [*(key for each in leftovers.postings for key in each.postings)]
    for version in leftovers.versions:
        if version.watermark:
            postings += postings_of_version(version)
    return Work(versions=leftovers.versions, postings=tuple(postings))
