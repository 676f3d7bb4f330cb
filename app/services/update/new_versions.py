"""New versions of instances' files: the header rewritten, the rest streamed from the version before (conformance §12.4)."""

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

_LARGEST: Final = 1 << 40
_CHARACTER_SET: Final = "00080005"


class Failure(NamedTuple):
    """An instance of which no new version could be made, and why."""

    row: InstanceRow
    reason: str


@dataclass(frozen=True, slots=True)
class _Job:
    row: InstanceRow
    metadata: Item
    frames: bytes | None
    version: sweep.InstanceVersion
    intent: Key


class NewVersions:
    """Makes new versions. `announce` records intents (`IndexWriter.record_intents`); `spool` is the folder for large files that do
    not lie on this machine.
    """

    def __init__(
        self,
        documents: documents.Documents,
        blobs: BlobStore,
        announce: Callable[[Sequence[sweep.InstanceVersion]], list[Key]],
        spread: ParallelMap,
        spool: Path | None,
    ) -> None:
        self._documents = documents
        self._blobs = blobs
        self._announce = announce
        self._spread = spread
        self._spool = spool
        self._inflating = Lock()  # a deflated file is held whole, up to 100 MiB of it
        self._parsing = Lock()  # threads take no less time for what the processor does, only memory

    def make(self, rows: Sequence[InstanceRow], changes: RequestedChanges) -> tuple[list[NewVersion], list[Failure]]:
        """Store a new version of each instance; those that were deleted meanwhile are left out.

        A kill -9 leaves files whose intents come due.
        """
        there = self._documents.folded(rows)
        frames = self._documents.frames_of([row for row in rows if not row.native])
        versions = [replace(sweep.version_of(row), version=uuid.uuid4().hex) for row, _ in there]
        jobs = [
            _Job(row, metadata, frames.get(row.watermark), version, intent)
            for (row, metadata), version, intent in zip(there, versions, self._announce(versions), strict=True)
        ]
        made = list(self._spread(lambda job: self._made(job, changes), jobs))
        return [each for each in made if isinstance(each, NewVersion)], [
            each for each in made if isinstance(each, Failure)
        ]

    def discard(self, versions: Iterable[NewVersion]) -> None:
        """Remove files that no row will name; should that fail, their intents come due."""
        blobs = [each.version.blob for each in versions]
        with suppress(StorageError):
            self._blobs.delete([*blobs, *map(keys.spilled_metadata, blobs)])

    def _made(self, job: _Job, changes: RequestedChanges) -> NewVersion | Failure:
        try:
            if transfer_syntax(job.row.transfer_syntax).deflated:
                with self._inflating:
                    return self._stored(job, changes)
            return self._stored(job, changes)
        except (InvalidInstance, BlobMissing) as error:
            return Failure(job.row, str(error))

    def _stored(self, job: _Job, changes: RequestedChanges) -> NewVersion:
        document = self._documents.unfolded(job.row, job.metadata)
        if document is None:
            raise BlobMissing(keys.spilled_metadata(job.row.blob))
        with self._opened(job.row) as buffer:
            with self._parsing:
                new = rewrite_file(buffer, parse(buffer), changes.values)
            size = self._blobs.put(job.version.blob, _body(new, buffer))
        with self._parsing:
            document = _metadata(document, changes, new)
        metadata = documents.pack(document)
        if documents.spills(metadata):
            self._blobs.put(keys.spilled_metadata(job.version.blob), io.BytesIO(metadata))
        frames, start, *shape = job.row.native or (0, 0)
        native = (frames, start + new.shift, *shape) if job.row.native else ()
        return NewVersion(job.row, job.version, size, native, metadata, _frames(job.frames, new), job.intent)

    @contextmanager
    def _opened(self, row: InstanceRow) -> Iterator[Buffer]:
        """Give the current file as bytes: a small one in memory, a large one mapped where it lies or in a copy."""
        with self._blobs.open(row.blob) as stream:
            if row.size > MEMORY_BYTES and isinstance(stream, io.FileIO):
                with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                    yield mapped
                return
            with receive(stream, _LARGEST, self._spool) as spooled:
                yield spooled.buffer


def _body(new: RewrittenFile, buffer: Buffer) -> BinaryIO:
    """A small file in one piece, a large one as it is read."""
    stream = new.stream(buffer)
    return io.BytesIO(stream.read()) if len(buffer) <= MEMORY_BYTES else stream


def _metadata(document: bytes, changes: RequestedChanges, new: RewrittenFile) -> bytes:
    dataset: dict[str, Any] = {**orjson.loads(document), **changes.elements}
    if new.converted:
        _convert(dataset)
        dataset[_CHARACTER_SET] = {"vr": "CS", "Value": [UTF_8.decode()]}
    return orjson.dumps(dict(sorted(dataset.items())))


def _convert(dataset: Mapping[str, Any]) -> None:
    """Let every item that names its character set name the new one."""
    for element in dataset.values():
        for item in element.get("Value", ()) if element["vr"] == "SQ" else ():
            if _CHARACTER_SET in item:
                item[_CHARACTER_SET] = {"vr": "CS", "Value": [UTF_8.decode()]}
            _convert(item)


def _frames(packed: bytes | None, new: RewrittenFile) -> bytes:
    if packed is None:
        return b""
    table = FrameTable.unpack(packed)
    return replace(table, start=table.start + new.shift).pack()
