"""Retrieve files, metadata and frames (conformance §4.1). What is served comes from the index; files are only streamed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from app.dicom.encoding import transcode
from app.dicom.encoding.frames import FrameTable
from app.dicom.encoding.part10 import inflated, parse
from app.dicom.encoding.uids import EXPLICIT_LITTLE, transfer_syntax
from app.errors import BlobMissing, NotAcceptable, NotFound, StorageUnavailable
from app.services.parallel import ParallelMap
from app.services.store.spool import receive
from app.storage.index.instances import Instances
from app.storage.records.documents import Documents
from app.storage.records.rows import InstanceRow
from app.storage.table.partitions import Partition
from app.storage.table.ports import BlobStore

MAX_TRANSCODED_BYTES: Final = 104_857_600
"""Largest file that is transcoded or parsed for its frames (conformance §1.8)."""

UNSUPPORTED: Final = "The specified transcoding is not supported."
TOO_LARGE: Final = (
    f"Requested DICOM instance size is above the supported limit of {MAX_TRANSCODED_BYTES}. The entire instance can "
    "be retrieved with the original transfer syntax by specifying 'transfer-syntax=*' in the Accept header."
)
_CHUNK: Final = 1024 * 1024

Ranges = list[tuple[int, int]]
"""(offset, length) of bytes in a file."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """The metadata of what was asked for: `etag` without quotes, `documents` one DICOM JSON object each, lazy."""

    etag: str
    documents: Iterator[bytes]


class FramePart(NamedTuple):
    """One frame: its length in bytes and the chunks that make it up."""

    length: int
    chunks: Iterator[bytes]


class Frames(NamedTuple):
    """Frames in request order, all in one transfer syntax."""

    transfer_syntax: str
    parts: Iterator[FramePart]


Instance = InstanceRow
"""What a retrieve hands to its caller: UIDs, `sop_class`, `transfer_syntax`, `size` in bytes, `watermark`."""


class Retrieve:
    """Reads instances of a partition.

    `spread` opens the files of many. `spool` is the folder for large files that are transcoded, None for that of the
    system.
    """

    def __init__(
        self,
        instances: Instances,
        documents: Documents,
        blobs: BlobStore,
        spread: ParallelMap = map,
        *,
        spool: Path | None = None,
    ) -> None:
        self._instances = instances
        self._documents = documents
        self._blobs = blobs
        self._spread = spread
        self._spool = spool

    def instances(
        self,
        partition: Partition,
        study: str,
        series: str | None = None,
        instance: str | None = None,
        *,
        original: bool = False,
    ) -> list[Instance]:
        """Return the instances of a study, a series, or one instance, in order of storing.

        Raises `NotFound` naming the level. `original` asks for the versions first stored instead of the current ones.
        """
        rows = self._current(partition, study, series, instance)
        return [row.first for row in rows] if original else rows

    def _current(self, partition: Partition, study: str, series: str | None, instance: str | None) -> list[Instance]:
        if series and instance:
            row = self._instances.one(partition.key, study, series, instance)
            if row is None:
                raise NotFound("instance")
            return [row]
        view = self._instances.view(partition.key, study, series)
        if view.study is None or not view.instances or (series and series not in view.series):
            raise NotFound("series" if series else "study")
        return sorted(view.instances, key=lambda row: row.created)

    def open(self, instance: Instance, start: int = 0, length: int | None = None) -> BinaryIO:
        """Return a stream over the stored file, preamble included; the caller closes it.

        Raises `BlobMissing` if the version was removed meanwhile, `StorageUnavailable` if its file should be there.
        """
        try:
            return self._blobs.open(instance.blob, start, length)
        except BlobMissing as error:
            kept = self._instances.referenced_versions(
                instance.partition, instance.study, instance.series, instance.instance
            )
            if instance.version in kept:
                raise StorageUnavailable from error
            raise

    def opened(self, instances: Iterable[Instance]) -> Generator[BinaryIO, None, None]:
        """Yield a stream over each stored file; the caller closes each, and the iterator if it stops early."""
        yield from self._spread(self.open, instances)

    def metadata(
        self,
        partition: Partition,
        study: str,
        series: str | None = None,
        instance: str | None = None,
        *,
        original: bool = False,
    ) -> Metadata:
        """Return the metadata of a study, a series or an instance; raises `NotFound` naming the level.

        The tag names the current versions, whichever are told, and with `-o` that the originals are.
        """
        rows = self._current(partition, study, series, instance)
        newest = max(row.watermark for row in rows)
        etag = f"{newest}" if instance else f"{newest}-{len(rows)}"
        told = [row.first for row in rows] if original else rows
        documents = self._documents.of_study(told) if series is None else self._documents.of(told)
        return Metadata(etag + ("-o" if original else ""), documents)

    def explicit_little(self, instance: Instance) -> Iterator[bytes]:
        """Yield the file in Explicit VR Little Endian.

        Raises before the first chunk: `NotAcceptable` for a file that is not transcoded, `StorageUnavailable` when the
        spool folder is full or missing.
        """
        if instance.size > MAX_TRANSCODED_BYTES:
            raise NotAcceptable(TOO_LARGE)
        if transfer_syntax(instance.transfer_syntax).encapsulated and self._documents.frames(instance):
            raise NotAcceptable(UNSUPPORTED)
        with self.open(instance) as stream:
            body = receive(stream, MAX_TRANSCODED_BYTES, self._spool)
        try:
            return _closing(body.close, transcode.to_explicit_little(body.buffer, parse(body.buffer)))
        except BaseException:
            body.close()
            raise

    def frames(
        self,
        partition: Partition,
        study: str,
        series: str,
        instance: str,
        numbers: Sequence[int],
        transfer_syntax_wanted: str,
    ) -> Frames:
        """Return frames by their numbers from 1, as stored (`*`) or in Explicit VR Little Endian.

        Each is a ranged read of its own bytes, whatever the size of the file. Raises `NotFound` for the instance or for
        any number beyond its frames, `NotAcceptable` for a syntax that it cannot be given in.
        """
        (row,) = self.instances(partition, study, series, instance)
        table = self._frame_table(row)
        ranges = {number: table.ranges(number) for number in numbers}
        if transfer_syntax_wanted in ("*", row.transfer_syntax):
            syntax, little = row.transfer_syntax, table.word == 1
        elif transfer_syntax_wanted == EXPLICIT_LITTLE and not transfer_syntax(row.transfer_syntax).encapsulated:
            syntax, little = EXPLICIT_LITTLE, True
        else:
            raise NotAcceptable(UNSUPPORTED)
        if table.deflated:
            data = self._inflated(row)
            wanted = [(number, *ranges[number][0]) for number in numbers]
            frames = (table.cut(number, bytes(data[start : start + length])) for number, start, length in wanted)
            return Frames(syntax, map(_whole, frames))
        return Frames(syntax, (self._part(row, table, number, ranges[number], little) for number in numbers))

    def _frame_table(self, row: Instance) -> FrameTable:
        if row.native:
            frames, start, frame_bits, word = row.native
            return FrameTable(frames=frames, start=start, frame_bits=frame_bits, word=word)
        packed = self._documents.frames(row)
        return FrameTable.unpack(packed) if packed else FrameTable()

    def _part(self, row: Instance, table: FrameTable, number: int, ranges: Ranges, little: bool) -> FramePart:
        """Return one frame: streamed as it lies in the file, read whole only where its bits or bytes must move."""
        if table.whole_words and little == (table.word == 1):
            return FramePart(sum(length for _, length in ranges), self._chunks(row, ranges))
        return _whole(transcode.native_frame(table, number, b"".join(self._chunks(row, ranges)), little=little))

    def _chunks(self, row: Instance, ranges: Ranges) -> Iterator[bytes]:
        for start, length in ranges:
            with self.open(row, start, length) as stream:
                while chunk := stream.read(min(length, _CHUNK)):
                    yield chunk

    def _inflated(self, row: Instance) -> bytearray:
        """Return a deflated file with its dataset inflated; the only kind whose frames cannot be read by range."""
        if row.size > MAX_TRANSCODED_BYTES:
            raise NotAcceptable(TOO_LARGE)
        with self.open(row) as stream:
            data = stream.read()
        return inflated(data, parse(data).dataset_offset)


def _whole(frame: bytes) -> FramePart:
    return FramePart(len(frame), iter((frame,)))


def _closing(close: Callable[[], None], chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the chunks and close what they come from, read to the end or not."""
    try:
        yield from chunks
    finally:
        close()
