"""The worker's part of the pages of values: it copies marked studies into pages (`search/value_pages.py`).

One step changes one page of one partition:

1. It reads the list of the partition, then marks, then the rows of the marked studies.
2. One write puts the new form of the page under a new name, deletes the old one, and replaces the list.
3. It deletes the marks.

A kill -9 before 2 leaves everything as it was. A kill -9 between 2 and 3 leaves marks of studies that the page has
already. The next step copies them again. If two workers take one partition, one of the writes conflicts.

Studies that an earlier layout stored have no marks. The worker walks through them, one partition after another. While a
list is not complete, its marks stay, so a worker that is killed continues.
"""

from __future__ import annotations

import secrets
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain, islice
from typing import Final, NamedTuple

import orjson
from msgspec.structs import replace

from app.dicom.validation.attributes import Level
from app.errors import Conflict
from app.storage.records.page_marks import PageMark, column_values
from app.storage.records.rows import StudyRow
from app.storage.records.spread_lists import parts_of_newest
from app.storage.search.due_marks import DueMarks
from app.storage.search.posting_lists import sequence_of
from app.storage.search.value_pages import (
    COLUMN_NAMES,
    UNKNOWN_LINES,
    Page,
    PageList,
    PageRow,
    column_keys,
    items_of,
    lines_of,
    rows_of,
)
from app.storage.table import keys
from app.storage.table.codec import DamagedRecord
from app.storage.table.partitions import Partitions
from app.storage.table.ports import Delete, Item, Put, Range, Table

PAGE_STUDIES: Final = 2000
"""The most studies in a page."""

PAGE_SIZE: Final = 320_000
"""The most bytes in a page, in all columns together. So each item fits, even if no text can be compressed."""

_ADDED_SIZE: Final = 1_000_000
"""Bytes that one step adds. With the page that it changes they fit in one write."""

_MARKS: Final = 1000
"""Marks that one step reads, and old studies that it walks through."""


Rows = Mapping[int, PageRow | None]
"""Number of a study row -> its present values, None if it does not exist any more."""


class _PageChange(NamedTuple):
    """What one step does to a page: the numbers that it processes, the new list of pages, and the items."""

    done: Sequence[int]
    pages: tuple[Page, ...]
    changes: Sequence[Put | Delete]


class PageBuilder:
    """Keeps the pages of all partitions. `shards` as in `open_shards`."""

    def __init__(
        self,
        table: Table,
        partitions: Partitions,
        *,
        shards: int = 1,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._table = table
        self._shards = shards
        self._partitions = partitions
        self._due = DueMarks(table, monotonic)
        self._walk_ended = False

    def build_pages(self) -> bool:
        """Change one page, if there is anything to do. Return whether there was."""
        partition = self._due.next_partition()
        if partition is None:
            return self._walk_on()
        with suppress(Conflict):  # another worker was faster; the next step reads again
            self._copy_marked(partition)
        return True

    # --- old studies ---

    def _walk_on(self) -> bool:
        """Walk through old studies of the next partition. Return whether there was one.

        The walk keeps the name of the last partition that it has done. Partitions that are created later have marks of
        all their studies.
        """
        if self._walk_ended:
            return False
        item = self._table.get(keys.PAGE_WALK)
        after = str(item.fields["after"]) if item else ""
        following = next(self._partitions.by_name(Range(f"{after}!" if after else ""), 1), None)
        if following is None:
            self._walk_ended = True
            return False
        with suppress(Conflict):
            listed = PageList.read(self._table, following.key)
            if listed.complete or self._walk(listed):
                self._table.write(Put(Item(keys.PAGE_WALK, {"after": following.name.lower()})))
        return True

    # --- one partition ---

    def _copy_marked(self, partition: int) -> None:
        """Copy the present values of marked studies into a page and delete their marks. Walk before, if necessary."""
        listed = PageList.read(self._table, partition)
        if not listed.complete:
            self._walk(listed)
            return
        marks = self._marks(partition)
        change = self._page_change(listed, self._rows(partition, [(mark.created, mark.study) for mark in marks]))
        self._write(replace(listed, pages=change.pages), change)
        done = frozenset(change.done)
        self._delete_marks([mark for mark in marks if mark.created in done])

    def _walk(self, listed: PageList) -> bool:
        """Copy the next studies in the order of their numbers. Return whether the list is complete."""
        found = self._studies_after(listed.partition, listed.walked)
        change = self._page_change(listed, self._rows(listed.partition, found))
        complete = len(change.done) == len(found) < _MARKS
        walked = max(change.done, default=listed.walked)
        self._write(replace(listed, walked=walked, complete=complete, pages=change.pages), change)
        return complete

    def _studies_after(self, partition: int, number: int) -> list[tuple[int, str]]:
        """Return (number, UID) of the next `_MARKS` studies with higher numbers, in ascending order."""
        beyond = Range("", keys.newest(number + 1))
        found = sorted(
            (sequence_of(item), str(item.fields["study"]))
            for pk in parts_of_newest(partition, Level.STUDY.word, self._shards)
            for item in self._table.query(pk, beyond, reverse=True, limit=_MARKS)
        )
        return found[:_MARKS]

    def _marks(self, partition: int) -> list[PageMark]:
        """Return marks of a partition, those of changed studies first."""
        shard = partition % keys.MARK_SHARDS
        found = chain.from_iterable(
            self._table.query(keys.mark_items(kind, shard), keys.page_marks(partition), limit=_MARKS)
            for kind in (keys.CHANGED_STUDIES, keys.NEW_STUDIES)
        )
        return [PageMark(item) for item in islice(found, _MARKS)]

    def _rows(self, partition: int, studies: Sequence[tuple[int, str]]) -> Rows:
        """Return the present values of studies, given their numbers and UIDs."""
        items = self._table.get_many([keys.study(partition, study) for _, study in studies])
        return {
            created: _page_row(item, partition, created, study)
            for (created, study), item in zip(studies, items, strict=True)
        }

    def _page_change(self, listed: PageList, rows: Rows) -> _PageChange:
        """Return the change of the page to which the lowest of these numbers belongs."""
        numbers = sorted(rows)
        if not numbers:
            return _PageChange((), listed.pages, ())
        at = max(0, bisect_right(listed.pages, numbers[0], key=lambda page: page.first) - 1)
        replaced = listed.pages[at : at + 1]
        following = listed.pages[at + 1 :]
        end = following[0].first if following else keys.NEWEST
        done: list[int] = []
        size = 0
        for number in numbers:
            if number >= end or size > _ADDED_SIZE:
                break
            done.append(number)
            size += row.size if (row := rows[number]) else 0
        before = {row.created: row for page in replaced for row in self._read_page(listed, page)}
        after = {number: row for number, row in (before | {each: rows[each] for each in done}).items() if row}
        if after == before:
            return _PageChange(done, listed.pages, ())
        new = [(_page(part), part) for part in _parts(sorted(after.values()))]
        changes = [Delete(key) for page in replaced for key in column_keys(listed.partition, page.name)]
        puts = [Put(item) for page, part in new for item in items_of(listed.partition, page.name, part)]
        return _PageChange(done, (*listed.pages[:at], *(page for page, _ in new), *following), [*puts, *changes])

    def _read_page(self, listed: PageList, page: Page) -> list[PageRow]:
        """Return the rows of a page. Raises `Conflict` if another worker has replaced it, or if it is damaged."""
        items = [item for item in self._table.get_many(column_keys(listed.partition, page.name)) if item]
        if len(items) < len(COLUMN_NAMES):
            self._start_anew(listed)
            raise Conflict(keys.page_list(listed.partition))
        return rows_of(items)

    def _start_anew(self, listed: PageList) -> None:
        """Empty a list that names a lost page, and start the walk again. Raises `Conflict` if the list has changed.

        A kill -9 after the first write leaves items that no list names.
        """
        empty = PageList(partition=listed.partition, revision=listed.revision + 1)
        self._table.write(empty.put(), Delete(keys.PAGE_WALK))
        self._walk_ended = False
        self._table.write_each(Delete(key) for page in listed.pages for key in column_keys(listed.partition, page.name))

    def _write(self, listed: PageList, change: _PageChange) -> None:
        """Write a page and the list, all or nothing. The list gets a new revision even if the page is as it was.

        So a worker that has read older rows conflicts.
        """
        self._table.write(replace(listed, revision=listed.revision + 1).put(), *change.changes)

    def _delete_marks(self, marks: Sequence[PageMark]) -> None:
        """Delete marks, but not the mark of a study that was changed again. A kill -9 leaves some of them."""
        new = [mark for mark in marks if mark.kind == keys.NEW_STUDIES]
        self._table.write_each(Delete(mark.item.key) for mark in new)  # the mark of a new study is never put again
        for mark in marks:
            if mark.kind == keys.CHANGED_STUDIES:
                with suppress(Conflict):
                    self._table.write(Delete(mark.item.key, mark.unchanged))


def _page_row(item: Item | None, partition: int, created: int, study: str) -> PageRow | None:
    """Return the values of a study row; None if the row does not exist or is another one of the same UID."""
    if item is None or item.fields.get("created") != created:
        return None
    try:
        row = StudyRow.of(item, partition, study)
    except (DamagedRecord, orjson.JSONDecodeError):
        return PageRow(created, study, UNKNOWN_LINES)
    return PageRow(created, study, lines_of(column_values(row)))


def _page(rows: Sequence[PageRow]) -> Page:
    """Return a page with a new name."""
    return Page(secrets.token_hex(8), rows[0].created, len(rows))


def _parts(rows: Sequence[PageRow]) -> Iterator[list[PageRow]]:
    """Cut rows into parts of at most `PAGE_STUDIES` rows and `PAGE_SIZE` bytes."""
    part: list[PageRow] = []
    size = 0
    for row in rows:
        if part and (len(part) == PAGE_STUDIES or size + row.size > PAGE_SIZE):
            yield part
            part, size = [], 0
        part.append(row)
        size += row.size
    if part:
        yield part
