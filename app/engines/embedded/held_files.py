"""Deleted files that a running backup may still need.

A backup copies the table first and the files after it. While it runs, a deletion moves files from `objects` to the
folder `held`. The backup finds there the files that its copy of the table names. The end of the backup removes them.

A lock file shows that a backup runs. The kernel releases the lock after a kill -9. Then the folder `held` remains, and
the next deletion or the next start removes it.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from app.errors import BackupRuns

_WAIT_SECONDS: Final = 5.0
"""How long a backup waits for the lock. A deletion has it for a moment while it removes what a killed backup left."""

_POLL_SECONDS: Final = 0.05


class HeldFiles:
    """The folder `held` in the folder `root` of the blobs, for any number of processes of one machine."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "held"
        self._objects = root / "objects"
        self._lock = root / "backup.lock"

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep the files that are deleted meanwhile. Raises `BackupRuns` if another backup keeps files."""
        with self._lock.open("ab") as lock:
            _acquire(lock.fileno())
            self._remove()
            self.folder.mkdir(exist_ok=True)
            try:
                yield
            finally:
                self._remove()

    def wanted(self) -> bool:
        """Return whether a backup runs that needs deleted files. Removes what a killed backup left."""
        if not self.folder.is_dir():
            return False
        with self._lock.open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            self._remove()
        return False

    def take(self, path: Path) -> None:
        """Move a file of `objects` here. Raises FileNotFoundError or NotADirectoryError if there is none.

        A kill -9 leaves the file in one of the two places. In both it is removed later: the caller repeats its
        deletion.
        """
        target = self.folder / path.relative_to(self._objects)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
        except FileNotFoundError:  # the backup has ended and removed the folder, or the file does not exist
            path.unlink()

    def _remove(self) -> None:
        ended = self.folder.with_name(f"held.{secrets.token_hex(8)}")
        with suppress(FileNotFoundError):
            self.folder.rename(ended)
        for folder in self.folder.parent.glob("held.*"):
            shutil.rmtree(folder, ignore_errors=True)


def _acquire(lock: int) -> None:
    until = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise BackupRuns from None
            time.sleep(_POLL_SECONDS)
        else:
            return


def sorted_files(root: Path) -> Iterator[tuple[str, str]]:
    """Yield the path below `root` and the path of each file in it, in the order of the parts of the paths.

    Files that are removed meanwhile may be missing. A missing `root` has no files.
    """
    folders: list[Iterator[os.DirEntry[str]]] = [_entries(root)]
    skipped = len(str(root)) + 1
    while folders:
        entry = next(folders[-1], None)
        if entry is None:
            folders.pop()
        elif entry.is_dir(follow_symlinks=False):
            folders.append(_entries(entry.path))
        else:
            yield entry.path[skipped:], entry.path


def _entries(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return iter(sorted(entries, key=lambda entry: entry.name))
    except (FileNotFoundError, NotADirectoryError):
        return iter(())
