"""Objects in files of their own, in a folder: what `blobs.py` does not keep in one file with other small objects.

The blob `{a}/{b}/{c}/{d}.dcm` is the file `objects/{a}/{b}/{c}~{d}.dcm`. The last two segments form one file name, so
the instances of a series share one directory. A directory for each instance would need a second mkdir and fsync per
put, which takes 1.5 times as long. Directories chosen by a hash are slower too, and an operator could not read them.
"""

from __future__ import annotations

import errno
import heapq
import io
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, cast

from app.direct_writes import BodyWriter
from app.durable_folders import make_durably, sync_folder
from app.engines.embedded.directories import file_sync_includes_names
from app.engines.embedded.held_files import HeldFiles
from app.errors import BlobMissing, StorageUnavailable
from app.storage.table.ports import StoredBlob

_SEPARATOR: Final = "~"
_NAME_BYTES: Final = 255
_CHUNK: Final = 1024 * 1024
_STALE_SECONDS: Final = 24 * 60 * 60
_SYNCED_DIRECTORIES: Final = 10_000
_ATTEMPTS: Final = 100
DIRECT_BYTES: Final = _CHUNK
"""Bodies from this size on are written past the page cache. Smaller ones gain nothing: the copy into the buffer and
one more write for the last bytes take as much of the processor as the cache."""

RESERVED_BYTES: Final = 64 * 1024 * 1024
"""Free bytes of the disk that bodies may not use. They remain for the index, so that instances can be deleted."""


class FileBlobs:
    """A `BlobStore` in the folder `root`, for any number of threads and processes of one machine.

    A body is written to `root/incoming`, renamed to its place, and synced there. A file without a name in the same file
    system is not copied: it gets its name there. Data and name become durable with one commit of the file system's
    journal. A sync before the rename would need two. Readers never see a part of a file. A power loss before `put`
    returns may leave a part of one under its key, which the index does not name yet. With `direct`, large bodies are
    written past the page cache (`app/direct_writes.py`). The sync, and what a crash leaves, are the same.

    A kill -9 leaves at most a file in `incoming`. The next start removes such files when they are a day old. A
    disk that is almost full takes no more bodies, so that instances can still be deleted.
    """

    def __init__(self, root: Path, *, direct: bool = True) -> None:
        self._direct = direct
        self._incoming = root / "incoming"
        self._objects = root / "objects"
        self._held = HeldFiles(root)
        self._synced: set[Path] = set()
        with _translated():
            make_durably(self._incoming)
            make_durably(self._objects)
            self._held.wanted()  # removes what a killed backup left
            _remove_stale(self._incoming)
            self._device = self._objects.stat().st_dev
            self._syncs_folders = not file_sync_includes_names(self._objects)

    @property
    def incoming(self) -> Path:
        """The folder for bodies while they are received. A file without a name in it is stored without a copy."""
        return self._incoming

    def put(self, key: str, body: BinaryIO) -> int:
        """Store the rest of `body` and return its size in bytes. The file and its directories are on disk then."""
        target = self.path(key)
        if self._adopt(body, target):
            return target.stat().st_size
        written = incoming = self._incoming / secrets.token_hex(16)
        try:
            with _translated():
                file = incoming.open("xb", buffering=0)
            with file:
                size = _copy(body, file, self._direct)
                with _translated():
                    self._place(partial(incoming.rename, target), target)
                    written = target
                    os.fsync(file.fileno())
                    self._sync(target.parent)
        except BaseException:
            with suppress(OSError):
                written.unlink(missing_ok=True)
            raise
        return size

    def open(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        """Return an unbuffered file at `start`. Its reads end after `length` bytes; reads through `fileno` do not."""
        if start < 0 or (length is not None and length < 0):
            raise ValueError(f"A range cannot start at {start} with length {length}.")
        path = self.path(key)
        with _translated():
            try:
                file = io.FileIO(path) if length is None else _FileRange(path, start + length)
            except (FileNotFoundError, NotADirectoryError) as error:
                raise BlobMissing(key) from error
            file.seek(start)
        return cast(BinaryIO, file)  # FileIO has every method of BinaryIO

    def delete(self, keys: Iterable[str]) -> None:
        """Remove the files durably, and the directories that become empty. After a kill -9 some files are left.

        While a backup runs, the files are moved to where the backup finds them.
        """
        touched: set[Path] = set()
        with _translated():
            for key in keys:
                path = self.path(key)
                with suppress(FileNotFoundError, NotADirectoryError):
                    self._remove(path)
                    touched.add(path.parent)
            for directory in touched:
                self._prune(directory)

    def listed(self, prefix: str = "", after: str = "") -> Iterator[StoredBlob]:
        """Yield the objects in the order of their keys. The names of one folder at a time are in memory."""
        for key, path in _walk(self._objects, "", prefix, after):
            with _translated(), suppress(FileNotFoundError):
                found = path.stat()
                yield StoredBlob(key, found.st_size, found.st_mtime)

    def _remove(self, path: Path) -> None:
        if self._held.wanted():
            self._held.take(path)
        else:
            path.unlink()

    def path(self, key: str) -> Path:
        """Return the path of the file of a key, which need not exist. Raises `ValueError` for a key that is invalid."""
        segments = key.split("/")
        folders, name = segments[:-2], _SEPARATOR.join(["", *segments][-2:])
        if not set(segments).isdisjoint(("", ".", "..")) or not set(key).isdisjoint(("\\", "\0", _SEPARATOR)):
            raise ValueError(f"{key!r} is not a blob key: empty or dotted segments, '\\', '~' and NUL are not allowed.")
        if any(len(part.encode()) > _NAME_BYTES for part in (*folders, name)):
            raise ValueError(f"{key!r} is not a blob key: a segment is longer than a file name may be.")
        return Path(f"{self._objects}/{'/'.join((*folders, name))}")

    def _adopt(self, body: BinaryIO, target: Path) -> bool:
        """Give a file without a name the name `target`, durably. Return whether that was possible.

        The caller must not change the file afterwards. A kill -9 leaves the whole file or nothing.
        """
        if not isinstance(body, io.FileIO):
            return False
        found = os.fstat(body.fileno())
        if found.st_nlink or found.st_dev != self._device or body.tell() or target.exists():
            return False
        with _translated():
            _require_room(body)
        # With a folder's descriptor Python follows the link of /proc. The descriptor itself is not used.
        name = partial(os.link, f"/proc/self/fd/{body.fileno()}", target, src_dir_fd=body.fileno())
        try:
            self._place(name, target)
        except OSError:  # it was created in a way that allows no name, or /proc is missing
            return False
        try:
            with _translated():
                os.fsync(body.fileno())
                self._sync(target.parent)
        except BaseException:
            with suppress(OSError):
                target.unlink(missing_ok=True)
            raise
        return True

    def _place(self, place: Callable[[], object], target: Path) -> None:
        """Call `place`, which gives a file the name `target`. Create the directory if it is missing."""
        for _ in range(_ATTEMPTS):  # another process may remove the directory while it is empty
            with suppress(FileNotFoundError):
                place()
                return
            self._synced.discard(target.parent)  # before the directory is created again: the new one is not synced
            with suppress(FileNotFoundError, FileExistsError):  # mkdir raises both if a deletion removes what it made
                target.parent.mkdir(parents=True, exist_ok=True)
        raise StorageUnavailable

    def _sync(self, directory: Path) -> None:
        """Sync the directory. Sync its parents too, once per process: another process may have created them.

        Nothing is to do if the sync of the file was enough.
        """
        if not self._syncs_folders:
            return
        sync_folder(directory)
        if directory in self._synced:
            return
        for parent in directory.parents:
            if not parent.is_relative_to(self._objects):
                break
            sync_folder(parent)
        if len(self._synced) >= _SYNCED_DIRECTORIES:
            self._synced.clear()
        self._synced.add(directory)

    def _prune(self, directory: Path) -> None:
        """Remove the directory and those of its parents that are empty. Sync the first that remains.

        This is safe beside a `put`: only an empty directory can be removed, and `put` creates it again.
        """
        self._synced.discard(directory)
        while directory != self._objects:
            try:
                directory.rmdir()
            except FileNotFoundError:
                pass  # another process has removed it
            except OSError:
                break
            directory = directory.parent
        with suppress(FileNotFoundError):
            sync_folder(directory)


def _walk(folder: Path, above: str, prefix: str, after: str) -> Iterator[tuple[str, Path]]:
    """Yield the key and the path of each file below a folder, in the order of the keys. `above` is the folder's key.

    A file `c~d` has the key `c/d`, and a folder `c` may have keys between those of such files.
    """
    files: dict[str, list[tuple[str, Path]]] = {}
    folders: dict[str, Path] = {}
    with _translated(), suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders[f"{above}{entry.name}/"] = Path(entry.path)
                continue
            first, _, last = entry.name.partition(_SEPARATOR)
            key = f"{above}{first}/{last}" if first else f"{above}{last}"
            if key.startswith(prefix) and key.encode() > after.encode():
                files.setdefault(f"{above}{first}/" if first else key, []).append((key, Path(entry.path)))
    for name in sorted({*files, *folders}, key=str.encode):
        inside: Iterator[tuple[str, Path]] = iter(())
        if name in folders and _may_hold(name, prefix, after):
            inside = _walk(folders[name], name, prefix, after)
        yield from heapq.merge(sorted(files.get(name, ()), key=_key_bytes), inside, key=_key_bytes)


def _may_hold(folder: str, prefix: str, after: str) -> bool:
    """Return whether a folder may hold keys with a prefix that are greater than `after`."""
    is_named = folder.startswith(prefix) or prefix.startswith(folder)
    return is_named and (after.startswith(folder) or folder.encode() > after.encode())


def _key_bytes(found: tuple[str, Path]) -> bytes:
    return found[0].encode()


class _FileRange(io.FileIO):
    """A file whose reads end at the offset `end`."""

    def __init__(self, path: Path, end: int) -> None:
        super().__init__(path)
        self._end = end

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(0, self._end - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left))

    def readall(self) -> bytes:
        return b"".join(iter(lambda: self.read(_CHUNK), b""))

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        view = memoryview(buffer).cast("B")
        return super().readinto(view[: max(0, self._end - self.tell())])


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageUnavailable from error


def _copy(body: BinaryIO, file: io.FileIO, direct: bool) -> int:
    size = 0
    chunk = body.read(_CHUNK)  # not translated: the errors of `body` are for the caller
    with BodyWriter(file.fileno(), direct=direct and len(chunk) >= DIRECT_BYTES) as writer:
        while chunk:
            with _translated():
                _require_room(file)
                writer.write(chunk)
            size += len(chunk)
            chunk = body.read(_CHUNK)
        with _translated():
            writer.finish()
    return size


def _require_room(file: io.FileIO) -> None:
    disk = os.fstatvfs(file.fileno())
    if disk.f_bavail * disk.f_frsize < RESERVED_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _remove_stale(directory: Path) -> None:
    oldest = time.time() - _STALE_SECONDS
    for path in directory.iterdir():
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < oldest:
                path.unlink()
