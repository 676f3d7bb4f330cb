"""What an export keeps beside its operation: the identifiers it was asked for, and the lines of its error log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from app.storage.table import keys
from app.storage.table.batch import write_each
from app.storage.table.ports import Delete, Item, Put, Table

PAGE: Final = 100
"""Identifiers in one item: at most 20 KB."""


class ExportManifest:
    """Pages of one export after another, under its operation's id.

    They are written before the operation and removed by its last step. A crash between leaves pages that nobody reads.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    def file(self, operation: str, identifiers: Sequence[str]) -> None:
        """Keep the identifiers, `PAGE` to a page."""
        pages = (identifiers[start : start + PAGE] for start in range(0, len(identifiers), PAGE))
        changes = (
            Put(Item(keys.export_identifiers(operation, number), {"identifiers": list(page)}))
            for number, page in enumerate(pages)
        )
        write_each(self._table, changes)

    def page(self, operation: str, number: int) -> list[str]:
        """Return the identifiers of a page, counted from 0; none after the last."""
        item = self._table.get(keys.export_identifiers(operation, number))
        return item.fields["identifiers"] if item else []

    def log(self, operation: str, number: int, lines: bytes) -> None:
        """Keep lines of the error log as its part `number`, replacing what a repeated step kept there before."""
        self._table.write(Put(Item(keys.export_errors(operation, number), {}, lines)))

    def logged(self, operation: str, parts: int) -> Iterator[bytes]:
        """Yield the first `parts` parts of the error log."""
        items = self._table.query(keys.export_errors(operation, 0).pk, limit=parts) if parts else ()
        return (item.data for item in items)

    def remove(self, operation: str) -> None:
        """Forget all pages; safe to repeat."""
        for pk in (keys.export_identifiers(operation, 0).pk, keys.export_errors(operation, 0).pk):
            write_each(self._table, (Delete(item.key) for item in self._table.query(pk)))
