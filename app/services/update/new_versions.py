"""The files and documents of new versions (conformance §12.6).

A new file has a rewritten header. Its pixel data is streamed from the current file.
"""

from __future__ import annotations

import io
import mmap
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, Final, NamedTuple

import orjson

from app.dicom.editing.patches import UTF_8
from app.dicom.editing.requested_changes import RequestedChanges
from app.dicom.editing.rewrite import RewrittenFile, rewrite_file
from app.dicom.encoding.elements import Buffer
from app.dicom.encoding.frames import FrameTable
from app.dicom.encoding.part10 import parse
from app.dicom.encoding.uids import transfer_syntax
from app.errors import BlobMissing, InvalidInstance, StorageError
from app.services.parallel import ParallelMap
from app.services.store.spool import MEMORY_BYTES, receive
from app.storage.index import sweep
from app.storage.records import documents
from app.storage.records.rows import InstanceRow
from app.storage.table import keys
from app.storage.table.ports import BlobStore, Item, Key
from app.storage.updates.version_changes import NewVersion

_MAX_FILE_BYTES: Final = 1 << 40
_CHARACTER_SET: Final = "00080005"


class Failure(NamedTuple):
    """An instance of which no new version could be made. `reason` is a sentence without patient data."""

    row: InstanceRow
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """One instance to update: its stored documents, and the version that the new file gets."""

    row: InstanceRow
    metadata: Item
    frames: bytes | None
    version: sweep.InstanceVersion
    intent: Key


class NewVersions:
    """Makes new versions of instances.

    `record_intents` is `IndexWriter.record_intents`. `spool` is the folder for copies of large files that the blob
    store does not keep on this machine.
    """

    def __init__(
        self,
        *,
        documents: documents.Documents,
        blobs: BlobStore,
        record_intents: Callable[[Sequence[sweep.InstanceVersion]], list[Key]],
        parallel: ParallelMap,
        spool: Path | None,
    ) -> None:
        self._documents = documents
        self._blobs = blobs
        self._record_intents = record_intents
        self._parallel = parallel
        self._spool = spool
        self._inflating = Lock()  # a deflated file, up to 100 MiB, is held in memory: one at a time
        self._parsing = Lock()  # parsing keeps the processor busy: more threads would only need more memory

    def make(self, rows: Sequence[InstanceRow], changes: RequestedChanges) -> tuple[list[NewVersion], list[Failure]]:
        """Store a new file for each instance. Instances that were deleted in the meantime are left out.

        Intents are recorded before the files. A kill -9 leaves files that no row names, and the sweep removes them when
        their intents are due.
        """
        existing = self._documents.folded(rows)
        frames = self._documents.frames_of([row for row in rows if not row.native])
        versions = [replace(sweep.version_of(row), version=uuid.uuid4().hex) for row, _ in existing]
        sources = [
            _Source(row=row, metadata=metadata, frames=frames.get(row.watermark), version=version, intent=intent)
            for (row, metadata), version, intent in zip(existing, versions, self._record_intents(versions), strict=True)
        ]
        results = list(self._parallel(lambda source: self._make_one(source, changes), sources))
        made = [each for each in results if isinstance(each, NewVersion)]
        return made, [each for each in results if isinstance(each, Failure)]

    def discard(self, versions: Iterable[NewVersion]) -> None:
        """Remove files that no row names. If that fails, the sweep removes them when their intents are due."""
        blobs = [each.version.blob for each in versions]
        with suppress(StorageError):
            self._blobs.delete([*blobs, *map(keys.spilled_metadata, blobs)])

    def _make_one(self, source: _Source, changes: RequestedChanges) -> NewVersion | Failure:
        try:
            if transfer_syntax(source.row.transfer_syntax).deflated:
                with self._inflating:
                    return self._store(source, changes)
            return self._store(source, changes)
        except (InvalidInstance, BlobMissing) as error:
            return Failure(source.row, str(error))

    def _store(self, source: _Source, changes: RequestedChanges) -> NewVersion:
        document = self._documents.unfolded(source.row, source.metadata)
        if document is None:
            raise BlobMissing(keys.spilled_metadata(source.row.blob))
        with self._open_current(source.row) as buffer:
            with self._parsing:
                new = rewrite_file(buffer, parse(buffer), changes.values)
            size = self._blobs.put(source.version.blob, _body(new, buffer))
        with self._parsing:
            document = _new_metadata(document, changes, new)
        metadata = documents.pack(document)
        if documents.spills(metadata):
            self._blobs.put(keys.spilled_metadata(source.version.blob), io.BytesIO(metadata))
        frames, start, *shape = source.row.native or (0, 0)
        return NewVersion(
            row=source.row,
            version=source.version,
            size=size,
            native=(frames, start + new.shift, *shape) if source.row.native else (),
            metadata=metadata,
            frames=_new_frame_table(source.frames, new),
            intent=source.intent,
        )

    @contextmanager
    def _open_current(self, row: InstanceRow) -> Iterator[Buffer]:
        """Yield the bytes of the current file: in memory if it is small, else mapped from its place or from a copy."""
        with self._blobs.open(row.blob) as stream:
            if row.size > MEMORY_BYTES and isinstance(stream, io.FileIO):
                with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                    yield mapped
                return
            with receive(stream, _MAX_FILE_BYTES, self._spool) as spooled:
                yield spooled.buffer


def _body(new: RewrittenFile, buffer: Buffer) -> BinaryIO:
    """Return the new file as a stream. A small file is joined first: blob stores write it in one request."""
    stream = new.stream(buffer)
    return io.BytesIO(stream.read()) if len(buffer) <= MEMORY_BYTES else stream


def _new_metadata(document: bytes, changes: RequestedChanges, new: RewrittenFile) -> bytes:
    dataset: dict[str, Any] = {**orjson.loads(document), **changes.elements}
    if new.converted:
        _declare_utf_8(dataset)
        dataset[_CHARACTER_SET] = {"vr": "CS", "Value": [UTF_8.decode()]}
    return orjson.dumps(dict(sorted(dataset.items())))


def _declare_utf_8(dataset: Mapping[str, Any]) -> None:
    """Change the character set of every sequence item that names one. All text of the file is UTF-8 by now."""
    for element in dataset.values():
        for item in element.get("Value", ()) if element["vr"] == "SQ" else ():
            if _CHARACTER_SET in item:
                item[_CHARACTER_SET] = {"vr": "CS", "Value": [UTF_8.decode()]}
            _declare_utf_8(item)


def _new_frame_table(packed: bytes | None, new: RewrittenFile) -> bytes:
    """Return the frame table with its offsets moved by what the header grew. Empty if there is none."""
    if packed is None:
        return b""
    table = FrameTable.unpack(packed)
    return replace(table, start=table.start + new.shift).pack()
