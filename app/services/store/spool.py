"""Received bodies: a small one is in memory, a large one is in a temporary file that is mapped."""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import tempfile
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import IO, BinaryIO, Final, Protocol

from app.dicom.encoding.headerless import MAGIC, NEEDED, PREAMBLE, missing_start
from app.dicom.encoding.part10 import is_native
from app.direct_writes import BodyWriter
from app.errors import StorageUnavailable, TooLarge
from app.services.digest import FileDigest

MEMORY_BYTES: Final = 1024 * 1024
"""Bodies up to this size stay in memory."""

_CHUNK: Final = 1024 * 1024
_HEAD: Final = 64 * 1024
"""Bytes at the start of a file without file meta information, in which its UIDs are looked for."""


class Readable(Protocol):
    """A body that can be read in pieces."""

    def read(self, size: int, /) -> bytes: ...


class Spooled:
    """One received body: a random-access `buffer` for the parser, `stream()` for the blob store.

    The 128-byte preamble of a DICOM file is set to zeros, because PS3.10 §7.1 lets it hold anything, even a program.
    A file without it gets one, and file meta information if that is missing too. Nothing else is changed. The temporary
    file has no name, so it ends with the process that made it.
    """

    def __init__(self, buffer: bytes | mmap.mmap, file: IO[bytes] | None, digest: str = "") -> None:
        self.buffer = buffer
        self.digest = digest
        """The digest of the buffer (`services/digest.py`), empty if it was not computed."""
        self._file = file

    @property
    def size(self) -> int:
        return len(self.buffer)

    @property
    def in_memory(self) -> bool:
        return self._file is None

    def stream(self) -> BinaryIO:
        """Return a stream over the whole body."""
        if self._file is None:
            return io.BytesIO(self.buffer)
        self._file.seek(0)
        return self._file  # type: ignore[return-value]  # a temporary file is a BinaryIO in all but name

    def close(self) -> None:
        if self._file is not None:
            with contextlib.suppress(BufferError):  # a value still refers to the map, which ends with the value
                self.buffer.close()  # type: ignore[union-attr]  # a file's buffer is its map
            self._file.close()

    def __enter__(self) -> Spooled:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def receive(
    body: Readable, limit: int, folder: Path | None, digest: FileDigest | None = None, *, direct: bool = False
) -> Spooled:
    """Read a body to its end. `folder` is for large bodies, None for the folder of the system.

    A new `digest` computes the digest of the body. `direct` keeps a large body out of the page cache: for a body that
    becomes an object as it is. An encapsulated or deflated body goes through the cache in any case.

    Raises `TooLarge` beyond `limit` bytes, `StorageUnavailable` if the folder is full or missing.
    """
    chunks: list[bytes] = []
    size = 0
    stream = _digested(_without_preamble(body), digest)
    for chunk in stream:
        size += len(chunk)
        if size > limit:
            raise TooLarge(limit)
        chunks.append(chunk)
        if size > MEMORY_BYTES:
            # The parser reads the headers of all fragments from the file. Other threads of the process would wait for
            # the disk meanwhile.
            past_cache = direct and is_native(chunks[0])
            spooled = _on_disk(chain(chunks, stream), limit, folder, past_cache)
            break
    else:
        spooled = Spooled(chunks[0] if len(chunks) == 1 else b"".join(chunks), None)
    if digest is not None:
        spooled.digest = digest.text()
    return spooled


def _digested(chunks: Iterator[bytes], digest: FileDigest | None) -> Iterator[bytes]:
    """Yield the same chunks. Their bytes are added to the digest while they are in the cache of the processor."""
    for chunk in chunks:
        if digest is not None:
            digest.add(chunk)
        yield chunk


def _on_disk(chunks: Iterable[bytes], limit: int, folder: Path | None, direct: bool) -> Spooled:
    size = 0
    with _storage_errors():
        file = _unnamed_file(folder)
    try:
        with BodyWriter(file.fileno(), direct=direct, overlap=True) as writer:
            for chunk in chunks:
                size += len(chunk)
                if size > limit:
                    raise TooLarge(limit)
                with _storage_errors():
                    writer.write(chunk)
            with _storage_errors():
                writer.finish()
        with _storage_errors():
            return Spooled(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ), file)
    except BaseException:
        file.close()
        raise


def _unnamed_file(folder: Path | None) -> IO[bytes] | io.FileIO:
    """Return a new file that has no name, so that it ends with its process. `Spooled.close` closes it.

    On Linux the blob store may give it a name, with the permissions of a usual file. `tempfile` prevents that.
    """
    if hasattr(os, "O_TMPFILE"):
        with contextlib.suppress(OSError):  # the file system has no such files
            return io.FileIO(os.open(folder or tempfile.gettempdir(), os.O_TMPFILE | os.O_RDWR, 0o666), "r+")
    return tempfile.TemporaryFile(dir=folder, buffering=0)


@contextlib.contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageUnavailable from error


def _without_preamble(body: Readable) -> Iterator[bytes]:
    """Yield the chunks of a body. If it is a DICOM file, its preamble is set to zeros, or added if there is none."""
    head = _read(body, b"", NEEDED)
    if head[len(PREAMBLE) : NEEDED] != MAGIC:
        head = _read(body, head, _HEAD)
        start = missing_start(head)
        if start:
            yield start
    elif any(head[: len(PREAMBLE)]):
        head = PREAMBLE + head[len(PREAMBLE) :]
    if head:
        yield head
    while chunk := body.read(_CHUNK):
        yield chunk


def _read(body: Readable, head: bytes, size: int) -> bytes:
    """Return `head` with more bytes of the body, at least `size` bytes if the body has as many."""
    while len(head) < size and (chunk := body.read(_CHUNK)):
        head = head + chunk if head else chunk
    return head
