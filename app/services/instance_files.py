"""The stored files of instances, opened by their index rows."""

from __future__ import annotations

import io
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from app.dicom.encoding.elements import Buffer
from app.errors import BlobMissing, StorageUnavailable
from app.services.store.spool import MEMORY_BYTES, Spooled, receive
from app.storage.records.losses import FILE, LostObjects
from app.storage.records.rows import InstanceRow
from app.storage.table.ports import BlobStore

_CHUNK: Final = 1024 * 1024

Ranges = list[tuple[int, int]]
"""(offset, length) of bytes in a file."""


class InstanceFiles:
    """Opens the files of instances. `spool` is the folder for copies of files that are not on this machine."""

    def __init__(self, blobs: BlobStore, lost: LostObjects, *, spool: Path | None = None) -> None:
        self._blobs = blobs
        self._lost = lost
        self._spool = spool

    def open(self, row: InstanceRow, start: int = 0, length: int | None = None) -> BinaryIO:
        """Return a stream over the stored file, preamble included; the caller closes it.

        Raises `BlobMissing` if the version was removed meanwhile, `LostData` if the index still names it.
        """
        try:
            return self._blobs.open(row.blob, start, length)
        except BlobMissing:
            self._lost.current_row(row, FILE)
            raise

    def chunks(self, row: InstanceRow, start: int, length: int) -> Iterator[bytes]:
        """Yield `length` bytes of the file from the byte `start`, by one ranged read. Raises as `open`.

        Raises `StorageUnavailable` if the file ends before.
        """
        with self.open(row, start, length) as stream:
            while length:
                chunk = stream.read(min(length, _CHUNK))
                if not chunk:
                    raise StorageUnavailable
                length -= len(chunk)
                yield chunk

    def joined_chunks(self, row: InstanceRow, ranges: Ranges, start: int, length: int) -> Iterator[bytes]:
        """Yield `length` bytes from byte `start` of the joined ranges of the file. Raises as `chunks`."""
        for offset, size in within(ranges, start, length):
            yield from self.chunks(row, offset, size)

    def copy(self, row: InstanceRow, limit: int) -> Spooled:
        """Return a copy of the file, in memory or in the spool folder. Raises as `open`, and `TooLarge`."""
        with self.open(row) as stream:
            return receive(stream, limit, self._spool)

    @contextmanager
    def mapped(self, row: InstanceRow) -> Iterator[Buffer]:
        """Yield the bytes of the file: a large local file is mapped, another file is copied. Raises as `open`."""
        with self.open(row) as stream:
            if row.size > MEMORY_BYTES and isinstance(stream, io.FileIO):
                with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                    yield mapped
                return
            with receive(stream, row.size, self._spool) as spooled:
                yield spooled.buffer


def within(ranges: Ranges, start: int, length: int) -> Iterator[tuple[int, int]]:
    """Yield the byte ranges of a file that hold `length` bytes from byte `start` of the joined ranges."""
    for offset, size in ranges:
        skipped = min(start, size)
        taken = min(size - skipped, length)
        start, length = start - skipped, length - taken
        if taken:
            yield offset + skipped, taken
