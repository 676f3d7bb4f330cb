"""The archive's one ascending number: an instance's watermark and its feed entry's sequence (conformance §3.11, conformance §10.3)."""

from __future__ import annotations

from app.storage.table import keys
from app.storage.table.ports import Table


class SequenceCounter:
    """Numbers that are unique, ascending and never reused; reserved as late as possible, since gaps hold up readers."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def reserve(self, count: int) -> range:
        """Return `count` fresh numbers. A crash after this leaves a gap, which the feed's readers seal."""
        last = self._table.add(keys.SEQUENCE_COUNTER, "value", count)
        return range(last - count + 1, last + 1)

    def last(self) -> int:
        """Return the highest number reserved so far, 0 before the first."""
        item = self._table.get(keys.SEQUENCE_COUNTER)
        return int(item.fields["value"]) if item else 0
