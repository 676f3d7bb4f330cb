"""What must hold of the pages of values: every study is in a page as it is now, or it has a mark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from app.storage.records.page_marks import PageMark, column_values
from app.storage.records.rows import StudyRow
from app.storage.search.value_pages import PageList, PageRow, column_keys, lines_of, rows_of
from app.storage.table import keys
from app.storage.table.ports import Table


def page_rows(table: Table, partition: int) -> list[PageRow]:
    """Return the rows of all pages that the list of a partition names."""
    pages = PageList.read(table, partition).pages
    return [
        row
        for page in pages
        for row in rows_of([item for item in table.get_many(column_keys(partition, page.name)) if item])
    ]


def page_marks(table: Table, partition: int) -> list[PageMark]:
    """Return the marks of a partition."""
    return [
        PageMark(item)
        for kind in (keys.NEW_STUDIES, keys.CHANGED_STUDIES)
        for item in table.query(keys.mark_items(kind, partition % keys.MARK_SHARDS), keys.page_marks(partition))
    ]


def page_faults(table: Table, partition: int, studies: Iterable[StudyRow]) -> Iterator[str]:
    """Yield what is wrong with the pages of a partition that has these study rows. No process may write meanwhile."""
    marked = {mark.created for mark in page_marks(table, partition)}
    rows = page_rows(table, partition)
    paged = {row.created: row for row in rows}
    if [row.created for row in rows] != sorted(paged):
        yield "the pages are not in the order of their numbers"
    now = {row.created: PageRow(row.created, row.study, lines_of(column_values(row))) for row in studies}
    if PageList.read(table, partition).complete:
        for created in now.keys() - marked:
            if paged.get(created) != now[created]:
                yield f"study {now[created].study} has no mark, and its page has {paged.get(created)}"
    yield from (f"study {paged[each].study} is gone and not marked" for each in paged.keys() - now.keys() - marked)
    named = {key for page in PageList.read(table, partition).pages for key in column_keys(partition, page.name)}
    pks = {key.pk for key in column_keys(partition, "")}
    yield from (f"no list names {item.key}" for pk in pks for item in table.query(pk) if item.key not in named)
