"""The manifest of an export: the identifiers to export and the lines of the error log, beside the operation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from app.storage.table import keys
from app.storage.table.ports import Delete, Item, Put, Table

PAGE: Final = 100
"""Identifiers in one item: at most 20 KB."""


class ExportIdentifier(NamedTuple):
    """One to three UIDs that name a study, a series or an instance.

    `covered` means that the request names the study or series above it too. Its files are exported once, with that
    study or series.
    """

    path: tuple[str, ...]
    covered: bool = False


class ExportManifest:
    """Keeps the manifests of exports under the ids of their operations.

    The identifiers are written before the operation, and the last step of the operation removes everything. A kill -9
    between the identifiers and the operation leaves pages that nobody reads.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    def write_identifiers(self, operation: str, identifiers: Sequence[ExportIdentifier]) -> None:
        """Write the identifiers, `PAGE` to a page."""
        pages = (identifiers[start : start + PAGE] for start in range(0, len(identifiers), PAGE))
        self._table.write_each((Put(_page_item(operation, number, page)) for number, page in enumerate(pages)))

    def identifiers(self, operation: str, page: int) -> list[ExportIdentifier]:
        """Return the identifiers of a page, counted from 0; none after the last page."""
        item = self._table.get(keys.export_identifiers(operation, page))
        if item is None:
            return []
        covered = set(item.fields.get("covered", ()))  # older releases did not write covered identifiers
        return [
            ExportIdentifier(tuple(each.split("/")), index in covered)
            for index, each in enumerate(item.fields["identifiers"])
        ]

    def write_log(self, operation: str, part: int, lines: bytes) -> None:
        """Write lines of the error log as one part. A repeated step replaces the part that it wrote before."""
        self._table.write(Put(Item(keys.export_errors(operation, part), {}, lines)))

    def log_parts(self, operation: str, count: int) -> Iterator[bytes]:
        """Yield the first `count` parts of the error log."""
        items = self._table.query(keys.export_errors(operation, 0).pk, limit=count) if count else ()
        return (item.data for item in items)

    def remove(self, operation: str) -> None:
        """Remove the manifest. A kill -9 leaves a part of it, and the repeated step removes that."""
        for pk in (keys.export_identifiers(operation, 0).pk, keys.export_errors(operation, 0).pk):
            self._table.write_each(Delete(item.key) for item in self._table.query(pk))


def _page_item(operation: str, number: int, page: Sequence[ExportIdentifier]) -> Item:
    fields = {
        "identifiers": ["/".join(each.path) for each in page],
        "covered": [index for index, each in enumerate(page) if each.covered],
    }
    return Item(keys.export_identifiers(operation, number), fields)
