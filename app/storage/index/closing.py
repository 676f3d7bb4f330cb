"""The closing state of study and series rows: a deletion of a last member and a store can run at the same time.

A closing row hides everything in it. A deletion that removes the last instance of a series closes the series in the
same write. A store that changes no attribute of its series does not write the series row, so the revision of that row
does not show the store to the deletion. Therefore each side writes first and then reads what the other side writes:

1. The deletion sets `ending` on the series row. Then it looks for other instances of the series.
2. The store writes its instance. Then it reads the series row, or its transaction expects the row as it read it.

At least one of them sees the other. A store that reads `ending` writes the series row without it. The deletion expects
the row as it wrote it, so its closing write conflicts and it starts again. A series that is new, or that was opened
again, is written together with its study row, so revisions are sufficient for the study.
"""

from __future__ import annotations

from msgspec.structs import replace

from app.storage.records.rows import DELETING, EMPTYING, InstanceRow, SeriesRow, StudyRow, belongs_to
from app.storage.table.ports import Change, Holds, Item, Put


def mark_ending(row: SeriesRow) -> Change:
    """Return the write that announces that the last instance of a series is going to be removed."""
    return _replace(row, replace(row, ending=True, revision=row.revision + 1))


def clear_ending(row: SeriesRow) -> Change:
    """Return the write that takes the announcement back, because an instance was stored in the series."""
    return _replace(row, replace(row, ending=False, revision=row.revision + 1))


def close(row: StudyRow | SeriesRow, reason: str) -> Change:
    """Return the write that closes a study or series, for `EMPTYING` or `DELETING`. A row in `DELETING` stays in it."""
    reason = DELETING if DELETING in (reason, row.closing) else EMPTYING
    return _replace(row, replace(row, closing=reason, revision=row.revision + 1))


def reopen(row: StudyRow | SeriesRow) -> Change:
    """Return the write that opens a row again that was closed as empty but has a member."""
    opened = replace(row, closing="", revision=row.revision + 1)
    return _replace(row, replace(opened, ending=False) if isinstance(opened, SeriesRow) else opened)


def new_revision(row: StudyRow | SeriesRow) -> Change:
    """Return the write that only raises the revision, so that every other write that read the row conflicts."""
    return _replace(row, replace(row, revision=row.revision + 1))


def unchanged(row: StudyRow | SeriesRow) -> Holds:
    """Return the expectation that the row was not written since it was read."""
    return Holds("revision", row.revision)


def is_open_member(row: StudyRow | SeriesRow, item: Item) -> bool:
    """Return whether an item is an instance of this series row, or a series of this study row that is not closing."""
    return item.fields[f"of_{row.level.word}"] == row.created and "closing" not in item.fields


def is_orphan(row: InstanceRow, series: SeriesRow | None, study: StudyRow | None) -> bool:
    """Return whether an instance belongs to a study row or series row that does not exist any more."""
    return not (study and series and belongs_to(row, series, study))


def _replace(before: StudyRow | SeriesRow, after: StudyRow | SeriesRow) -> Change:
    """Return the write that replaces a row by another state of it. Both states have the same postings."""
    return Put(after.item, unchanged(before))
