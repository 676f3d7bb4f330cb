"""Which marks of studies are due (`records/page_marks.py`).

Each step rewrites a page. So the worker waits until there are `ENOUGH_MARKS` of a kind in a partition, or until one is
old. A mark of a new study waits for `NEW_SECONDS` at most. That of a changed or deleted study waits for
`CHANGED_SECONDS`, because the page has the former name until then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Final

from app.storage.records.page_marks import PageMark
from app.storage.table import clock, keys
from app.storage.table.ports import Range, Table

ENOUGH_MARKS: Final = 256
NEW_SECONDS: Final = 600
CHANGED_SECONDS: Final = 60
_LOOK_SECONDS: Final = 10
"""Seconds between two looks for marks that are due."""


class DueMarks:
    """Finds the partitions whose marks are due. `monotonic` returns seconds."""

    def __init__(self, table: Table, monotonic: Callable[[], float]) -> None:
        self._table = table
        self._monotonic = monotonic
        self._next_look = 0.0

    def next_partition(self) -> int | None:
        """Return a partition whose marks are due. None if there is none, or if the last look was just now."""
        if self._monotonic() < self._next_look:
            return None
        for kind, seconds in ((keys.CHANGED_STUDIES, CHANGED_SECONDS), (keys.NEW_STUDIES, NEW_SECONDS)):
            latest = clock.now() - seconds
            for shard in range(keys.MARK_SHARDS):
                for partition, marks in self._marks_by_partition(keys.mark_items(kind, shard)):
                    if len(marks) >= ENOUGH_MARKS or min(mark.time for mark in marks) <= latest:
                        return partition
        self._next_look = self._monotonic() + _LOOK_SECONDS
        return None

    def _marks_by_partition(self, pk: str) -> Iterator[tuple[int, list[PageMark]]]:
        """Yield the marks of each partition of a shard, at most `ENOUGH_MARKS` of each."""
        low = ""
        while True:
            marks = [PageMark(item) for item in self._table.query(pk, Range(low), limit=ENOUGH_MARKS)]
            groups = [(partition, list(each)) for partition, each in groupby(marks, lambda mark: mark.partition)]
            if len(marks) < ENOUGH_MARKS:
                yield from groups
                return
            if len(groups) == 1:
                yield groups[0]
                low = keys.page_marks(groups[0][0]).high
            else:  # the last partition may have more marks
                yield from groups[:-1]
                low = keys.page_marks(groups[-1][0]).low
