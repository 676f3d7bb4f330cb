"""Where instances are written: a tree of folders, or a zip archive. All names are made of UIDs."""

from __future__ import annotations

import os
import secrets
import shutil
import zipfile
from contextlib import suppress
from pathlib import Path
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import IO, Final, Protocol

from app.client.errors import ClientError
from app.client.fetch.download import Downloader
from app.client.identifiers import Identifier

_MEMORY_BYTES: Final = 8 << 20
_COPY_BYTES: Final = 1 << 20


class TargetFailed(ClientError):
    """The folder or the archive cannot be written, or the archive exists."""


class Target(Protocol):
    """Where instances are written. The block of a target ends with `complete` if nothing is raised in it."""

    def fetch(self, downloader: Downloader, instance: Identifier) -> tuple[int, IO[bytes] | None] | None:
        """Retrieve an instance in any thread. Return its size, and its bytes if `keep` needs them.

        None: the instance is there already.
        """

    def keep(self, instance: Identifier, content: IO[bytes]) -> None:
        """Write what `fetch` returned. One thread calls it."""

    def complete(self) -> None:
        """Finish the target: nothing follows."""

    def __enter__(self) -> Target: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def name_of(instance: Identifier) -> str:
    """Return the path of an instance in the target: `STUDY/SERIES/INSTANCE.dcm`."""
    return f"{instance}.dcm"


class FolderTarget:
    """A tree of folders `STUDY/SERIES` in `root`.

    A file has its name only when it is whole. A kill -9 leaves a file `.INSTANCE.….part`, which nothing reads.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def fetch(self, downloader: Downloader, instance: Identifier) -> tuple[int, IO[bytes] | None] | None:
        """See `Target`. A file that is there counts if it has the size of the stored one, or if that is not known."""
        path = self._root / name_of(instance)
        try:
            if path.is_file() and downloader.stored_size(instance) in (None, path.stat().st_size):
                return None
            path.parent.mkdir(parents=True, exist_ok=True)
            part = _part_of(path)
            try:
                with part.open("xb") as target:
                    size = downloader.download(instance, target)
                    target.flush()
                    os.fsync(target.fileno())
                part.replace(path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise _failed(self._root, error) from error
        return size, None

    def keep(self, instance: Identifier, content: IO[bytes]) -> None:
        """`fetch` has written everything."""

    def complete(self) -> None:
        """Every file is complete already."""

    def __enter__(self) -> FolderTarget:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class ZipTarget:
    """A zip archive at `path`, without compression. It has its name only when it is whole.

    An interrupted run leaves nothing. A kill -9 leaves a file `.NAME.….part`. Raises `TargetFailed`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        if path.exists():
            raise TargetFailed(f"{path} exists. Remove it, or name another file with --zip.")
        try:
            self._part = _part_of(path)
            self._file = self._part.open("xb")
        except OSError as error:
            raise _failed(path, error) from error
        self._archive = zipfile.ZipFile(self._file, "w", zipfile.ZIP_STORED, allowZip64=True)

    def fetch(self, downloader: Downloader, instance: Identifier) -> tuple[int, IO[bytes] | None] | None:
        """See `Target`. Small instances are in memory, others in a temporary file without a name."""
        content: IO[bytes] = SpooledTemporaryFile(_MEMORY_BYTES)  # noqa: SIM115  (`keep` closes it)
        try:
            return downloader.download(instance, content), content
        except OSError as error:
            content.close()
            raise _failed(self._path, error) from error
        except BaseException:
            content.close()
            raise

    def keep(self, instance: Identifier, content: IO[bytes]) -> None:
        """Add an instance to the archive."""
        member = zipfile.ZipInfo(name_of(instance))
        member.external_attr = 0o644 << 16
        size = content.seek(0, os.SEEK_END)
        content.seek(0)
        try:
            with content, self._archive.open(member, "w", force_zip64=size >= zipfile.ZIP64_LIMIT) as target:
                shutil.copyfileobj(content, target, _COPY_BYTES)
        except OSError as error:
            raise _failed(self._path, error) from error

    def complete(self) -> None:
        """Write the directory of the archive, and give the archive its name."""
        try:
            self._archive.close()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._part.replace(self._path)
        except OSError as error:
            raise _failed(self._path, error) from error

    def __enter__(self) -> ZipTarget:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError, ValueError):  # ValueError: a member is open, since its writing failed
            self._archive.close()
        self._file.close()
        self._part.unlink(missing_ok=True)


def _part_of(path: Path) -> Path:
    """Return the path of what becomes the file `path`. It is in the same folder, and no other process has it."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")


def _failed(path: Path, error: OSError) -> TargetFailed:
    return TargetFailed(f"{path} cannot be written: {error.strerror or error}.")
