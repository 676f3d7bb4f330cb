"""Where the candidates of a search come from: posting lists, scans of postings, and members of studies and series."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from app.dicom.query.matching import Filter, OneOf, Query
from app.dicom.validation.attributes import Level
from app.storage.records.posted_values import ANY_VALUE
from app.storage.records.spread_lists import parts_of_newest, parts_of_values
from app.storage.search.candidates import (
    PostingList,
    exact_lists,
    intersect_newest_first,
    newest_permitted,
    scan_postings,
    sequence_of,
)
from app.storage.table import keys
from app.storage.table.ports import Item, Range, Table, starting


class Candidate(NamedTuple):
    """An object that may match: its sequence number, and its UIDs down to the result level."""

    sequence: int
    study: str
    series: str = ""
    instance: str = ""


class CandidateSources:
    """Finds candidates for the filters of a query.

    `last_unposted` is as in `unposted`, `shards` as in `open_shards`.
    """

    def __init__(self, table: Table, last_unposted: int, shards: int = 1) -> None:
        self._table = table
        self._last_unposted = last_unposted
        self._shards = shards

    def newest_first(self, partition: int, query: Query) -> Iterator[Candidate]:
        """Yield the objects that satisfy all exact filters of the result level, or else all objects, newest first."""
        lists = [
            self._posting_lists(partition, query, each) for each in query.filters if _has_posting_lists(query, each)
        ]
        newest = [self._posting_list(query, pk) for pk in parts_of_newest(partition, query.level.word, self._shards)]
        return intersect_newest_first(lists or [newest], newest_permitted(query))

    def scans(self, partition: int, query: Query) -> list[Iterator[Candidate | None]]:
        """Return a scan for each filter that selects candidates and has no posting lists."""
        return [self._scan(partition, query, each) for each in query.filters if _is_scanned(query, each)]

    def _posting_lists(self, partition: int, query: Query, wanted: Filter) -> list[PostingList[Candidate]]:
        """Return the lists that together have every object that may satisfy an exact filter."""
        kind = query.level.word
        lists = [
            self._posting_list(query, pk, prefix) for pk, prefix in exact_lists(partition, kind, wanted, self._shards)
        ]
        if wanted.attribute.keeps_former_values:
            parts = parts_of_values(partition, kind, wanted.attribute.key, self._shards)
            lists += [self._posting_list(query, pk, keys.entries(ANY_VALUE)) for pk in parts]
            if self._last_unposted:
                lists.append(self._posting_list(query, keys.newest_of(partition, kind), highest=self._last_unposted))
        return lists

    def _posting_list(
        self, query: Query, pk: str, prefix: str = "", highest: int = keys.NEWEST
    ) -> PostingList[Candidate]:
        chunk = query.offset + query.limit
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


def _candidate(posting: Item) -> Candidate:
    """Return the object that a posting names."""
    fields = posting.fields
    return Candidate(sequence_of(posting), fields["study"], fields.get("series", ""), fields.get("instance", ""))
