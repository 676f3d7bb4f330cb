"""The times of feed entries: no new entry gets a time before the end of a window that a reader has read.

The clocks of the processes may disagree. So a reader of a window that has ended first records its end in the table. A
writer reads this record after it has reserved the numbers of its entries, and takes the later one of its own clock and
the record. A reader then only has to wait for the numbers that were reserved before its record.
"""

from __future__ import annotations

from app.storage.table import clock, keys
from app.storage.table.ports import Absent, Holds, Item, Put, Table
from app.storage.table.retry import retry


class EntryTimes:
    """Gives times to entries, as in `clock.timestamp`. One object serves all threads of a process."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._earliest = ""  # a time that new entries have at least; the table may hold a later one by now

    def of_new_entries(self) -> str:
        """Return the time of entries whose numbers are reserved. One read."""
        now = clock.timestamp(clock.now())
        return max(now, _earliest(self._table.get(keys.FEED_EARLIEST)))

    def end_window(self, end: str) -> None:
        """Let entries whose numbers are not reserved yet have the time `end` or a later one.

        One read and one write, none if a later time is known. A kill -9 after the write leaves a time that holds for
        all writers, which does no harm.
        """

        def attempt() -> None:
            item = self._table.get(keys.FEED_EARLIEST)
            earliest = _earliest(item)
            if earliest < end:
                expect = Holds("time", earliest) if item else Absent()
                self._table.write(Put(Item(keys.FEED_EARLIEST, {"time": end}), expect))
            self._earliest = max(earliest, end)

        if self._earliest < end:
            retry(attempt)


def _earliest(item: Item | None) -> str:
    return str(item.fields["time"]) if item else ""
