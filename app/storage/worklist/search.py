"""The search of a worklist, newest first: candidates from postings, verified on rows (conformance §7.9).

`Query.matches` on the search attributes of the rows decides every result. The table in `storage/search/planner.py`
states what a query costs. All filters of a worklist are at the level of its results. So a query for one state
(`ProcedureStepState=SCHEDULED`) costs what its page holds, however many workitems are in other states.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Final, NamedTuple

from app.dicom.query.matching import Filter, OneOf, Query
from app.storage.search.candidates import cheapest_plan, exact_lists, scan_postings
from app.storage.search.posting_lists import PostingList, intersect_newest_first, newest_permitted, sequence_of
from app.storage.table import keys
from app.storage.table.ports import Item, Table
from app.storage.worklist.workitems import KIND, WorkitemRow

_LARGEST_CHUNK: Final = 128
"""Workitems that are read at once. It is small because each row holds its dataset."""


class WorkitemCandidate(NamedTuple):
    """A workitem that may match, and the number that results are ordered by."""

    sequence: int
    workitem: str


class WorkitemPage(NamedTuple):
    """A page of matches, newest first, and whether more workitems match."""

    rows: list[WorkitemRow]
    more: bool


class WorklistSearch:
    """Answers queries on the workitems of one partition."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def run(self, partition: int, query: Query) -> WorkitemPage:
        """Return the matches from `query.offset` on, at most `query.limit`, newest first.

        It looks for one match beyond the page, to find out whether there are more. The datasets are not checked for
        damage (`WorkitemRow.intact`).
        """
        beyond = replace(query, limit=query.limit + 1)
        matches = cheapest_plan(
            [self._newest_first(partition, beyond)],
            [self._range_scan(partition, each) for each in query.filters if not isinstance(each.indexed, OneOf)],
            partial(self._verified, partition, beyond),
            beyond.offset + beyond.limit,
            newest_permitted(beyond),
            _LARGEST_CHUNK,
        )
        found = list(islice(matches, beyond.offset, beyond.offset + beyond.limit))
        return WorkitemPage(found[: query.limit], len(found) > query.limit)

    def _newest_first(self, partition: int, query: Query) -> Iterator[WorkitemCandidate]:
        """Yield the workitems that satisfy all exact filters, or else all workitems, newest first."""
        chunk = query.offset + query.limit
        lists = [
            [
                PostingList(self._table, pk=pk, prefix=prefix, chunk=chunk, read=_candidate)
                for pk, prefix in exact_lists(partition, KIND, each)
            ]
            for each in query.filters
            if isinstance(each.indexed, OneOf)
        ]
        newest = keys.newest_of(partition, KIND)
        return intersect_newest_first(
            lists or [[PostingList(self._table, pk=newest, prefix="", chunk=chunk, read=_candidate)]],
            newest_permitted(query),
        )

    def _range_scan(self, partition: int, wanted: Filter) -> Iterator[WorkitemCandidate | None]:
        return (posting and _candidate(posting) for posting in scan_postings(self._table, partition, KIND, wanted))

    def _verified(self, partition: int, query: Query, candidates: Sequence[WorkitemCandidate]) -> list[WorkitemRow]:
        """Return the matches among some candidates, in their order."""
        return [row for row in self._rows(partition, candidates) if query.matches(row.search_attributes)]

    def _rows(self, partition: int, chunk: Sequence[WorkitemCandidate]) -> list[WorkitemRow]:
        """Return the rows of candidates. A posting without its row is omitted."""
        found = self._table.get_many([keys.workitem(partition, each.workitem) for each in chunk])
        rows = (
            WorkitemRow.of(item, partition, each.workitem)
            for item, each in zip(found, chunk, strict=True)
            if item and item.fields["created"] == each.sequence
        )
        return list(rows)


def _candidate(posting: Item) -> WorkitemCandidate:
    return WorkitemCandidate(sequence_of(posting), posting.fields["workitem"])
