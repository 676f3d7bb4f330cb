"""Exports into the export folder of the operator, and never outside it.

Each folder of a path is opened relative to its parent, and symbolic links are not followed. So neither a prefix nor a
link that somebody places in the export folder, even during an export, leads to another place.
"""

from __future__ import annotations

import errno
import io
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from app.errors import ConfigurationError, DestinationRefused, DestinationUnavailable, StorageUnavailable
from app.storage.operations.destinations import FileTarget
from app.storage.table.ports import BlobStore

_INCOMING: Final = ".incoming"
_STALE_SECONDS: Final = 24 * 60 * 60
_CHUNK: Final = 1024 * 1024
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW

_REFUSED: Final = {
    errno.EACCES: "Not authorised to write to the export folder.",
    errno.EPERM: "Not authorised to write to the export folder.",
    errno.EROFS: "Not authorised to write to the export folder.",
    errno.ENOENT: "The export folder was not found.",
    errno.ENOTDIR: "A part of the prefix is not a folder.",
    errno.ELOOP: "A part of the prefix is not a folder.",
    errno.EISDIR: "Writing to the export folder failed.",
    errno.ENAMETOOLONG: "A part of the prefix is too long.",
    errno.ENOSPC: "The export folder is full.",
    errno.EDQUOT: "The export folder is full.",
}
"""Errors that another attempt would meet again: the text of the refusal, by error number."""


class FileExports:
    """Opens destinations in the folder `root`. The folder is created if it is missing.

    A file is written to `root/.incoming`, renamed to its place, and synced there with its folder. A kill -9 leaves at
    most a file in `.incoming`. The next start removes such files when they are a day old.

    Raises `ConfigurationError` when the folder cannot be used.
    """

    def __init__(self, root: Path, blobs: BlobStore) -> None:
        self._root = root.resolve()
        self._blobs = blobs
        try:
            (self._root / _INCOMING).mkdir(parents=True, exist_ok=True)
            _remove_stale(self._root / _INCOMING)
        except OSError as error:
            raise ConfigurationError(f"The export folder {root} cannot be used: {error.strerror}.") from error

    def open(self, target: FileTarget, operation: str) -> FileDestination:
        """Return the destination that the target names."""
        return FileDestination(self._root, target.prefix, self._blobs)


class FileDestination:
    """A `Destination` in the folder `root`. Its URLs are paths relative to that folder."""

    def __init__(self, root: Path, prefix: str, blobs: BlobStore) -> None:
        self._root = root
        self._prefix = prefix
        self._blobs = blobs

    def url(self, key: str) -> str:
        """Return the path of the file within the export folder. The path of the folder itself is not for clients."""
        return self._prefix + key

    def copy(self, blob: str, size: int, key: str, content_type: str) -> None:
        """Write the stored blob."""
        with self._blobs.open(blob) as body:
            self.write(key, body, content_type)

    def write(self, key: str, body: BinaryIO, content_type: str) -> None:
        """Write the file, a mebibyte at a time. It is on disk under its name when this returns."""
        *folders, name = (self._prefix + key).split("/")
        temporary = secrets.token_hex(16)
        with _translated(), _open_root(self._root) as root, _open_folder(root, [_INCOMING]) as incoming:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=incoming)
            try:
                with io.FileIO(descriptor, "wb") as file:
                    _copy(body, file)
                    with _open_folder(root, folders) as folder:
                        os.replace(temporary, name, src_dir_fd=incoming, dst_dir_fd=folder)
                        os.fsync(descriptor)
                        os.fsync(folder)
            except BaseException:
                with suppress(OSError):
                    os.unlink(temporary, dir_fd=incoming)
                raise


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if message := _REFUSED.get(error.errno or 0):
            raise DestinationRefused(message) from error
        raise DestinationUnavailable("Writing to the export folder failed.") from error


@contextmanager
def _open_root(root: Path) -> Iterator[int]:
    descriptor = os.open(root, _FOLDER)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _open_folder(descriptor: int, folders: list[str]) -> Iterator[int]:
    """Open a folder below the open one. Folders of the path that are missing are created."""
    current = os.dup(descriptor)
    try:
        for folder in folders:
            inner = _open_or_create(current, folder)
            os.close(current)
            current = inner
        yield current
    finally:
        os.close(current)


def _open_or_create(parent: int, folder: str) -> int:
    try:
        return os.open(folder, _FOLDER, dir_fd=parent)
    except FileNotFoundError:
        with suppress(FileExistsError):  # another thread has created it
            os.mkdir(folder, dir_fd=parent)
            os.fsync(parent)
        return os.open(folder, _FOLDER, dir_fd=parent)


def _copy(body: BinaryIO, file: io.FileIO) -> None:
    while chunk := _read_chunk(body):
        left = memoryview(chunk)
        while left:
            left = left[file.write(left) :]


def _read_chunk(body: BinaryIO) -> bytes:
    try:
        return body.read(_CHUNK)
    except OSError as error:  # the archive fails here, not the export folder
        raise StorageUnavailable from error


def _remove_stale(directory: Path) -> None:
    oldest = time.time() - _STALE_SECONDS
    for path in directory.iterdir():
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < oldest:
                path.unlink()
