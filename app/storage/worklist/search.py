"""The search of a worklist: candidates from postings, the truth from rows, newest first (conformance §7.9).

`Query.matches` on what a row is filed by decides every result. What a query costs is told in `storage/search/planner.py`; all
filters of a worklist are at the level of its results, so the workitems in a state (`ProcedureStepState=SCHEDULED`) cost
what the page holds, however many others there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple

from app.dicom.query.matching import Filter, OneOf, Query
from app.storage.search.candidates import PostingList, entries, leapfrog, places, race, sequence_of
from app.storage.table import keys
from app.storage.table.ports import Item, Table
from app.storage.worklist.workitems import KIND, WorkitemRow

_LARGEST_CHUNK: Final = 128
"""Workitems read at once; they come with their documents."""


class WorkitemCandidate(NamedTuple):
    """Where a match may lie, and the number it is ordered by."""

    sequence: int
    workitem: str


class WorklistSearch:
    """Answers queries on the workitems of one partition."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def run(self, partition: int, query: Query) -> list[WorkitemRow]:
        """Return the page of matches that the query asks for; its documents may be damaged (`WorkitemRow.intact`)."""
        matches = race(
            self._verified(partition, query, self._stream(partition, query)),
            [self._gather(partition, each) for each in query.filters if not isinstance(each.condition, OneOf)],
            lambda found: self._verified(partition, query, found),
            query.offset + query.limit,
        )
        return list(islice(matches, query.offset, query.offset + query.limit))

    def _stream(self, partition: int, query: Query) -> Iterator[WorkitemCandidate]:
        """Yield candidates newest first: where all exact filters agree, or simply the newest workitems."""
        chunk = query.offset + query.limit
        unions = [
            [
                PostingList(self._table, pk, keys.entries(value), chunk, _candidate)
                for pk, value in places(partition, KIND, each)
            ]
            for each in query.filters
            if isinstance(each.condition, OneOf)
        ]
        newest = keys.newest_of(partition, KIND)
        return leapfrog(unions or [[PostingList(self._table, newest, "", chunk, _candidate)]])

    def _gather(self, partition: int, wanted: Filter) -> Iterator[WorkitemCandidate | None]:
        return (item and _candidate(item) for item in entries(self._table, partition, KIND, wanted))

    def _verified(
        self, partition: int, query: Query, candidates: Iterable[WorkitemCandidate]
    ) -> Iterator[list[WorkitemRow]]:
        """Yield batches of true matches, in the candidates' order; an empty batch when none of a chunk was one."""
        stream = iter(candidates)
        size = min(_LARGEST_CHUNK, query.offset + query.limit)
        while chunk := list(islice(stream, size)):
            rows = self._rows(partition, chunk)
            yield [row for row in rows if query.matches(row.filed)]
            size = min(size * 2, _LARGEST_CHUNK)

    def _rows(self, partition: int, chunk: list[WorkitemCandidate]) -> list[WorkitemRow]:
        found = self._table.get_many([keys.workitem(partition, each.workitem) for each in chunk])
        rows = (
            WorkitemRow.of(item, partition, each.workitem)
            for item, each in zip(found, chunk, strict=True)
            if item and item.fields["created"] == each.sequence
        )
        return list(rows)


def _candidate(item: Item) -> WorkitemCandidate:
    return WorkitemCandidate(sequence_of(item), item.fields["workitem"])
