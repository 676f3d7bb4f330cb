"""Retrieve files, metadata and frames (conformance §4.1). Metadata comes from stored documents, never from files."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from app.dicom.json.dataset import JsonDataset
from app.errors import NotFound
from app.services.instance_files import InstanceFiles
from app.services.links import Link
from app.services.parallel import ParallelMap
from app.services.retrieve.frames import FrameReader, Frames
from app.services.retrieve.transcoding import TranscodedFile, Transcoder
from app.storage.index.instances import Instances
from app.storage.records.documents import Documents
from app.storage.records.packed_documents import Document
from app.storage.records.rows import InstanceRow
from app.storage.table.partitions import Partition


@dataclass(frozen=True, slots=True)
class Metadata:
    """The metadata of a study, a series or an instance.

    `etag` comes without quotes. `documents` yields one DICOM JSON object for each instance, read as it goes,
    a very large one in chunks.
    """

    etag: str
    documents: Iterator[Document]


class Retrieve:
    """Reads instances of a partition. `prefetch` opens the next files while the caller reads one."""

    def __init__(
        self,
        *,
        instances: Instances,
        documents: Documents,
        files: InstanceFiles,
        frames: FrameReader,
        transcoder: Transcoder,
        prefetch: ParallelMap = map,
    ) -> None:
        self._instances = instances
        self._documents = documents
        self._files = files
        self._frames = frames
        self._transcoder = transcoder
        self._prefetch = prefetch

    def instances(
        self,
        partition: Partition,
        study: str,
        series: str | None = None,
        instance: str | None = None,
        *,
        original: bool = False,
    ) -> list[InstanceRow]:
        """Return the instances of a study, a series, or one instance, in the order of storing.

        Raises `NotFound` with the level. `original` asks for the first stored versions instead of the current ones.
        """
        rows = self._current(partition, study, series, instance)
        return [row.with_original_file for row in rows] if original else rows

    def _current(self, partition: Partition, study: str, series: str | None, instance: str | None) -> list[InstanceRow]:
        if series and instance:
            row = self._instances.find(partition.key, study, series, instance)
            if row is None:
                raise NotFound("instance")
            return [row]
        view = self._instances.view(partition.key, study, series)
        if view.study is None or not view.instances or (series and series not in view.series):
            raise NotFound("series" if series else "study")
        return view.in_order

    def open(self, row: InstanceRow, start: int = 0, length: int | None = None) -> BinaryIO:
        """Return a stream over the stored file, preamble included; the caller closes it.

        It begins at the byte `start` and has `length` bytes (None: to the end). They are read by one ranged read.
        Raises `BlobMissing` if the version was removed meanwhile, `LostData` if the file is lost.
        """
        return self._files.open(row, start, length)

    def open_all(self, rows: Iterable[InstanceRow]) -> Generator[BinaryIO, None, None]:
        """Yield a stream over each stored file. The caller closes each stream, and the iterator if it stops early."""
        yield from self._prefetch(self._files.open, rows)

    def datasets(self, rows: Iterable[InstanceRow], wanted: frozenset[str]) -> Iterator[JsonDataset | None]:
        """Yield the metadata of each instance, None for one that was deleted meanwhile (`Documents.datasets`)."""
        return self._documents.datasets(rows, wanted)

    def metadata(
        self,
        partition: Partition,
        study: str,
        series: str | None = None,
        instance: str | None = None,
        *,
        original: bool = False,
        link: Link | None = None,
    ) -> Metadata:
        """Return the metadata of a study, a series or an instance. Raises `NotFound` with the level.

        With `link` it has the URLs of bulk data, otherwise no bulk data.

        The ETag is computed from the current versions, also when the original metadata is returned. The suffix `-o`
        marks an answer with original metadata. A lost document raises `LostData` while `documents` is read.
        """
        rows = self._current(partition, study, series, instance)
        newest = max(row.watermark for row in rows)
        etag = f"{newest}" if instance else f"{newest}-{len(rows)}"
        returned = [row.with_original_file for row in rows] if original else rows
        of = self._documents.of_study if series is None else self._documents.of
        documents = of(returned, link)
        return Metadata(etag + ("-o" if original else ""), documents)

    def is_lossy(self, row: InstanceRow) -> bool:
        """Return whether a caller that names no transfer syntax gets the file as stored (`Transcoder.is_lossy`)."""
        return self._transcoder.is_lossy(row)

    def transcoded(self, row: InstanceRow, target: str) -> TranscodedFile:
        """Return the file in another transfer syntax as `Transcoder.file` does."""
        return self._transcoder.file(row, target)

    def number_of_frames(self, row: InstanceRow) -> int:
        """Return how many frames an instance has, 0 for one without pixel data. Raises as `FrameReader.table` does."""
        return self._frames.table(row).frames

    def frames(self, row: InstanceRow, numbers: Sequence[int], syntax_wanted: str) -> Frames:
        """Return frames of an instance by their numbers from 1, as stored (`*`) or in a transfer syntax.

        Raises as `FrameReader.read` and `Transcoder.frames` do.
        """
        if self._frames.can_read(row, syntax_wanted):
            return self._frames.read(row, numbers, syntax_wanted)
        return self._transcoder.frames(row, numbers, syntax_wanted)
