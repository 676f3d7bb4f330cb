"""The candidates of a wildcard filter, read from the pages of values (`search/value_pages.py`)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from app.dicom.query.matching import Filter, Wildcard
from app.storage.records.page_marks import COLUMNS, PageMark
from app.storage.search.posting_lists import CandidateList, Numbered
from app.storage.search.value_pages import STUDIES_COLUMN, Page, PageList, matching_lines, studies_at, unpacked
from app.storage.table import keys
from app.storage.table.ports import Table

_COLUMN_KEYS: Final = frozenset(each.key for each in COLUMNS)

_MAX_MARKS: Final = 20_000
"""Marks that a search reads. If a partition has more, no worker runs, and the search does without pages."""

_LARGEST_GROUP: Final = 64
"""Pages that are read at once. The first read takes one page, and each following one twice as many."""

_MAX_REPEATS: Final = 50
"""How often a search reads the list of pages again because the worker has replaced a page meanwhile."""

CandidateT = TypeVar("CandidateT", bound=Numbered)

Study = tuple[int, str]
"""The number and the UID of a study."""


class PackedColumns(Protocol):
    """A cache of the packed columns of pages. A page is immutable, so an entry never becomes wrong."""

    def get(self, key: tuple[int, str, str], /) -> bytes | None: ...

    def put(self, key: tuple[int, str, str], value: bytes, size: int, /) -> None: ...


class PagesNow(NamedTuple):
    """The marked studies of a partition, and then its pages. The newest comes first in both."""

    marked: list[Study]
    pages: list[Page]


class ValuePages:
    """Reads the pages of values."""

    def __init__(self, table: Table, cache: PackedColumns | None = None) -> None:
        self._table = table
        self._cache = cache

    def now(self, partition: int) -> PagesNow | None:
        """Return what a search of a partition must read, None if it has to do without pages."""
        if not PageList.read(self._table, partition).complete:
            return None
        marked: list[Study] = []
        for kind in (keys.NEW_STUDIES, keys.CHANGED_STUDIES):
            pk = keys.mark_items(kind, partition % keys.MARK_SHARDS)
            found = map(PageMark, self._table.query(pk, keys.page_marks(partition), limit=_MAX_MARKS))
            marked += [(mark.created, mark.study) for mark in found]
        listed = PageList.read(self._table, partition)  # again, after the marks: see `value_pages`
        if not listed.complete or len(marked) >= _MAX_MARKS:
            return None
        return PagesNow(sorted(set(marked), reverse=True), list(reversed(listed.pages)))

    def column(self, partition: int, column: str, pages: Sequence[Page]) -> list[bytes] | None:
        """Return a column of each of these pages; None if one of them has been replaced."""
        found: dict[str, bytes] = {}
        if self._cache:
            known = ((page.name, self._cache.get((partition, column, page.name))) for page in pages)
            found = {name: data for name, data in known if data is not None}
        missing = [page.name for page in pages if page.name not in found]
        items = self._table.get_many([keys.page_column(partition, column, name) for name in missing])
        for name, item in zip(missing, items, strict=True):
            if item is None:
                return None
            found[name] = item.data
            if self._cache:
                self._cache.put((partition, column, name), item.data, len(item.data))
        return [unpacked(found[page.name]) for page in pages]

    def studies(self, partition: int, column: str, pattern: Wildcard, pages: Sequence[Page]) -> list[Study] | None:
        """Return the studies in these pages with a matching value, newest first; None if a page has been replaced.

        The pages come newest first.
        """
        texts = self.column(partition, column, pages)
        if texts is None:
            return None
        positions = {page: matching_lines(text, pattern) for page, text in zip(pages, texts, strict=True)}
        matching = [page for page in pages if positions[page]]
        texts = self.column(partition, STUDIES_COLUMN, matching)
        if texts is None:
            return None
        return [
            study
            for page, text in zip(matching, texts, strict=True)
            for study in reversed(studies_at(text, positions[page]))
        ]


def is_in_pages(wanted: Filter) -> bool:
    """Return whether pages hold the values of a filter, and the filter is a wildcard match."""
    return isinstance(wanted.indexed, Wildcard) and wanted.attribute.key in _COLUMN_KEYS


class PageCandidates(Generic[CandidateT]):
    """The studies that may satisfy a wildcard filter, newest first, as `PostingList`.

    `now` is what `ValuePages.now` returned. `candidate` makes a candidate of the number and the UID of a study.
    The lists `all_studies` have every study. They are used when the worker replaces pages faster than they are read.
    """

    def __init__(
        self,
        *,
        pages: ValuePages,
        now: PagesNow,
        partition: int,
        wanted: Filter,
        candidate: Callable[[int, str], CandidateT],
        all_studies: Sequence[CandidateList[CandidateT]],
    ) -> None:
        if not isinstance(wanted.indexed, Wildcard):
            raise TypeError(f"{wanted} is no wildcard match")
        self._pages = pages
        self._partition = partition
        self._column = wanted.attribute.key
        self._pattern = wanted.indexed
        self._candidate = candidate
        self._all_studies = all_studies
        self._marked = now.marked
        self._unread = now.pages
        self._found: list[Study] = []
        self._group = 1
        self._repeats = 0
        self._lowest = keys.NEWEST
        """The lowest number of the pages that have been read."""

    def seek(self, sequence: int) -> CandidateT | None:
        """Return the newest candidate whose number is at most `sequence`, None if there is none.

        The numbers of successive calls must not grow.
        """
        self._found = _up_to(sequence, self._found)
        while not self._found and self._unread and self._repeats <= _MAX_REPEATS:
            self._read(sequence)
        if self._repeats > _MAX_REPEATS:
            candidates = [found for each in self._all_studies if (found := each.seek(sequence))]
            return max(candidates, key=lambda each: each.sequence, default=None)
        self._marked = _up_to(sequence, self._marked)
        heads = [each[0] for each in (self._found, self._marked) if each]
        return self._candidate(*max(heads)) if heads else None

    def _read(self, sequence: int) -> None:
        """Read the next pages that have numbers up to `sequence`."""
        self._unread = [page for page in self._unread if page.first <= sequence]
        group = self._unread[: self._group]
        found = self._pages.studies(self._partition, self._column, self._pattern, group)
        if found is None:
            self._read_list()
        elif group:
            self._found = _up_to(sequence, found)
            self._lowest = group[-1].first
            self._unread = self._unread[len(group) :]
            self._group = min(2 * self._group, _LARGEST_GROUP)

    def _read_list(self) -> None:
        """Read marks and list again, because a page was replaced. The pages that were read need not be read again.

        A study that was marked before may be in a new form of such a page. So it stays a candidate.
        """
        self._repeats += 1
        now = self._pages.now(self._partition)
        if now is None:
            self._repeats = _MAX_REPEATS + 1
            return
        self._marked = sorted({*self._marked, *now.marked}, reverse=True)
        self._unread = [page for page in now.pages if page.first < self._lowest]


def _up_to(sequence: int, studies: list[Study]) -> list[Study]:
    """Return the studies from the first one on whose number is at most `sequence`."""
    start = bisect_left(studies, -sequence, key=lambda study: -study[0])
    return studies[start:] if start else studies
