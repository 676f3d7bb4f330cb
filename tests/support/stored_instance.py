"""One instance in memory, as the services of retrieve see it: an index row, and files that note how they are read."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from app.dicom.encoding.frames import frame_table
from app.dicom.encoding.part10 import parse
from app.errors import BlobMissing
from app.services.instance_files import InstanceFiles
from app.services.retrieve.renderers import Content
from app.storage.records.losses import LostObjects
from app.storage.records.rows import InstanceRow
from app.storage.table.ports import BlobStore, StoredBlob
from tests.support.instances import read


class OneBlob(BlobStore):
    """A blob store that has one object under every key. `reads` has the start and length of each read."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.reads: list[tuple[int, int | None]] = []

    def put(self, key: str, body: BinaryIO) -> int:
        raise NotImplementedError

    def open(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        self.reads.append((start, length))
        stop = len(self.data) if length is None else start + length
        return io.BytesIO(self.data[start:stop])

    def delete(self, keys: Iterable[str]) -> None:
        raise NotImplementedError

    def listed(self, prefix: str = "", after: str = "") -> Iterator[StoredBlob]:
        raise NotImplementedError


class NothingIsLost(LostObjects):
    """Reports no lost object."""

    def __init__(self) -> None:
        """No table is needed."""

    def current_row(self, row: InstanceRow, lost: str) -> InstanceRow:
        raise BlobMissing(row.blob)


class StoredInstance:
    """An instance in memory."""

    def __init__(self, data: bytes) -> None:
        dataset = read(data)
        self.data = data
        self.blobs = OneBlob(data)
        self.files = InstanceFiles(self.blobs, NothingIsLost())
        table = frame_table(data, parse(data))
        self.table = table
        self.row = InstanceRow(
            partition=1,
            study=str(dataset.StudyInstanceUID),
            series=str(dataset.SeriesInstanceUID),
            instance=str(dataset.SOPInstanceUID),
            of_study=1,
            of_series=1,
            watermark=1,
            version="1",
            size=len(data),
            sop_class=str(dataset.SOPClassUID),
            transfer_syntax=str(dataset.file_meta.TransferSyntaxUID),
            revision=1,
        )


def bytes_of(content: Content, start: int = 0, length: int | None = None) -> bytes:
    """Return the bytes of content, or a range of them."""
    assert content.length is not None
    return b"".join(content.read(start, content.length - start if length is None else length))
