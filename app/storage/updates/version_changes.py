"""What it takes, row by row, to note a new version, to make it current, and to take it back: changes to be written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from app.dicom.json.dataset import JsonElement
from app.storage.index import sweep
from app.storage.records import documents
from app.storage.records.file_versions import FileVersion, Pending, merged
from app.storage.records.postings import postings
from app.storage.records.rows import IndexRow, InstanceRow, StudyRow
from app.storage.table import keys
from app.storage.table.ports import Change, Delete, Holds, Item, Key, Put, Require

READERS_SECONDS: Final = 3600
"""How long an intermediate version is kept for those who began to read it."""


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A new version of an instance whose file is stored: `row` as it was read, packed documents, its intent's key.

    `native` as in `InstanceRow`.
    """

    row: InstanceRow
    version: sweep.InstanceVersion
    size: int
    native: tuple[int, ...]
    metadata: bytes
    frames: bytes
    intent: Key


def while_writing(study: StudyRow) -> Require:
    """Return the condition that an update may still write new versions of a study."""
    return Require(study.key, Holds("writing", study.writing))


def replaced(before: IndexRow, after: IndexRow) -> list[Change]:
    """Return the changes that put one state of a row in the place of another, with the difference of their postings."""
    was, now = postings(before), postings(after)
    return [
        Put(after.item, Holds("revision", before.revision)),
        *(Put(item) for key, item in now.items() if key not in was),
        *(Delete(key) for key in was if key not in now),
    ]


def noted(written: NewVersion, watermark: int, update_id: str, attributes: Mapping[str, JsonElement]) -> list[Change]:
    """Return the changes that note a new version as pending, under a watermark that no feed entry will have."""
    row = written.row
    file = FileVersion(watermark, written.version.version, written.size, written.native)
    after = replace(row, pending=Pending(update_id, attributes, file), revision=row.revision + 1)
    changes = [
        *replaced(row, after),
        Put(documents.metadata_item(row.with_file(file), written.metadata)),
        Put(Item(keys.feed(watermark), {"sealed": True})),
        sweep.fulfilled(written.intent),
        *_dropped(row),
    ]
    return [*changes, Put(documents.frames_item(row.with_file(file), written.frames))] if written.frames else changes


def settled(
    row: InstanceRow, update_id: str, attributes: Mapping[str, JsonElement]
) -> tuple[InstanceRow, list[Change]]:
    """Return a row with its pending version made current, and the changes that write it so, but for its feed entry.

    `attributes` are new values of extended query tags as there are now. The original version stays; another that was
    current until now is removed once nobody can be reading it.
    """
    shown = row.at(update_id)
    after = replace(shown, attributes=merged(shown.attributes, attributes), revision=row.revision + 1)
    changes = replaced(row, after)
    if row.original:
        gone = replace(sweep.version_of(row), watermark=row.watermark)
        changes.append(sweep.removal(gone, READERS_SECONDS))
    return after, changes


def reverted(row: InstanceRow) -> list[Change]:
    """Return the changes that take back a pending version, which nobody can be reading."""
    return [*replaced(row, replace(row, pending=None, revision=row.revision + 1)), *_dropped(row)]


def _dropped(row: InstanceRow) -> list[Change]:
    """Return the changes that drop the documents and the blob of a pending version."""
    if row.pending is None or row.pending.file is None:
        return []
    old = row.with_file(row.pending.file)
    return [*(Delete(key) for key in documents.keys_of(old)), sweep.removal(sweep.version_of(old), 0)]
