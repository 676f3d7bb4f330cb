"""How a study or a series is closed as its last member goes, so that none that a client was told of is hidden with it.

A store that changes nothing of its series does not write the series' row, so the row's revision does not tell a
deletion of it. Each therefore says what it does before it looks for the other: the deletion writes that the series is
*ending* and then looks for instances; the store writes its instance and then looks at the series. One of them sees the
other. Who stores in a series that is ending writes its row, and the deletion, which expects the row as it was, begins
anew. A series that is new, or open again, is written with the row of its study, so there revisions are enough.
"""

from __future__ import annotations

from msgspec.structs import replace

from app.storage.records.rows import DELETING, EMPTYING, InstanceRow, SeriesRow, StudyRow
from app.storage.table.ports import Change, Holds, Item, Put


def ending(row: SeriesRow) -> Change:
    """Return the write that announces that the last instance of a series is about to go."""
    return _put(row, replace(row, ending=True, revision=row.revision + 1))


def staying(row: SeriesRow) -> Change:
    """Return the write that keeps a series that was ending, for an instance was stored in it."""
    return _put(row, replace(row, ending=False, revision=row.revision + 1))


def closed(row: StudyRow | SeriesRow, why: str) -> Change:
    """Return the write that closes a study or series; one that is being deleted goes on being deleted."""
    why = DELETING if DELETING in (why, row.closing) else EMPTYING
    return _put(row, replace(row, closing=why, revision=row.revision + 1))


def opened(row: StudyRow | SeriesRow) -> Change:
    """Return the write that opens again what was closed as empty but is not."""
    after = replace(row, closing="", revision=row.revision + 1)
    return _put(row, replace(after, ending=False) if isinstance(after, SeriesRow) else after)


def touched(row: StudyRow | SeriesRow) -> Change:
    """Return a write that changes nothing, but that no other write of the row survives."""
    return _put(row, replace(row, revision=row.revision + 1))


def unchanged(row: StudyRow | SeriesRow) -> Holds:
    """Return the expectation that nobody wrote the row since it was read."""
    return Holds("revision", row.revision)


def is_open_in(row: StudyRow | SeriesRow, item: Item) -> bool:
    """Tell whether an item is a series of this very study row, and not closing, or an instance of this series row."""
    return item.fields[f"of_{row.level.word}"] == row.created and "closing" not in item.fields


def astray(row: InstanceRow, series: SeriesRow | None, study: StudyRow | None) -> bool:
    """Tell whether an instance belongs to rows that are not there any more."""
    return not (study and series and row.of_study == study.created and row.of_series == series.created)


def _put(before: StudyRow | SeriesRow, after: StudyRow | SeriesRow) -> Change:
    """Return the write of one state of a row in the place of another; its postings are the same."""
    return Put(after.item, unchanged(before))
