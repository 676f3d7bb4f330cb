"""The changes of one instance row: a pending version is added, becomes current, or is removed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec.structs import replace

from app.dicom.json.dataset import JsonElement
from app.storage.feed import entries
from app.storage.index import sweep
from app.storage.records import documents
from app.storage.records.file_versions import FileVersion, Pending, merged
from app.storage.records.leftovers import InstanceVersion, version_of
from app.storage.records.row_changes import replace_row
from app.storage.records.rows import InstanceRow, StudyRow
from app.storage.table.ports import Change, Delete, Holds, Key, Put, Require

READERS_SECONDS: Final = 3600
"""How long the blob of an intermediate version is kept for readers that opened it before the next version."""


class NewVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A new version of an instance, whose file is stored.

    `row` is the row as it was read, `metadata` and `frames` are packed documents, `intent` is the key of the record
    that lets the sweep remove the file. `native` as in `InstanceRow`, `digest` as in `FileVersion`. `frames`
    is empty if there is no frame table.
    """

    row: InstanceRow
    version: InstanceVersion
    size: int
    digest: str
    native: tuple[int, ...]
    metadata: bytes
    frames: bytes
    intent: Key


def study_still_written(study: StudyRow) -> Require:
    """Return the condition that the same update still writes new versions of a study."""
    return Require(study.key, Holds("writing", study.writing))


def is_pending(row: InstanceRow, update_id: str) -> bool:
    """Return whether a row has a pending version of an update."""
    return row.pending is not None and row.pending.update_id == update_id


def add_pending(new: NewVersion, watermark: int, update_id: str, attributes: Mapping[str, JsonElement]) -> list[Change]:
    """Return the changes that add a pending version to its row, with its documents, and drop its intent.

    `attributes` are the values of extended query tags in the new version. The watermark names the documents, and
    never a feed entry: `finish` reserves another number for that. So the gap in the feed is closed with the same
    write.
    """
    row = new.row
    file = FileVersion(
        watermark=watermark, version=new.version.version, size=new.size, native=new.native, digest=new.digest
    )
    after = replace(
        row, pending=Pending.make(update_id=update_id, attributes=attributes, file=file), revision=row.revision + 1
    )
    changes = [
        *replace_row(row, after),
        Put(documents.metadata_item(row.with_file(file), new.metadata)),
        Put(entries.tombstone(watermark)),
        sweep.drop_intent(new.intent),
        *_drop_pending_file(row),
    ]
    return [*changes, Put(documents.frames_item(row.with_file(file), new.frames))] if new.frames else changes


def make_current(
    row: InstanceRow, update_id: str, values: Mapping[str, JsonElement]
) -> tuple[InstanceRow, list[Change]]:
    """Return a row whose pending version is the current one, and the changes that write it. They lack the feed entry.

    `values` are new values of extended query tags, as the tags are defined now. The original version stays. If the
    version before was not the original, its blob is removed after `READERS_SECONDS`.
    """
    published = row.after_update(update_id)
    after = replace(published, attributes=merged(published.attributes, values), revision=row.revision + 1)
    changes = replace_row(row, after)
    if row.original:
        intermediate = replace(version_of(row), watermark=row.watermark)
        changes.append(sweep.queue_removal(intermediate, READERS_SECONDS))
    return after, changes


def remove_pending(row: InstanceRow) -> list[Change]:
    """Return the changes that remove a pending version. No reader has seen it, so its blob is removed at once."""
    return [*replace_row(row, replace(row, pending=None, revision=row.revision + 1)), *_drop_pending_file(row)]


def _drop_pending_file(row: InstanceRow) -> list[Change]:
    """Return the changes that delete the documents of a pending version and queue the removal of its blob."""
    if row.pending is None or row.pending.file is None:
        return []
    old = row.with_file(row.pending.file)
    return [*(Delete(key) for key in documents.keys_of(old)), sweep.queue_removal(version_of(old), 0)]
