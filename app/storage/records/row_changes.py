"""The changes that replace a stored row by another state of it."""

from __future__ import annotations

from app.storage.records.page_marks import mark_of_change
from app.storage.records.postings import postings
from app.storage.records.rows import IndexRow
from app.storage.table.ports import Change, Delete, Holds, Put


def replace_row(before: IndexRow, after: IndexRow) -> list[Change]:
    """Return the changes that replace one state of a row by another: the row, and the difference of its postings,
    and a mark if the pages of values must follow.

    They are one write. It conflicts if the revision of the row is not that of `before` any more.
    """
    old, new = postings(before), postings(after)
    return [
        Put(after.item, Holds("revision", before.revision)),
        *(Put(item) for key, item in new.items() if key not in old),
        *(Delete(key) for key in old if key not in new),
        *mark_of_change(before, after, old.keys() ^ new.keys()),
    ]
