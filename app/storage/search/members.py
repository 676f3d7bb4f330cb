"""The instances of one study, the newest first, without the rows of a large study in memory.

The rows are in the order of their UIDs. Those of a study or series of usual size are read whole
(`Instances.view_of_few`). If there are more than `_FEW` rows, and on each page after the first one, the metadata
documents are read first: their keys have the newest first, and each instance keeps the document of its first version
(`storage/records/documents.py`). So a page costs what it holds, unless a filter or the series of the URL rejects most
instances. Then all rows are read in chunks, and those of the page are kept.

In a large study, the study row is read before the rows of the instances and after them. If a bulk update was shown
meanwhile, all is read again. So either all matches are as before the update, or all are as after it
(`storage/index/instances.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from typing import Final

from app.dicom.query.matching import Query
from app.storage.index.instances import Instances, StudyView
from app.storage.records.rows import InstanceRow, belongs_to
from app.storage.records.stored_rows import StoredRows
from app.storage.search.matches import Match
from app.storage.search.posting_lists import PostingList, intersect_newest_first, newest_permitted, sequence_of
from app.storage.search.sources import Candidate
from app.storage.table import keys
from app.storage.table.ports import Item, Table

_FEW: Final = 500
"""Rows of a study of usual size."""

_CHUNK: Final = 1000
"""Rows that are in memory at a time."""

_DOCUMENTS: Final = 1000
"""Documents that are read before the rows are read instead, beside `_DOCUMENTS_PER_MATCH` for each match."""

_DOCUMENTS_PER_MATCH: Final = 4

Matching = Callable[[list[Match]], list[Match]]
"""Returns those that match the query, in their order."""

Verify = Callable[[Sequence[Candidate]], list[Match]]
"""Reads the rows of candidates and returns those that match, in their order."""


class StudyMembers:
    """Finds the instances of a study that match a query. `series` are the UIDs that it names, None if it names none."""

    def __init__(self, table: Table, instances: Instances) -> None:
        self._table = table
        self._instances = instances
        self._stored = StoredRows(table)

    def newest(
        self,
        partition: int,
        study: str,
        series: Sequence[str] | None,
        query: Query,
        *,
        matching: Matching,
        verify: Verify,
    ) -> list[Match]:
        """Return the newest matches, at least up to the end of the page, in no order.

        Those before the offset are among them.
        """
        few = self._few(partition, study, series) if query.below is None else None
        if few is not None:
            return matching(few)
        while True:
            view = self._instances.series_view(partition, study)
            if view.study is None:
                return []
            found = self._found(view, partition, study, series, query, matching, verify)
            now = self._stored.study(partition, study)
            if now is None:
                return []
            if (now.created, now.update_id) == (view.study.created, view.study.update_id):
                return found

    def _few(self, partition: int, study: str, series: Sequence[str] | None) -> list[Match] | None:
        """Return all instances, None if there are more than `_FEW` in the study or in a series."""
        found: list[Match] = []
        for each in [None] if series is None else series:
            view = self._instances.view_of_few(partition, study, each, _FEW)
            if view is None:
                return None
            if view.study:
                found += [Match(view.study, view.series[row.series], row) for row in view.instances]
        return found

    def _found(
        self,
        view: StudyView,
        partition: int,
        study: str,
        series: Sequence[str] | None,
        query: Query,
        matching: Matching,
        verify: Verify,
    ) -> list[Match]:
        page, newest = query.offset + query.limit, newest_permitted(query)
        rows = self._rows(view, partition, study, series)
        found = self._by_documents(partition, study, series, query, verify)
        if found is not None:
            return found
        best: list[Match] = []
        while chunk := list(islice(rows, _CHUNK)):
            if self._stored.study(partition, study) is None:
                return []  # a large study that was just deleted is not read to its end
            lowest = best[-1].sequence if len(best) == page else -1
            members = [each for each in chunk if lowest < _created(each) <= newest]
            matches = matching(list(_visible(view, partition, study, members)))
            best = sorted([*best, *matches], key=lambda each: -each.sequence)[:page]
        return best

    def _rows(self, view: StudyView, partition: int, study: str, series: Sequence[str] | None) -> Iterator[Item]:
        pk = keys.study_items(partition, study)
        if series is None:
            return iter(self._table.query(pk, keys.INSTANCES))
        named = (each for each in series if each in view.series)
        return chain.from_iterable(self._table.query(pk, keys.instances_of(each)) for each in named)

    def _by_documents(
        self, partition: int, study: str, series: Sequence[str] | None, query: Query, verify: Verify
    ) -> list[Match] | None:
        """Return as `newest`, in the order of the documents; None if most documents are of no match.

        The number of a document is that of its version. Only the document of the first version has the number of the
        instance, so `verify` leaves out the others.
        """
        page = query.offset + query.limit
        pk = keys.metadata_items(partition, study)
        documents = PostingList(self._table, pk=pk, prefix="", chunk=page, read=lambda item: _candidate(study, item))
        left = islice(
            intersect_newest_first([[documents]], newest_permitted(query)), _DOCUMENTS + _DOCUMENTS_PER_MATCH * page
        )
        found: list[Match] = []
        read = 0
        while len(found) < page:
            chunk = list(islice(left, page))
            if not chunk:
                return None if read == _DOCUMENTS + _DOCUMENTS_PER_MATCH * page else found
            read += len(chunk)
            found += verify([each for each in chunk if series is None or each.series in series])
        return found[:page]


def _candidate(study: str, document: Item) -> Candidate:
    return Candidate(sequence_of(document), study, document.fields["series"], document.fields["instance"])


def _created(row: Item) -> int:
    """Return the number of an instance without decoding its row (`InstanceRow.created`)."""
    first = row.fields.get("original", row.fields)
    return int(first["watermark"])


def _visible(view: StudyView, partition: int, study: str, items: Sequence[Item]) -> Iterator[Match]:
    """Yield the visible instances among rows, with the rows above them."""
    if view.study is None:
        return
    for item in items:
        row = InstanceRow.of(item, partition, study)
        series = view.series.get(row.series)
        if series and belongs_to(row, series, view.study):
            yield Match(view.study, series, row.after_update(view.study.update_id))
