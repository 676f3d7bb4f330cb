"""The bytes of a file to store: on disk, in memory, or in a temporary file without a name."""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, NamedTuple

from pydicom import dcmread
from pydicom.dataset import Dataset

from app.client.errors import ClientError
from app.dicom.encoding.headerless import MAGIC, NEEDED, PREAMBLE, missing_start
from app.dicom.encoding.uids import is_uid

PIECE_BYTES: Final = 1 << 20
HEAD_BYTES: Final = 4096
"""The bytes at the start of a file by which it is known to be DICOM."""

_DIRECTORY: Final = re.compile(rb"\x02\0\x02\0UI..1\.2\.840\.10008\.1\.3\.10(?![.0-9])", re.DOTALL)
"""The MediaStorageSOPClassUID (0002,0002) of a DICOMDIR."""
_UIDS: Final = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


class SourceChanged(ClientError):
    """A file changed its size while it was read, or it cannot be read any more."""


class Uids(NamedTuple):
    """The UIDs of an instance."""

    study: str
    series: str
    instance: str


class Content(ABC):
    """Bytes that can be read several times, by one thread at a time. `size` is their number."""

    size: int

    @abstractmethod
    def open(self) -> AbstractContextManager[IO[bytes]]:
        """Return a block with a file object at the first byte."""

    def pieces(self) -> Iterator[bytes]:
        """Yield exactly `size` bytes. Raises `SourceChanged` if there are fewer or more."""
        left = self.size
        try:
            with self.open() as source:
                while piece := source.read(PIECE_BYTES):
                    left -= len(piece)
                    if left < 0:
                        break
                    yield piece
        except OSError as error:
            raise SourceChanged(f"The file cannot be read: {error.strerror or error}.") from error
        if left:
            raise SourceChanged("The file changed while it was read.")

    def head(self) -> bytes:
        """Return the first bytes, at most `HEAD_BYTES`."""
        with self.open() as source:
            return source.read(HEAD_BYTES)

    def digest(self) -> bytes:
        """Return the SHA-256 digest of the file as it is stored: with a preamble of zeros (conformance §3.9)."""
        made = hashlib.sha256(PREAMBLE)
        skipped = len(PREAMBLE)
        for piece in self.pieces():
            made.update(piece[skipped:])
            skipped = max(0, skipped - len(piece))
        return made.digest()

    def is_whole_file(self) -> bool:
        """Tell whether the file has the preamble and `DICM`. The server completes others (conformance §3.1)."""
        return self.head()[len(PREAMBLE) : NEEDED] == MAGIC

    def uids(self) -> Uids | None:
        """Return the UIDs of the instance, None if they cannot be read."""
        try:
            with self.open() as source:
                dataset: Dataset = dcmread(source, force=True, stop_before_pixels=True, specific_tags=list(_UIDS))
            values = [str(dataset.get(name) or "").rstrip(" \0") for name in _UIDS]
        except Exception:  # noqa: BLE001  (pydicom raises anything for damaged files; the server says what is wrong)
            return None
        return Uids(*values) if all(map(is_uid, values)) else None

    def close(self) -> None:  # noqa: B027  (most contents hold nothing open)
        """Free what the content holds."""


@dataclass(frozen=True)
class FileOnDisk(Content):
    """A file that is read when it is sent. `size` is its size when it was found."""

    path: Path
    size: int

    def open(self) -> IO[bytes]:
        return self.path.open("rb")


@dataclass(frozen=True)
class Spooled(Content):
    """A member of an archive, in memory or in a temporary file without a name."""

    file: IO[bytes]
    size: int

    def open(self) -> AbstractContextManager[IO[bytes]]:
        self.file.seek(0)
        return nullcontext(self.file)

    def close(self) -> None:
        self.file.close()


def is_instance(head: bytes) -> bool:
    """Tell whether `head` is the start of a DICOM file, also of one without its beginning (conformance §3.1).

    A DICOMDIR has the same form, but it is no instance.
    """
    if head[len(PREAMBLE) : NEEDED] == MAGIC:
        return not _DIRECTORY.search(head)
    return bool(missing_start(head))
