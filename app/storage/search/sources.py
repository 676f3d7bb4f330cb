"""Where the candidates of a search come from: posting lists, scans of postings, and members of studies and series."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Final, NamedTuple

from app.dicom.query.matching import Between, Filter, OneOf, Query, Wildcard
from app.dicom.validation.attributes import Level
from app.storage.records.posted_values import ANY_VALUE
from app.storage.records.spread_lists import parts_of_newest, parts_of_values
from app.storage.search.candidates import exact_lists, scan_postings
from app.storage.search.date_ranges import DateList, chunk_of, date_lists, has_periods
from app.storage.search.page_candidates import PageCandidates, PagesNow, ValuePages, is_in_pages
from app.storage.search.posting_lists import (
    CandidateList,
    MapLists,
    PostingList,
    intersect_newest_first,
    newest_permitted,
    sequence_of,
)
from app.storage.table import keys
from app.storage.table.ports import Item, Range, Table, starting

_INTERSECTED: Final = 32
"""Postings that are read first from a list that is intersected with others."""

_FEW_LISTS: Final = 10
"""Up to so many lists of dates cost less than the rows of a page."""


class Candidate(NamedTuple):
    """An object that may match: its sequence number, and its UIDs down to the result level."""

    sequence: int
    study: str
    series: str = ""
    instance: str = ""


Paged = Mapping[Filter, PageCandidates[Candidate]]
"""The candidates of the filters whose values are in pages. Each is read once."""


class CandidateSources:
    """Finds candidates for the filters of a query.

    `last_unposted` and `last_undated` are as in `unposted`, `shards` as in `open_shards`, `parallel` as in
    `intersect_newest_first`.
    """

    def __init__(
        self,
        table: Table,
        pages: ValuePages,
        *,
        last_unposted: int = 0,
        last_undated: int = 0,
        shards: int = 1,
        parallel: MapLists = map,
    ) -> None:
        self._parallel: MapLists = parallel
        self._table = table
        self._last_unposted = last_unposted
        self._last_undated = last_undated
        self._pages = pages
        self._shards = shards

    def in_pages(self, partition: int, query: Query) -> Paged:
        """Return the candidates of each wildcard filter whose values are in pages."""
        wanted = [each for each in query.filters if is_in_pages(each)]
        now = self._pages.now(partition) if wanted else None
        if now is None:
            return {}
        return {each: self._page_candidates(partition, query, each, now) for each in wanted}

    def plans(self, partition: int, query: Query, paged: Paged) -> list[Iterator[Candidate]]:
        """Return ways to read all candidates newest first, of which one may cost much less than another.

        A range of dates costs up to 100 lists. So if it has many, it is a plan of its own beside other filters. A range
        without an end has the newest objects, so a page of these comes first.
        """
        ranges = [each for each in query.filters if has_periods(query, each)]
        if not ranges:
            return [self.newest_first(partition, query, paged)]
        if all(isinstance(each.condition, Between) and not each.condition.high for each in ranges):
            return [self.newest_first(partition, query, paged), self._in_open_ranges(partition, query, ranges)]
        dated = self._places(partition, query, ranges)
        with_dates = self._in_ranges(partition, query, dated)
        if sum(map(len, dated)) > _FEW_LISTS and any(_has_posting_lists(query, each) for each in query.filters):
            return [self.newest_first(partition, query, paged), with_dates]
        if paged or self._last_undated:
            return [with_dates, self.newest_first(partition, query, paged)]
        return [with_dates]

    def _places(self, partition: int, query: Query, ranges: Sequence[Filter]) -> list[list[DateList]]:
        return [date_lists(self._table, partition, query.level.word, each, self._shards) for each in ranges]

    def _in_open_ranges(self, partition: int, query: Query, ranges: Sequence[Filter]) -> Iterator[Candidate]:
        """Yield as `_in_ranges`. The places of the lists are read with the first candidate."""
        yield from self._in_ranges(partition, query, self._places(partition, query, ranges))

    def _in_ranges(self, partition: int, query: Query, dated: Sequence[Sequence[DateList]]) -> Iterator[Candidate]:
        """Yield the objects that satisfy all exact filters of the result level, and ranges of dates, newest first."""
        exact = self._exact_lists(partition, query, beside=len(dated))
        page = query.offset + query.limit
        if len(dated) + len(exact) > 1:
            page = min(page, _INTERSECTED)
        ranges = [self._dated_lists(partition, query, each, page) for each in dated]
        return intersect_newest_first([*ranges, *exact], newest_permitted(query), self._parallel)

    def _exact_lists(self, partition: int, query: Query, beside: int) -> list[list[PostingList[Candidate]]]:
        """Return the lists of each exact filter of the result level. `beside` is the number of other filters.

        Lists that are intersected are read in small chunks at first, because few of their entries may be in all lists.
        """
        exact = [each for each in query.filters if _has_posting_lists(query, each)]
        chunk = 0 if len(exact) + beside == 1 else min(_INTERSECTED, query.offset + query.limit)
        return sorted((self._posting_lists(partition, query, each, chunk) for each in exact), key=len)

    def _dated_lists(
        self, partition: int, query: Query, places: Sequence[DateList], page: int
    ) -> list[PostingList[Candidate]]:
        """Return the lists that together have every object whose date may be in a range. `page` as in `chunk_of`."""
        chunk = chunk_of(len(places), page)
        lists = [self._posting_list(query, each.pk, each.prefix, chunk=chunk) for each in places]
        if self._last_undated:
            newest = keys.newest_of(partition, query.level.word)
            lists.append(self._posting_list(query, newest, highest=self._last_undated))
        return lists

    def newest_first(self, partition: int, query: Query, paged: Paged) -> Iterator[Candidate]:
        """Yield the objects that satisfy all exact filters of the result level, newest first.

        Filters of the result level in `paged` count too. Without any of them, all objects are yielded.
        """
        pages: list[Sequence[CandidateList[Candidate]]] = [
            [found, *self._unknown_lists(partition, query, wanted)]
            for wanted, found in paged.items()
            if wanted.attribute.posted_at is query.level
        ]
        lists = [*self._exact_lists(partition, query, beside=len(pages)), *pages]
        all_objects = [self._all_objects(partition, query, query.level)]
        return intersect_newest_first(lists or all_objects, newest_permitted(query), self._parallel)

    def scans(self, partition: int, query: Query, paged: Paged) -> list[Iterator[Candidate | None]]:
        """Return scans of the filters that select candidates and have no posting lists.

        A scan of postings is left out if the filter is in `paged` and the postings of its matches are not together. A
        range of dates needs no scan, unless the archive has objects without periods.
        """
        scanned = [
            each
            for each in query.filters
            if _is_scanned(query, each) and (self._last_undated or not has_periods(query, each))
        ]
        of_postings = [each for each in scanned if each not in paged or _has_prefix(each)]
        of_pages = [each for each in paged if each.attribute.posted_at is not query.level]
        return [
            *(self._scan(partition, query, each) for each in of_postings),
            *(self._scan_pages(partition, query, each, paged[each]) for each in of_pages),
        ]

    def _page_candidates(
        self, partition: int, query: Query, wanted: Filter, now: PagesNow
    ) -> PageCandidates[Candidate]:
        return PageCandidates(
            pages=self._pages,
            now=now,
            partition=partition,
            wanted=wanted,
            candidate=Candidate,
            all_studies=self._all_objects(partition, query, Level.STUDY),
        )

    def _all_objects(self, partition: int, query: Query, level: Level) -> list[PostingList[Candidate]]:
        """Return the lists of all objects of a level."""
        return [self._posting_list(query, pk) for pk in parts_of_newest(partition, level.word, self._shards)]

    def _posting_lists(
        self, partition: int, query: Query, wanted: Filter, chunk: int = 0
    ) -> list[PostingList[Candidate]]:
        """Return the lists that together have every object that may satisfy an exact filter."""
        exact = exact_lists(partition, query.level.word, wanted, self._shards)
        lists = [self._posting_list(query, pk, prefix, chunk=chunk) for pk, prefix in exact]
        return lists + self._unknown_lists(partition, query, wanted)

    def _unknown_lists(self, partition: int, query: Query, wanted: Filter) -> list[PostingList[Candidate]]:
        """Return the lists of the objects whose values of an attribute are not all known."""
        if not wanted.attribute.keeps_former_values or wanted.attribute.posted_at is None:
            return []
        kind = wanted.attribute.posted_at.word
        parts = parts_of_values(partition, kind, wanted.attribute.key, self._shards)
        lists = [self._posting_list(query, pk, keys.entries(ANY_VALUE)) for pk in parts]
        if self._last_unposted:
            lists.append(self._posting_list(query, keys.newest_of(partition, kind), highest=self._last_unposted))
        return lists

    def _posting_list(
        self, query: Query, pk: str, prefix: str = "", *, highest: int = keys.NEWEST, chunk: int = 0
    ) -> PostingList[Candidate]:
        chunk = chunk or query.offset + query.limit
        return PostingList(self._table, pk=pk, prefix=prefix, chunk=chunk, read=_candidate, highest=highest)

    def _scan(self, partition: int, query: Query, wanted: Filter) -> Iterator[Candidate | None]:
        """Yield every object of the result level that may satisfy one filter, unordered. None as in `scan_postings`."""
        level = wanted.attribute.posted_at
        if level is None:
            return
        known = scan_postings(self._table, partition, level.word, wanted, self._shards)
        for posting in chain(known, self._unknown(partition, level.word, wanted)):
            candidate = posting and _candidate(posting)
            if candidate is None or level is query.level:
                yield candidate
            else:
                yield from self._members_of(partition, query.level, candidate)

    def _scan_pages(
        self, partition: int, query: Query, wanted: Filter, found: PageCandidates[Candidate]
    ) -> Iterator[Candidate]:
        """Yield the members, at the result level, of each study that may satisfy a filter."""
        lists: list[CandidateList[Candidate]] = [found, *self._unknown_lists(partition, query, wanted)]
        for study in intersect_newest_first([lists]):
            yield from self._members_of(partition, query.level, study)

    def _unknown(self, partition: int, kind: str, wanted: Filter) -> Iterator[Item]:
        """Yield postings of the objects whose values of an attribute are not all known, in no order."""
        if wanted.attribute.keeps_former_values:
            for pk in parts_of_values(partition, kind, wanted.attribute.key, self._shards):
                yield from self._table.query(pk, starting(keys.entries(ANY_VALUE)))
            if self._last_unposted:
                since = Range(keys.newest(self._last_unposted))
                yield from self._table.query(keys.newest_of(partition, kind), since)

    def _members_of(self, partition: int, level: Level, above: Candidate) -> Iterator[Candidate]:
        """Yield the members of a study or series at a lower level, from the keys of their rows."""
        at = keys.study_items(partition, above.study)
        if level is Level.SERIES:
            for item in self._table.query(at, keys.SERIES):
                yield Candidate(item.fields["created"], above.study, item.key.sk.split("/")[1])
            return
        between = keys.instances_of(above.series) if above.series else keys.INSTANCES
        for item in self._table.query(at, between):
            _, series, instance = item.key.sk.split("/")
            first = item.fields.get("original", item.fields)
            yield Candidate(first["watermark"], above.study, series, instance)


def _has_posting_lists(query: Query, wanted: Filter) -> bool:
    """Return whether a filter is exact and of the result level, so that its postings are ordered newest first."""
    return wanted.attribute.posted_at is query.level and isinstance(wanted.indexed, OneOf)


def _is_scanned(query: Query, wanted: Filter) -> bool:
    """Return whether a scan of the postings of a filter finds candidates, in no order."""
    return wanted.attribute.posted_at is not None and not _has_posting_lists(query, wanted)


def _has_prefix(wanted: Filter) -> bool:
    """Return whether the postings of all matches are together. They are for `DOE*`, and not for `*DOE`."""
    return isinstance(wanted.indexed, Wildcard) and bool(wanted.indexed.prefix)


def _candidate(posting: Item) -> Candidate:
    """Return the object that a posting names."""
    fields = posting.fields
    return Candidate(sequence_of(posting), fields["study"], fields.get("series", ""), fields.get("instance", ""))
