"""The one ascending number of the archive. It is the watermark of an instance version and the sequence of a feed entry.

Sources: conformance §3.11 and §10.3.
"""

from __future__ import annotations

from app.storage.table import keys
from app.storage.table.ports import Table


class SequenceCounter:
    """Gives numbers that are unique, ascending and never reused.

    Reserve a number as late as possible: readers of the feed wait for numbers that are reserved and not yet written.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    def reserve(self, count: int) -> range:
        """Return `count` new numbers. A kill -9 after this leaves a gap in the feed, which its readers close."""
        last = self._table.add(keys.SEQUENCE_COUNTER, "value", count)
        return range(last - count + 1, last + 1)

    def last(self) -> int:
        """Return the highest number reserved so far, 0 before the first."""
        item = self._table.get(keys.SEQUENCE_COUNTER)
        return int(item.fields["value"]) if item else 0
