"""The changes that write a row in the place of another state of it, or as a new one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from app.storage.records.page_marks import mark_of_change
from app.storage.records.postings import postings
from app.storage.records.rows import IndexRow
from app.storage.table.ports import Absent, Change, Delete, Holds, Item, Key, Put


class RowChanges(NamedTuple):
    """The write of one row, the difference of its postings, and a mark if the pages of values must follow.

    `row` conflicts if the row is not as it was read any more. `postings` are new, and `removed` are those that the row
    loses.
    """

    row: Put
    postings: Mapping[Key, Item]
    removed: Sequence[Key]
    mark: Sequence[Put]

    @staticmethod
    def of(before: IndexRow | None, after: IndexRow) -> RowChanges:
        """Return the changes from one state of a row to another. `before` is None for a new row."""
        old, new = postings(before) if before else {}, postings(after)
        return RowChanges(
            Put(after.item, Holds("revision", before.revision) if before else Absent()),
            {key: item for key, item in new.items() if key not in old},
            [key for key in old if key not in new],
            mark_of_change(before, after, old.keys() ^ new.keys()),
        )


def replace_row(before: IndexRow, after: IndexRow) -> list[Change]:
    """Return the changes that replace one state of a row by another, for one write."""
    changes = RowChanges.of(before, after)
    return [changes.row, *map(Put, changes.postings.values()), *map(Delete, changes.removed), *changes.mark]
