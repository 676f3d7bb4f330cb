"""Writes of more changes than one transaction takes: `MAX_CHANGES` changes.

Readers accept that postings are written before their row, and are removed after it. A posting only leads to a row, and
the row decides whether it matches. A row is never without a posting, and a posting without a row is ignored.

So the writers of new instances and of deletions write their documents and postings beside the transaction (`before` and
`after` of `Table.write`). A record of theirs names what a kill -9 leaves (`records/leftovers.py`).

Other writers change postings of rows that exist, in the transaction of the row. `write_atomically` moves those out of
it that do not fit. A sweep record then names them:

* New postings are written before the transaction, and their record before them. The transaction removes the record.
* Removed postings stay, and the transaction writes a record that is due at once. The worker removes those that the row
  does not have (`storage/index/leftovers_removal.py`).

A kill -9 between the first record and the transaction leaves postings that no row has, and the record that names them.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, NamedTuple, TypeVar

import orjson

from app.storage.table import clock, keys
from app.storage.table.ports import MAX_CHANGES, Change, Delete, Holds, Item, Key, Present, Put, Table
from app.storage.table.tag_partitions import note_tag_partitions

J = TypeVar("J")

MAX_DOCUMENT_BYTES: Final = 2_000_000
"""Bytes of `Item.data` in one transaction. Half of `MAX_WRITE_BYTES` is left for fields and keys."""

UNFINISHED_SECONDS: Final = 3600
"""How long a write may take from its first posting to its transaction."""

_RECORDS: Final = 2
"""Changes of a transaction that are kept free for the two records."""


class Cost(NamedTuple):
    """How much of a transaction some changes take: their number, and the bytes of their `Item.data`."""

    changes: int
    size: int


def cost(changes: Iterable[Change]) -> Cost:
    """Return what these changes take of a transaction."""
    sizes = [len(each.item.data) if isinstance(each, Put) else 0 for each in changes]
    return Cost(len(sizes), sum(sizes))


def fits(taken: Cost) -> bool:
    """Return whether so much fits in one transaction."""
    return taken.changes <= MAX_CHANGES and taken.size <= MAX_DOCUMENT_BYTES


def grouped(jobs: Iterable[J], cost_of: Callable[[J], Cost], reserved: int = 0) -> Iterator[list[J]]:
    """Cut jobs into groups so that the changes of each group, and `reserved` others, fit one transaction.

    Jobs keep their order. A job that does not fit by itself is a group of its own (see `write_atomically`). Jobs are
    taken one at a time, so the documents of at most one group and one job are in memory.
    """
    group: list[J] = []
    taken = Cost(reserved, 0)
    for job in jobs:
        added = cost_of(job)
        total = Cost(taken.changes + added.changes, taken.size + added.size)
        if group and not fits(total):
            yield group
            group, total = [], Cost(reserved + added.changes, added.size)
        group.append(job)
        taken = total
    if group:
        yield group


def write_atomically(table: Table, changes: Sequence[Change], before: Sequence[Put] = ()) -> None:
    """Write all of the changes or none, apart from postings that do not fit (see the head of this module).

    `before` is as in `Table.write`. The postings at the end of `changes` are the first that are written apart. A row is
    an item with a `revision` field that grows with each write; the changes name at least one row if some of their
    postings do not fit.

    Raises `Conflict` if an expectation does not hold: then nothing was written but, perhaps, new postings.
    Raises ValueError if the changes do not fit even without their postings.
    """
    note_tag_partitions(table, chain(changes, before))
    if len(changes) <= MAX_CHANGES:
        table.write(*changes, before=before)
        return
    apart = _keys_apart(changes)
    added = [each for each in changes if each.key in apart and isinstance(each, Put)]
    removed = [each.key for each in changes if each.key in apart and isinstance(each, Delete)]
    within = [each for each in changes if each.key not in apart]
    rows = [each.key for each in within if _writes_row(each)]
    if added:
        record = UnfinishedPostings(rows=rows, postings=[each.key for each in added]).new_item(UNFINISHED_SECONDS)
        table.write_each([Put(record)], durable=False)
        within.append(Delete(record.key, Present()))  # the sweep took the record if it is gone: the postings may be too
    if removed:
        within.append(Put(UnfinishedPostings(rows=rows, postings=removed).new_item(0)))
    table.write(*within, before=[*before, *added])


def _keys_apart(changes: Sequence[Change]) -> set[Key]:
    """Return the keys of the postings that do not fit the transaction."""
    surplus = len(changes) + _RECORDS - MAX_CHANGES
    movable = [each.key for each in changes if _may_be_apart(each)]
    if len(movable) < surplus:
        raise ValueError(f"{len(changes)} changes, {len(movable)} of them of postings, do not fit one transaction.")
    return set(movable[-surplus:])


def _may_be_apart(change: Change) -> bool:
    if change.expect is not None:
        return False
    if isinstance(change, Put):
        return keys.is_posting(change.key)
    return keys.is_posting(change.key) or keys.is_tag_error(change.key)


def _writes_row(change: Change) -> bool:
    """Return whether the change writes or removes a row."""
    if isinstance(change, Put):
        return "revision" in change.item.fields
    return isinstance(change, Delete) and isinstance(change.expect, Holds) and change.expect.field == "revision"


@dataclass(frozen=True, kw_only=True)
class UnfinishedPostings:
    """The sweep record of postings that were written apart from the transaction of their rows."""

    rows: Sequence[Key]
    postings: Sequence[Key]

    def new_item(self, delay: int) -> Item:
        """Return a new record that is due after `delay` seconds. Its key is unique."""
        key = keys.sweep(int(clock.now()) + delay, f"postings/{uuid.uuid4().hex}")
        return Item(key, {"kind": "postings"}, orjson.dumps([[*map(list, self.rows)], [*map(list, self.postings)]]))

    @staticmethod
    def of(item: Item) -> UnfinishedPostings | None:
        """Return what a sweep record says, None if it is a record of another kind."""
        if item.fields.get("kind") != "postings":
            return None
        rows, postings = ([Key(*key) for key in given] for given in orjson.loads(item.data))
        return UnfinishedPostings(rows=rows, postings=postings)
