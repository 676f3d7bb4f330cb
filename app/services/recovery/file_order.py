"""The rows and the blobs of a study side by side, in one pass with little memory.

The keys of blobs are in the order of `{series}/{instance}/`, and the keys of rows are in the order of
`{series}/{instance}`. These orders differ where one UID begins with another one: `1.2/` sorts after `1.2.3/`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from app.storage.records.instance_row import InstanceRow
from app.storage.table import keys
from app.storage.table.ports import StoredBlob


class InstanceFilesFound(NamedTuple):
    """One instance of a study: its row, and its blobs with what their keys say. One of them may be missing."""

    row: InstanceRow | None
    blobs: list[tuple[keys.BlobName, StoredBlob]]


def in_file_order(rows: Iterable[InstanceRow]) -> Iterator[tuple[str, InstanceRow]]:
    """Yield rows of a study, which come in the order of their keys, in the order of the keys of their blobs.

    A row is held back while rows follow whose key begins with its key. These are few.
    """
    held: list[tuple[str, InstanceRow]] = []
    for row in rows:
        name = f"{row.series}/{row.instance}"
        while held and f"{held[-1][0]}/" < f"{name}/":
            yield held.pop()
        held.append((name, row))
    yield from reversed(held)


def side_by_side(rows: Iterable[InstanceRow], blobs: Iterable[StoredBlob]) -> Iterator[InstanceFilesFound]:
    """Yield each instance of a study that has a row or a blob. Both come in the order of their keys."""
    ordered = in_file_order(rows)
    next_row = next(ordered, None)
    named = ((name, blob) for blob in blobs if (name := keys.blob_name(blob.key)))
    for instance, found in groupby(named, lambda each: f"{each[0].series}/{each[0].instance}"):
        while next_row and f"{next_row[0]}/" < f"{instance}/":
            yield InstanceFilesFound(next_row[1], [])
            next_row = next(ordered, None)
        if next_row and next_row[0] == instance:
            yield InstanceFilesFound(next_row[1], list(found))
            next_row = next(ordered, None)
        else:
            yield InstanceFilesFound(None, list(found))
    while next_row:
        yield InstanceFilesFound(next_row[1], [])
        next_row = next(ordered, None)
