"""The `BlobStore` port of the embedded engine: small objects in one SQLite file, every other object in its own file."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, cast

from app.engines.embedded.files import FileBlobs
from app.engines.embedded.small_blobs import SmallBlobs
from app.errors import BlobMissing
from app.storage.table.ports import StoredBlob

SMALL: Final = "small.sqlite"
"""The file of the small objects, in the folder of the blobs."""
_DELETED_TOGETHER: Final = 1000


class EmbeddedBlobs:
    """A `BlobStore` in the folder `root`. Objects of at most `small` bytes are in one SQLite file, none if it is 0.

    A read looks for a file first. So archives of earlier releases, whose objects are files, are read as they are, and
    `small` may change. A table that names objects calls `sync` before a durable write.
    """

    def __init__(self, root: Path, small: int, *, direct: bool = True) -> None:
        self._files = FileBlobs(root, direct=direct)
        self._small = SmallBlobs(root / SMALL)
        self._largest_small = small

    def put(self, key: str, body: BinaryIO) -> int:
        """Store the rest of `body` and return its size in bytes. A small object is on disk after the next `sync`."""
        path = self._files.path(key)
        start = body.tell() if body.seekable() else None
        head = _head(body, self._largest_small)
        if self._largest_small and len(head) <= self._largest_small:
            self._small.put(key, head)
            if path.exists():  # the key had a large object, which reads would find first
                self._files.delete([key])
            return len(head)
        if start is None:
            return self._files.put(key, cast(BinaryIO, _Rest(head, body)))
        body.seek(start)
        return self._files.put(key, body)

    def open(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        """Return a stream over the object: a file as `FileBlobs.open` returns it, a small object in memory."""
        try:
            return self._files.open(key, start, length)
        except BlobMissing:
            body = self._small.get(key)
            if body is None:
                raise
        return io.BytesIO(body[start:] if length is None else body[start : start + length])

    def delete(self, keys: Iterable[str]) -> None:
        """Remove the objects: files durably, small objects with the next `sync`. After a kill -9 some are left."""
        remaining = iter(keys)
        while chunk := list(islice(remaining, _DELETED_TOGETHER)):
            self._files.delete(chunk)
            self._small.delete(chunk)

    def listed(self, prefix: str = "", after: str = "") -> Iterator[StoredBlob]:
        """Yield the objects in the order of their keys."""
        last = None
        lists = self._files.listed(prefix, after), self._small.listed(prefix, after)
        for found in merge(*lists, key=lambda each: each.key.encode()):
            if found.key != last:
                yield found
            last = found.key

    @property
    def incoming(self) -> Path:
        """The folder for bodies while they are received, as `FileBlobs.incoming`."""
        return self._files.incoming

    def sync(self) -> None:
        """Bring the small objects that were put before to the disk."""
        self._small.sync()

    def path(self, key: str) -> Path:
        """Return the path of the file of a key, if it is not a small object. Raises `ValueError` for an invalid key."""
        return self._files.path(key)


class _Rest:
    """A body whose first bytes were read already."""

    def __init__(self, head: bytes, body: BinaryIO) -> None:
        self._head = head
        self._body = body

    def read(self, size: int, /) -> bytes:
        head, self._head = self._head, b""
        return head or self._body.read(size)


def _head(body: BinaryIO, size: int) -> bytes:
    """Return the body if it has at most `size` bytes, otherwise at least one byte more."""
    chunks: list[bytes] = []
    left = size + 1
    while left > 0 and (chunk := body.read(left)):
        chunks.append(chunk)
        left -= len(chunk)
    return b"".join(chunks)
