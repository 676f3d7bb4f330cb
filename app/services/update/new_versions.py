"""The files and documents of new versions (conformance §12.6).

A new file has a rewritten header. Its pixel data is streamed from the current file.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from typing import Any, BinaryIO, Final, NamedTuple

from app.dicom.editing.patches import UTF_8
from app.dicom.editing.requested_changes import RequestedChanges
from app.dicom.editing.rewrite import RewrittenFile, rewrite_file
from app.dicom.encoding.elements import Buffer
from app.dicom.encoding.frames import FrameTable, frame_table, is_frame_number_right
from app.dicom.encoding.part10 import Part10, parse
from app.dicom.encoding.uids import transfer_syntax
from app.dicom.json.bulk_data import move_places
from app.dicom.json.dataset import JsonDataset
from app.errors import BlobMissing, InvalidInstance, LostData
from app.services.digest import digest_of
from app.services.instance_files import InstanceFiles
from app.services.parallel import ParallelMap
from app.services.store.spool import MEMORY_BYTES
from app.storage.index.intents import Intents
from app.storage.records import documents
from app.storage.records.leftovers import InstanceVersion
from app.storage.records.losses import FRAME_TABLE, LostObjects
from app.storage.records.packed_documents import repack
from app.storage.records.rows import InstanceRow
from app.storage.table.ports import BlobStore, Item
from app.storage.updates.study_versions import NamedVersions
from app.storage.updates.version_changes import NewVersion

_CHARACTER_SET: Final = "00080005"


class Failure(NamedTuple):
    """An instance of which no new version could be made. `reason` is a sentence without patient data."""

    row: InstanceRow
    reason: str


class MadeVersions(NamedTuple):
    """The versions whose files are stored, the instances that failed, and the record that names all files."""

    versions: list[NewVersion]
    failures: list[Failure]
    intents: Intents


@dataclass(frozen=True, slots=True, kw_only=True)
class _InstanceToUpdate:
    """One instance to update: its stored documents, and the version that the new file gets."""

    row: InstanceRow
    metadata: Item | None
    frames: Item | None
    version: InstanceVersion


class NewVersions:
    """Makes new versions of instances. `name_versions` is as in `StudyVersions`."""

    def __init__(
        self,
        *,
        documents: documents.Documents,
        blobs: BlobStore,
        files: InstanceFiles,
        lost: LostObjects,
        name_versions: Callable[[Sequence[InstanceRow]], NamedVersions],
        parallel: ParallelMap,
    ) -> None:
        self._documents = documents
        self._blobs = blobs
        self._files = files
        self._lost = lost
        self._name_versions = name_versions
        self._parallel = parallel
        self._inflating = Lock()  # a deflated file, up to 100 MiB, is held in memory: one at a time
        self._parsing = Lock()  # parsing keeps the processor busy: more threads would only need more memory

    def make(self, rows: Sequence[InstanceRow], changes: RequestedChanges) -> MadeVersions:
        """Store a new file for each instance. Instances that were deleted in the meantime are left out.

        A record names the files before they are stored. A kill -9 leaves files that no row names, and the sweep removes
        them when the record is due.
        """
        with_table = [row for row in rows if not row.native]
        frames = dict(zip((row.watermark for row in with_table), self._documents.frames_items(with_table), strict=True))
        versions, intents = self._name_versions(rows)
        sources = [
            _InstanceToUpdate(row=row, metadata=metadata, frames=frames.get(row.watermark), version=version)
            for (row, metadata), version in zip(self._documents.items(rows), versions, strict=True)
        ]
        results = list(self._parallel(lambda source: self._make_one(source, changes), sources))
        made = [each for each in results if isinstance(each, NewVersion)]
        return MadeVersions(made, [each for each in results if isinstance(each, Failure)], intents)

    def _make_one(self, source: _InstanceToUpdate, changes: RequestedChanges) -> NewVersion | Failure | None:
        try:
            if transfer_syntax(source.row.transfer_syntax).deflated:
                with self._inflating:
                    return self._store(source, changes)
            return self._store(source, changes)
        except (InvalidInstance, BlobMissing, LostData) as error:
            return Failure(source.row, str(error))

    def _store(self, source: _InstanceToUpdate, changes: RequestedChanges) -> NewVersion | None:
        """Return the new version, None if the instance was deleted in the meantime. Raises `LostData`."""
        packed = self._documents.read_packed(source.row, source.metadata)
        if packed is None:
            return None
        with self._files.mapped(source.row) as buffer:
            with self._parsing:
                part10 = parse(buffer)
                new = rewrite_file(buffer, part10, changes.values)
            frames = self._new_frame_table(source, buffer, part10, new)
            digest = digest_of(new.stream(buffer))
            size = self._blobs.put(source.version.blob, _body(new, buffer))
        with self._parsing:
            change = partial(_new_metadata, changes=changes, new=new)
            shift_of = partial(_shift, part10, new.new_offsets())
            metadata = repack(packed, change, shift_of, whole_document=new.converted)
        documents.put_large(self._blobs, source.version.blob, metadata, frames)
        count, start, *shape = source.row.native or (0, 0)
        return NewVersion(
            row=source.row,
            version=source.version,
            size=size,
            digest=digest,
            native=(count, start + new.shift, *shape) if source.row.native else (),
            metadata=metadata,
            frames=frames,
        )

    def _new_frame_table(self, source: _InstanceToUpdate, buffer: Buffer, part10: Part10, new: RewrittenFile) -> bytes:
        """Return the frame table with its offsets moved by what the header grew, empty if the file needs no table.

        A file that release 0.1.0 stored without a table gets one (`is_frame_number_right`). Raises `LostData` if the
        current file needs a table that is missing.
        """
        packed = self._documents.read_frames(source.row, source.frames)
        if packed is not None:
            table = FrameTable.unpack(packed)
            return replace(table, start=table.start + new.shift).pack()
        if source.row.native or not (table := frame_table(buffer, part10)).frames:
            return b""
        if is_frame_number_right(table, part10):
            self._lost.current_row(source.row, FRAME_TABLE)
        return replace(table, start=table.start + new.shift).pack()


def _body(new: RewrittenFile, buffer: Buffer) -> BinaryIO:
    """Return the new file as a stream. A small file is joined first: blob stores write it in one request."""
    stream = new.stream(buffer)
    return io.BytesIO(stream.read()) if len(buffer) <= MEMORY_BYTES else stream


def _new_metadata(dataset: JsonDataset, changes: RequestedChanges, new: RewrittenFile) -> JsonDataset:
    dataset = {**dataset, **changes.elements}
    if new.converted:
        _declare_utf_8(dataset)
        dataset[_CHARACTER_SET] = {"vr": "CS", "Value": [UTF_8.decode()]}
    move_places(dataset, new.new_offsets())
    return dict(sorted(dataset.items()))


def _shift(part10: Part10, new_offset: Callable[[int], int], tag: str) -> int:
    """Return the number of bytes by which an element lies later in the new file."""
    element = part10.get(int(tag, 16))
    return new_offset(element.offset) - element.offset if element else 0


def _declare_utf_8(dataset: Mapping[str, Any]) -> None:
    """Change the character set of every sequence item that names one. All text of the file is UTF-8 by now."""
    for element in dataset.values():
        for item in element.get("Value", ()) if element["vr"] == "SQ" else ():
            if _CHARACTER_SET in item:
                item[_CHARACTER_SET] = {"vr": "CS", "Value": [UTF_8.decode()]}
            _declare_utf_8(item)
