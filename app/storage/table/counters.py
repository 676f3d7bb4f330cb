"""The watermarks of instance versions: one ascending number for the archive (conformance §3.11)."""

from __future__ import annotations

from app.storage.table import keys
from app.storage.table.ports import Table


class SequenceCounter:
    """Gives numbers that are unique, ascending and never reused."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def reserve(self, count: int) -> range:
        """Return `count` new numbers. A kill -9 after this leaves numbers that nothing has."""
        last = self._table.add(keys.SEQUENCE_COUNTER, "value", count)
        return range(last - count + 1, last + 1)

    def last(self) -> int:
        """Return the highest number reserved so far, 0 before the first."""
        item = self._table.get(keys.SEQUENCE_COUNTER)
        return int(item.fields["value"]) if item else 0
