"""Marks of studies that no page of values has as they are now (`search/value_pages.py`).

The write that creates a study row, gives it other values or removes it also puts a mark, all or nothing. A search takes
each marked study as a candidate. The worker copies the present values of the study into a page and then deletes the
mark. So every study is in a page with its present values, or it has a mark.

A kill -9 after the write leaves the mark. The worker finds it. A mark holds no patient data.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from app.dicom.query.canonical import MAX_CANONICAL, WILD, canonical_values
from app.dicom.validation.attributes import CORE, MODALITIES_IN_STUDY, POSTED, Attribute, Level
from app.storage.records.rows import IndexRow, StudyRow
from app.storage.table import clock, keys
from app.storage.table.ports import Holds, Item, Key, Put

COLUMNS: Final[Sequence[Attribute]] = tuple(
    each for each in (*CORE.values(), *POSTED) if each.posted_at is Level.STUDY and each.vr in WILD
)
"""The attributes that pages hold: those of studies that permit wildcards. Extended query tags are not among them."""

_COLUMN_KEYS: Final = frozenset(each.key for each in COLUMNS)


class PageMark(NamedTuple):
    """The mark of a study row. `time` is when it was written, in seconds since 1970."""

    item: Item

    @property
    def kind(self) -> str:
        """`NEW_STUDIES` or `CHANGED_STUDIES`."""
        return keys.mark_kind(self.item.key.pk)

    @property
    def partition(self) -> int:
        return keys.marked(self.item.key.sk)[0]

    @property
    def created(self) -> int:
        return keys.marked(self.item.key.sk)[1]

    @property
    def study(self) -> str:
        return str(self.item.fields["study"])

    @property
    def time(self) -> int:
        return int(self.item.fields["time"])

    @property
    def unchanged(self) -> Holds:
        """The expectation that no later change of the study has replaced the mark."""
        return Holds("of_revision", int(self.item.fields["of_revision"]))


def mark_of_change(before: IndexRow | None, after: IndexRow, changed: Collection[Key]) -> list[Put]:
    """Return the mark that the write of a row needs, none if pages do not hold what changes.

    `before` is None for a new row. `changed` are the keys of the postings that the write adds or removes.
    """
    if not isinstance(after, StudyRow):
        return []
    if before is None:
        return [_mark(keys.NEW_STUDIES, after, after.revision)]
    of_columns = {keys.values(after.partition, Level.STUDY.word, each) for each in _COLUMN_KEYS}
    return (
        [_mark(keys.CHANGED_STUDIES, after, after.revision)]
        if any(keys.whole(key.pk) in of_columns for key in changed)
        else []
    )


def mark_of_removal(row: IndexRow) -> list[Put]:
    """Return the mark that the removal of a row needs."""
    return [_mark(keys.CHANGED_STUDIES, row, row.revision + 1)] if isinstance(row, StudyRow) else []


def _mark(kind: str, row: StudyRow, revision: int) -> Put:
    """Return a mark. Its `of_revision` is above that of every earlier mark of the row under the same key."""
    fields = {"study": row.study, "of_revision": revision, "time": int(clock.now())}
    return Put(Item(keys.page_mark(kind, row.partition, row.created), fields))


def column_values(row: StudyRow) -> list[tuple[str, ...]]:
    """Return the values of each of `COLUMNS` in a row: those under which the row has postings."""
    return [tuple(value[:MAX_CANONICAL] for value in _values(row, each)) for each in COLUMNS]


def _values(row: StudyRow, attribute: Attribute) -> tuple[str, ...]:
    if attribute.tag == MODALITIES_IN_STUDY:
        return row.modalities
    if attribute.keeps_former_values:
        return row.posted.get(attribute.key, ())
    return canonical_values(attribute, row.attributes.get(attribute.key))
