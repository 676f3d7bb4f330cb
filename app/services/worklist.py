"""The worklist of a partition: add, claim, update, end and search workitems (conformance §7.1, PS3.18 §11).

A change is made from the workitem as it was read, and it is written on the condition that nobody changed the workitem
since. So exactly one of several callers can claim a workitem. The others get an error about its new state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import orjson

from app.dicom.json.dataset import JsonDataset
from app.dicom.query.cursors import cursor
from app.dicom.query.matching import Query
from app.dicom.query.parameters import MAX_OFFSET, Catalogue, parse_query
from app.dicom.validation.attributes import Level
from app.dicom.worklist import states
from app.dicom.worklist.search_attributes import FILTERS, RETURNED
from app.errors import Conflict, InvalidWorkitem, StorageUnavailable, WorkitemConflict, WorkitemNotFound
from app.storage.table import clock
from app.storage.table.partitions import Partition
from app.storage.table.retry import RetriesExhausted, Retry
from app.storage.worklist.search import WorklistSearch
from app.storage.worklist.workitems import WorkitemRow, Workitems

EXISTS: Final = "The workitem instance already exists. Try creating using a different UID."

_RETRY: Final = Retry(attempts=8)
_CATALOGUE: Final = Catalogue(attributes=FILTERS, unindexed={}, sequences=True)


class _Change(NamedTuple):
    """The new dataset of a workitem, and its lock: the Transaction UID of the performer, "" if there is none."""

    dataset: JsonDataset
    lock: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorklistPage:
    """A page of matches, newest first: `documents` yields each as a DICOM JSON object.

    `unreadable` is true if there are other matches, whose stored datasets are damaged. `next` is the cursor of the next
    page, "" if no more workitems match.
    """

    count: int
    unreadable: bool
    next: str
    documents: Iterator[bytes]


class Worklist:
    """The calls of the worklist. Their callers have read the datasets (`dicom.json.received`) and checked the UIDs."""

    def __init__(self, workitems: Workitems, search: WorklistSearch, max_offset: int = MAX_OFFSET) -> None:
        self._workitems = workitems
        self._search = search
        self._max_offset = max_offset

    def add(self, partition: Partition, workitem: str, given: JsonDataset) -> None:
        """Add a workitem in state SCHEDULED.

        Raises `InvalidWorkitem`; `WorkitemConflict` if the UID exists, `StorageUnavailable` if that is not known.
        """
        dataset = states.create(given, workitem, clock.now())
        try:
            self._workitems.add(partition.key, workitem, dataset)
        except Conflict as conflict:
            raise (StorageUnavailable() if conflict.key is None else WorkitemConflict(EXISTS)) from conflict

    def retrieve(self, partition: Partition, workitem: str) -> JsonDataset:
        """Return the dataset of a workitem, without its Transaction UID. Raises `WorkitemNotFound`."""
        return self._found(partition, workitem).dataset()

    def update(self, partition: Partition, workitem: str, transaction: str, given: JsonDataset) -> None:
        """Replace whole attributes of a workitem. `transaction` is the Transaction UID, "" if the caller sent none.

        Raises `InvalidWorkitem`, `WorkitemNotFound`; `WorkitemConflict` also if the workitem was changed meanwhile.
        """

        def decide(row: WorkitemRow) -> _Change:
            after = states.update(row.dataset(), given, lock=row.lock, transaction=transaction, now=clock.now())
            return _Change(after, row.lock)

        self._change(partition, workitem, decide, Retry(attempts=1))

    def change_state(self, partition: Partition, workitem: str, given: JsonDataset) -> str:
        """Change the state of a workitem to the one in the dataset. Return a warning, "" if the state was changed.

        Raises `InvalidWorkitem`, `WorkitemNotFound`.
        """
        request = states.read_state_change(given)

        def decide(row: WorkitemRow) -> _Change | str:
            after = states.change_state(row.dataset(), request, lock=row.lock)
            return after if isinstance(after, str) else _Change(after, request.transaction)

        return self._change(partition, workitem, decide)

    def request_cancellation(self, partition: Partition, workitem: str, given: JsonDataset) -> str:
        """Cancel a workitem in state SCHEDULED and return the message.

        Raises `WorkitemNotFound`; `WorkitemConflict` in any other state.
        """

        def decide(row: WorkitemRow) -> _Change:
            return _Change(states.cancel(row.dataset(), given, clock.now()), row.lock)

        self._change(partition, workitem, decide)
        return states.WAS_CANCELED

    def search(self, partition: Partition, parameters: Iterable[tuple[str, str]]) -> WorklistPage:
        """Return the workitems that match decoded query pairs. Raises `InvalidQuery` and `InvalidParameter`."""
        query = parse_query(
            Level.INSTANCE,
            None,
            None,
            parameters,
            _CATALOGUE,
            max_offset=self._max_offset,
            searched=f"workitems of {partition.key}",
        )
        rows, more = self._search.run(partition.key, query)
        intact = [row for row in rows if row.intact]
        return WorklistPage(
            count=len(intact),
            unreadable=len(intact) < len(rows),
            next=cursor(query, rows[-1].created) if more else "",
            documents=(_result(row, query) for row in intact),
        )

    def _found(self, partition: Partition, workitem: str) -> WorkitemRow:
        row = self._workitems.find(partition.key, workitem)
        if row is None:
            raise WorkitemNotFound
        return row

    def _change(
        self,
        partition: Partition,
        workitem: str,
        decide: Callable[[WorkitemRow], _Change | str],
        limits: Retry = _RETRY,
    ) -> str:
        """Write the change that `decide` returns, and return "". If `decide` returns a warning, return that instead.

        If another writer was faster, the workitem is read again and `decide` is called again.
        """

        def attempt() -> str:
            row = self._found(partition, workitem)
            outcome = decide(row)
            if isinstance(outcome, str):
                return outcome
            try:
                self._workitems.change(row, outcome.dataset, outcome.lock)
            except Conflict as conflict:
                if conflict.key is None:
                    raise InvalidWorkitem(states.BUSY) from conflict
                raise
            return ""

        try:
            return limits.run(attempt)
        except RetriesExhausted as exhausted:
            raise WorkitemConflict(states.INCONSISTENT) from exhausted


def _result(row: WorkitemRow, query: Query) -> bytes:
    dataset = row.dataset()
    if query.include_all:
        return orjson.dumps(dataset)
    wanted = RETURNED | query.include | {path.partition(".")[0] for path in query.tags()}
    return orjson.dumps({tag: element for tag, element in dataset.items() if tag in wanted})
