"""The work that is on its way: files and rows that a store or a deletion has named in a record of the table.

What such a record names is no fault. The sweep removes it when the record is due.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from app.storage.index.sweep import Deletion, leftovers_of
from app.storage.records.leftovers import InstanceVersion, Leftovers
from app.storage.records.postings import postings_of_version
from app.storage.table import keys
from app.storage.table.batch import UnfinishedPostings
from app.storage.table.codec import decode
from app.storage.table.ports import Key, Table


class Work(NamedTuple):
    """What one record names."""

    versions: tuple[InstanceVersion, ...] = ()
    deletion: Deletion | None = None
    postings: tuple[Key, ...] = ()


def work_in_flight(table: Table) -> Iterator[Work]:
    """Yield what each record names, one after another."""
    for item in table.query(keys.SWEEP):
        if unfinished := UnfinishedPostings.of(item):
            yield Work(postings=tuple(unfinished.postings))
        elif leftovers := leftovers_of(item):
            yield _named(leftovers)
        else:
            yield Work(deletion=decode(Deletion, item.fields))


def _named(leftovers: Leftovers) -> Work:
    every = (postings_of_version(each) for each in leftovers.versions if each.watermark)
    return Work(
        versions=leftovers.versions,
        postings=(*chain.from_iterable(every), *chain.from_iterable(each.postings for each in leftovers.postings)),
    )
