"""Copies of files that survive a power loss, with the digest of their bytes."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path
from typing import Final, NamedTuple

_CHUNK: Final = 1024 * 1024


class Contents(NamedTuple):
    """The size of a file in bytes, and the SHA-256 digest of its bytes in hex digits."""

    size: int
    digest: str


def copy(source: Path, target: Path, incoming: Path) -> Contents:
    """Copy a file and return what was copied. The parent of `target` is created if it is missing.

    The copy is written to the folder `incoming`, synced, and renamed. So `target` is complete when it exists. A kill -9
    leaves at most a file in `incoming`. The caller syncs the folder of `target`.
    """
    written = incoming / secrets.token_hex(16)
    digest = hashlib.sha256()
    size = 0
    try:
        with source.open("rb", buffering=0) as read, written.open("xb", buffering=0) as copied:
            while chunk := read.read(_CHUNK):
                digest.update(chunk)
                _write(copied.fileno(), chunk)
                size += len(chunk)
            os.fsync(copied.fileno())
        target.parent.mkdir(parents=True, exist_ok=True)
        written.rename(target)
    except BaseException:
        written.unlink(missing_ok=True)
        raise
    return Contents(size, digest.hexdigest())


def contents(path: Path) -> Contents:
    """Read a file and return its size and digest."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return Contents(stream.tell(), digest)


def sync_file(path: Path) -> None:
    """Make the bytes of a file durable."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def _write(descriptor: int, chunk: bytes) -> None:
    left = memoryview(chunk)
    while left:
        left = left[os.write(descriptor, left) :]
