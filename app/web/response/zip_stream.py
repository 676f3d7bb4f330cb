"""A ZIP file that is made while it is sent (APPNOTE.TXT 6.3.10 of PKWARE)."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import NamedTuple
from zipfile import ZIP_STORED, ZipFile, ZipInfo


class ZipEntry(NamedTuple):
    """A file within the ZIP file: its path, its size in bytes, and its bytes."""

    path: str
    size: int
    chunks: Iterable[bytes]


class _Output:
    """Takes what `ZipFile` writes, until it is sent. It has no `tell` and no `seek`, so that nothing is written twice.

    Then the checksum of each entry comes after its bytes (APPNOTE §4.3.9).
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing: the caller takes the bytes."""

    def take(self) -> bytes:
        """Return the bytes since the last call."""
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data


def zip_chunks(entries: Iterable[ZipEntry]) -> Generator[bytes, None, None]:
    """Yield the bytes of a ZIP file. The entries are stored without compression, with ZIP64 where it is needed.

    One chunk of one entry is in memory, and the directory: some hundred bytes for each entry.
    """
    output = _Output()
    with ZipFile(output, "w", ZIP_STORED) as archive:  # type: ignore[call-overload]  # an output that only writes is allowed
        for entry in entries:
            described = ZipInfo(entry.path)
            described.file_size = entry.size  # it decides whether the entry has the fields of ZIP64
            with archive.open(described, "w") as file:
                for chunk in entry.chunks:
                    file.write(chunk)
                    yield output.take()
    yield output.take()
