"""Pages of values: the searchable text of about two thousand studies in a few compressed items.

A search such as `PatientName=*son*` has no prefix, so it cannot use the order of postings. It reads pages instead. A
page has one item for each of `page_marks.COLUMNS`, with one line for each study, and one item with the numbers and UIDs
of these studies. A search reads the items of one column, and of the pages with a match the item of the studies. A page
only says where a match may be: the search verifies every candidate on its row.

A candidate must never be missing. These rules ensure it:

* A study row and its mark are written all or nothing (`records/page_marks.py`).
* A page is immutable. One list for each partition names its pages. The worker replaces pages and the list in one write,
  which expects the revision of the list that it read (`search/page_builder.py`). So two workers cannot both succeed.
* The worker reads the list, then the marks, then the rows, and deletes a mark only after the write of the list. It
  deletes the mark of a change only if no later change has replaced it.
* A search reads the marks before the list. So a study is marked, or the list names a page with its present values. A
  page that the list names and that does not exist was replaced meanwhile. Then the search reads marks and list again.

A list is `complete` when the worker has walked through all studies that were stored before there were marks. A search
does not use a list that is not complete, or a partition without one.

The numbers (`created`) of the studies of a page are below those of the next page in the list. So a search reads the
pages of the newest studies first and ends when its result is full.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import orjson
import zstandard

from app.dicom.query.canonical import MAX_CANONICAL
from app.dicom.query.matching import Wildcard
from app.storage.records.page_marks import COLUMNS
from app.storage.table import keys
from app.storage.table.codec import Record, decode, encode
from app.storage.table.ports import Absent, Holds, Item, Key, Put, Table

STUDIES_COLUMN: Final = "studies"
"""The column that has the number and the UID of each study."""

COLUMN_NAMES: Final = (STUDIES_COLUMN, *(each.key for each in COLUMNS))

ANY_TEXT: Final = "\x01"
"""It follows a value that may be cut off, and stands for a value that is not known. Canonical values never have it."""

_LEVEL: Final = 6
"""The level of compression. A higher one takes longer and saves little."""


class Page(NamedTuple):
    """A page in the list: the name of its items, the lowest number in it, and how many studies it has."""

    name: str
    first: int
    studies: int


class PageList(Record, frozen=True, kw_only=True):
    """The pages of a partition in ascending order of their numbers. `walked` is the last number of an unmarked study
    that the worker has read."""

    partition: int
    revision: int = 0
    walked: int = 0
    complete: bool = False
    pages: tuple[Page, ...] = ()

    @staticmethod
    def read(table: Table, partition: int) -> PageList:
        """Return the list; one with revision 0 if there is none."""
        item = table.get(keys.page_list(partition))
        if item is None:
            return PageList(partition=partition)
        pages = tuple(Page(*each) for each in orjson.loads(zstandard.decompress(item.data)))
        return decode(PageList, item.fields, partition=partition, pages=pages)

    def put(self) -> Put:
        """Return the change that writes the list. It expects the list that was read, one revision before."""
        fields = encode(self, "partition", "pages")
        data = zstandard.compress(orjson.dumps([tuple(page) for page in self.pages]), level=_LEVEL)
        expect = Holds("revision", self.revision - 1) if self.revision > 1 else Absent()
        return Put(Item(keys.page_list(self.partition), fields, data), expect)


class PageRow(NamedTuple):
    """A study in a page. `lines` has one text for each of `COLUMNS`: its values with TAB between them."""

    created: int
    study: str
    lines: tuple[str, ...]

    @property
    def size(self) -> int:
        """The number of bytes in UTF-8, with the ends of the lines."""
        return len(self.study) + 20 + len("".join(self.lines).encode()) + len(self.lines)


def lines_of(values: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """Return the lines of a study with these values of `COLUMNS`."""
    return tuple(_line(each) for each in values)


def _line(values: Sequence[str]) -> str:
    line = "\t".join(value + ANY_TEXT if len(value) == MAX_CANONICAL else value for value in values)
    return ANY_TEXT if "\n" in line else line  # no canonical value has a line end


UNKNOWN_LINES: Final = (ANY_TEXT,) * len(COLUMNS)
"""The lines of a study whose row cannot be read. Each search takes it as a candidate."""


def column_keys(partition: int, page: str) -> list[Key]:
    """Return the keys of all items of a page."""
    return [keys.page_column(partition, column, page) for column in COLUMN_NAMES]


def items_of(partition: int, page: str, rows: Sequence[PageRow]) -> list[Item]:
    """Return the items of a page with these rows, in the order of `column_keys`."""
    studies = [f"{row.created} {row.study}" for row in rows]
    texts = [studies, *([row.lines[i] for row in rows] for i in range(len(COLUMNS)))]
    packed = (zstandard.compress("\n".join(text).encode(), level=_LEVEL) for text in texts)
    return [Item(key, {}, data) for key, data in zip(column_keys(partition, page), packed, strict=True)]


def rows_of(items: Sequence[Item]) -> list[PageRow]:
    """Return the rows of a page, given all its items in the order of `column_keys`."""
    studies, *columns = (unpacked(item.data).decode().split("\n") for item in items)
    lines = zip(*columns, strict=True)
    return [PageRow(*_study(text), each) for text, each in zip(studies, lines, strict=True)]


def unpacked(packed: bytes) -> bytes:
    """Return the text of a column of a page: one line for each study."""
    text: bytes = zstandard.decompress(packed)
    return text


def studies_at(text: bytes, positions: Iterable[int]) -> list[tuple[int, str]]:
    """Return (number, UID) of the studies in these lines of the column of studies, in their order."""
    lines = text.split(b"\n")
    return [_study(lines[position].decode()) for position in positions]


def _study(line: str) -> tuple[int, str]:
    created, _, study = line.partition(" ")
    return int(created), study


def matching_lines(text: bytes, pattern: Wildcard) -> list[int]:
    """Return the positions of the lines with a value that matches, or that may match, in ascending order."""
    literals = [literal.encode() for literal in re.split(r"[*?]+", pattern.pattern) if literal]
    if not literals:
        lines = enumerate(text.decode().split("\n"))
        return [position for position, line in lines if _may_match(line, pattern)]
    rarest = min(literals, key=text.count)
    found = {
        position
        for needle in (rarest, ANY_TEXT.encode())
        for position, line in _lines_with(text, needle)
        if _may_match(line, pattern)
    }
    return sorted(found)


def _may_match(line: str, pattern: Wildcard) -> bool:
    return ANY_TEXT in line or any(map(pattern.matches, line.split("\t")))


def _lines_with(text: bytes, needle: bytes) -> Iterator[tuple[int, str]]:
    """Yield the position and the text of each line that contains the needle."""
    position, counted = 0, 0
    at = text.find(needle)
    while at >= 0:
        start = text.rfind(b"\n", 0, at) + 1
        end = text.find(b"\n", at)
        end = len(text) if end < 0 else end
        position += text.count(b"\n", counted, start)
        counted = start
        yield position, text[start:end].decode()
        at = text.find(needle, end)
