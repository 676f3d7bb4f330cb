"""The places that audit lines are written to: standard error, or a file (conformance §13.5)."""

from __future__ import annotations

import fcntl
import os
import select
import stat
import sys
import weakref
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from app.errors import AuditUnavailable

_MODE: Final = 0o640
_PATIENCE_MILLISECONDS: Final = 5000


def write_to_standard_error(line: bytes) -> None:
    """Write a line. Raises `AuditUnavailable`."""
    try:
        _write_whole(sys.__stderr__.fileno(), line)  # type: ignore[union-attr]  # bootstrap refuses a closed one
    except (OSError, ValueError) as error:
        raise AuditUnavailable from error


class AuditFile:
    """A file that several processes append lines to.

    A line is one write at the end of the file, so lines of several processes never mix on a local file system. A file
    that has `limit` bytes is renamed: its name gets the time. Nothing is deleted. A process that has the renamed file
    open writes its next line into the new one. `limit` 0 never renames. A program that rotates logs may rename the file
    instead.

    A kill -9 leaves whole lines. Lines are not synced to the disk: a loss of power may lose those of the last seconds,
    and cut the last one. The next line that is written then begins on a line of its own.
    """

    def __init__(self, path: Path, limit: int) -> None:
        """Open the file, creating it if there is none. Raises `AuditUnavailable`."""
        self._path = path
        self._limit = limit
        self._is_cut = False
        try:
            self._open()
        except OSError as error:
            raise AuditUnavailable from error

    def append(self, line: bytes) -> None:
        """Write a line at the end. Raises `AuditUnavailable`."""
        try:
            self._find()
            cut, self._is_cut = self._is_cut, True
            _write_whole(self._descriptor, b"\n" + line if cut else line)
            self._is_cut = False
        except OSError as error:
            raise AuditUnavailable from error

    def _find(self) -> None:
        """Let the descriptor be that of the file at the path, after renaming a full one."""
        found = _status(self._path)
        if found and _identity(found) == self._identity:
            if not self._limit or found.st_size < self._limit or not stat.S_ISREG(found.st_mode):
                return
            self._rename()
        close = self._close
        self._open()
        close()

    def _rename(self) -> None:
        """Rename the full file, unless another process has. The lock belongs to the file that is renamed."""
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            found = _status(self._path)
            if found and _identity(found) == self._identity:
                moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
                self._path.rename(self._path.with_name(f"{self._path.name}.{moment}"))
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _open(self) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)
        self._descriptor = descriptor
        self._close = weakref.finalize(self, os.close, descriptor)
        self._identity = _identity(os.fstat(descriptor))
        self._is_cut = not _ends_with_a_line(self._path)


def _write_whole(descriptor: int, line: bytes) -> None:
    """Write all bytes. Standard error does not block if another program made it so: then wait for its reader."""
    while line:
        try:
            line = line[os.write(descriptor, line) :]
        except BlockingIOError:
            poll = select.poll()
            poll.register(descriptor, select.POLLOUT)
            if not poll.poll(_PATIENCE_MILLISECONDS):
                raise


def _status(path: Path) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116 - it is called for each line, and Path.stat takes twice as long
    except FileNotFoundError:
        return None


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _ends_with_a_line(path: Path) -> bool:
    """Return whether the last byte ends a line. An empty file does; one that cannot be read does perhaps not."""
    if not path.is_file():
        return True
    with suppress(OSError), path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        return not size or os.pread(file.fileno(), 1, size - 1) == b"\n"
    return False
