"""Writes of more changes than one transaction takes: `MAX_CHANGES` changes and `MAX_WRITE_BYTES` bytes.

This module is the only place that decides what may be written apart from its transaction, and in which order:

1. new postings are written before the transaction;
2. everything else is one transaction: rows, documents, feed entries, sweep records;
3. removed postings and removed tag errors are deleted after the transaction.

Readers accept this order, because a posting only leads to a row and the row decides whether it matches. A row is never
without a posting, and a posting without a row is ignored.

A kill -9 between two of these writes leaves postings that no row has. They can hold patient data, so they must not stay
for ever. A sweep record therefore names them: it is written with or before them and removed with the last of them. When
the record is due, the sweep removes the postings that the rows do not have (`storage/index/sweep_worker.py`).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

import orjson

from app.errors import StorageError
from app.storage.table import clock, keys
from app.storage.table.ports import MAX_CHANGES, Change, Delete, Holds, Item, Key, Present, Put, Require, Table

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


def write_each(table: Table, changes: Iterable[Change]) -> None:
    """Write changes that do not depend on each other, in as few transactions as fit, in their order.

    A kill -9 leaves the first ones written and the others not. The caller must be able to repeat all of them.
    """
    for group in grouped(changes, lambda change: cost([change])):
        table.write(*group)


def write_atomically(table: Table, changes: Sequence[Change]) -> None:
    """Write all of the changes or none, apart from postings that do not fit (see the head of this module).

    The postings at the end of `changes` are the first that are written apart. A row is an item with a `revision` field
    that grows with each write; the changes name at least one row if some of their postings do not fit.

    Raises `Conflict` if an expectation does not hold: then nothing was written but, perhaps, new postings.
    Raises ValueError if the changes do not fit even without their postings.
    """
    if len(changes) <= MAX_CHANGES:
        table.write(*changes)
        return
    apart = _keys_apart(changes)
    before = [each for each in changes if each.key in apart and isinstance(each, Put)]
    after = [each for each in changes if each.key in apart and isinstance(each, Delete)]
    within = [each for each in changes if each.key not in apart]
    rows = [each.key for each in within if _writes_row(each)]
    if before:
        record = UnfinishedPostings(rows=rows, postings=[each.key for each in before]).new_item()
        write_each(table, [Put(record), *before])
        within.append(Delete(record.key, Present()))  # the sweep took the record if it is gone: the postings may be too
    if after:
        record = UnfinishedPostings(rows=rows, postings=[each.key for each in after]).new_item()
        within.append(Put(record))
    table.write(*within)
    if after:
        with suppress(StorageError):  # the transaction is done; the sweep removes what is left
            _delete_apart(table, after, within, record)


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


def _delete_apart(table: Table, after: Sequence[Delete], within: Sequence[Change], record: Item) -> None:
    """Delete postings that their rows no longer have, then the record of them.

    Another writer may have given a row the same value again, with the same posting. So each deletion expects the rows
    as they were just written.
    """
    unchanged = [
        Require(each.key, Holds("revision", each.item.fields["revision"]))
        for each in within
        if isinstance(each, Put) and _writes_row(each)
    ]
    for group in grouped([*after, Delete(record.key)], lambda change: cost([change]), reserved=len(unchanged)):
        table.write(*unchanged, *group)


@dataclass(frozen=True, kw_only=True)
class UnfinishedPostings:
    """The sweep record of postings that were written apart from the transaction of their rows."""

    rows: Sequence[Key]
    postings: Sequence[Key]

    def new_item(self) -> Item:
        """Return a new record that is due after `UNFINISHED_SECONDS`. Its key is unique."""
        key = keys.sweep(int(clock.now()) + UNFINISHED_SECONDS, f"postings/{uuid.uuid4().hex}")
        return Item(key, {"kind": "postings"}, orjson.dumps([[*map(list, self.rows)], [*map(list, self.postings)]]))

    @staticmethod
    def of(item: Item) -> UnfinishedPostings | None:
        """Return what a sweep record says, None if it is a record of another kind."""
        if item.fields.get("kind") != "postings":
            return None
        rows, postings = ([Key(*key) for key in given] for given in orjson.loads(item.data))
        return UnfinishedPostings(rows=rows, postings=postings)
