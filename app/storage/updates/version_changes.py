"""The changes of one instance row: a pending version is added, becomes current, or is removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from app.dicom.json.dataset import JsonElement
from app.storage.records import documents
from app.storage.records.file_versions import FileVersion, Pending, merged
from app.storage.records.leftovers import InstanceVersion, Leftovers, version_of
from app.storage.records.row_changes import replace_row
from app.storage.records.rows import InstanceRow, StudyRow
from app.storage.table.ports import Change, Holds, Put, Require

READERS_SECONDS: Final = 3600
"""How long the blob of an intermediate version is kept for readers that opened it before the next version."""


class NewVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A new version of an instance, whose file is stored.

    `row` is the row as it was read, `metadata` and `frames` are packed documents. `frames` is empty if there is no
    frame table. The watermark of `version` is in the keys of the documents. `native` as in `InstanceRow`, `digest` as
    in `FileVersion`.
    """

    row: InstanceRow
    version: InstanceVersion
    size: int
    digest: str
    native: tuple[int, ...]
    metadata: bytes
    frames: bytes


def study_still_written(study: StudyRow) -> Require:
    """Return the condition that the same update still writes new versions of a study."""
    return Require(study.key, Holds("writing", study.writing))


def is_pending(row: InstanceRow, update_id: str) -> bool:
    """Return whether a row has a pending version of an update."""
    return row.pending is not None and row.pending.update_id == update_id


class RowWrite(NamedTuple):
    """What one row takes part in a write with.

    `changes` belong into the transaction, `before` before it. After the transaction, the sweep removes `replaced` when
    `delay` seconds have passed.
    """

    changes: Sequence[Change]
    before: Sequence[Put] = ()
    replaced: Leftovers = Leftovers()
    delay: int = 0


def add_pending(new: NewVersion, update_id: str, attributes: Mapping[str, JsonElement]) -> RowWrite:
    """Return the write that adds a pending version to its row, with its documents.

    `attributes` are the values of extended query tags in the new version.
    """
    row = new.row
    file = FileVersion(
        watermark=new.version.watermark,
        version=new.version.version,
        size=new.size,
        native=new.native,
        digest=new.digest,
    )
    after = replace(
        row, pending=Pending.make(update_id=update_id, attributes=attributes, file=file), revision=row.revision + 1
    )
    return RowWrite(
        replace_row(row, after),
        [Put(item) for item in documents.items_of(row.with_file(file), new.metadata, new.frames)],
        _pending_version(row),
    )


def make_current(row: InstanceRow, update_id: str, values: Mapping[str, JsonElement]) -> RowWrite:
    """Return the write of a row whose pending version is the current one, without the record for the feed.

    `values` are new values of extended query tags, as the tags are defined now. The original version stays. A version
    between the original and the current one is replaced.
    """
    published = row.after_update(update_id)
    after = replace(published, attributes=merged(published.attributes, values), revision=row.revision + 1)
    replaced = Leftovers(versions=(replace(version_of(row), watermark=row.watermark),)) if row.original else Leftovers()
    return RowWrite(replace_row(row, after), replaced=replaced, delay=READERS_SECONDS)


def remove_pending(row: InstanceRow) -> RowWrite:
    """Return the write that removes a pending version. No reader has seen it."""
    after = replace(row, pending=None, revision=row.revision + 1)
    return RowWrite(replace_row(row, after), replaced=_pending_version(row))


def _pending_version(row: InstanceRow) -> Leftovers:
    """Return the file and the documents of the pending version of a row."""
    if row.pending is None or row.pending.file is None:
        return Leftovers()
    old = row.with_file(row.pending.file)
    return Leftovers(versions=(replace(version_of(old), watermark=old.watermark),))
