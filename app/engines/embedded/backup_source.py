"""What a backup copies of a data folder while processes use it: the table of one moment, and the objects that it names.

Use it in this order:

    with source.hold():                          # deletions keep their files from now on
        source.copy_tables(index, small, shown)  # the table and the small objects of one moment
        source.files()                           # the files that exist
        source.held_files()                      # the files that were deleted since `hold`

A file is written before the row that names it, and deleted after that row. So each row of the copied table has its file
among those that `files` and `held_files` yield. They also yield files that are newer than the copied table.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final

from app.engines.embedded.blobs import SMALL
from app.engines.embedded.connections import connect
from app.engines.embedded.held_files import HeldFiles, sorted_files
from app.errors import StorageUnavailable

_PAGES: Final = 2048
"""Pages that are copied between two reports of the progress: 8 MiB."""


class FolderSource:
    """The data folder whose table is in the file `index` and whose files are in `root`."""

    def __init__(self, index: Path, root: Path) -> None:
        self._index = index
        self._small = root / SMALL
        self._objects = root / "objects"
        self._held = HeldFiles(root)

    def hold(self) -> AbstractContextManager[None]:
        """Keep the files that are deleted meanwhile. Raises `BackupRuns` if another backup keeps files.

        After a kill -9 the next deletion removes the files that were kept.
        """
        return self._held.hold()

    def files(self) -> Iterator[tuple[str, str]]:
        """Yield the path below `objects` and the path of each file, in the order of the parts of the paths."""
        return sorted_files(self._objects)

    def held_files(self) -> Iterator[tuple[str, str]]:
        """Yield the files that were deleted since `hold`, as `files` does."""
        return sorted_files(self._held.folder)

    def copy_tables(self, index: Path, small: Path, shown: Callable[[int, int], None]) -> None:
        """Copy the table and the small objects of this moment into the new files `index` and `small`. Check the copies.

        Writers go on meanwhile. `shown` gets the pages that are copied, and all pages. The caller syncs the files.
        A data folder of an earlier release has no small objects. Then there is no file `small`.
        Raises `StorageUnavailable` if a file cannot be read or is damaged, or if a copy cannot be written.
        """
        with _translated(), ExitStack() as opened:
            # No small object is removed between the two moments. So the copy has those that the table names.
            with self._small.with_name(f"{self._small.name}.lock").open("ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                sources = [(_frozen(self._index, opened), index)]
                if self._small.exists():
                    sources.append((_frozen(self._small, opened), small))
            for source, target in sources:
                _copy(source, target, shown)


def _frozen(path: Path, opened: ExitStack) -> sqlite3.Connection:
    """Return a connection whose reads see the file as it is now, until `opened` closes it."""
    connection = opened.enter_context(closing(connect(path)))
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
    return connection


def _copy(source: sqlite3.Connection, target: Path, shown: Callable[[int, int], None]) -> None:
    with closing(sqlite3.connect(target)) as copy:
        copy.execute("PRAGMA synchronous = OFF")
        source.backup(copy, pages=_PAGES, progress=lambda _, left, all_: shown(all_ - left, all_))
        faults = copy.execute("PRAGMA quick_check(1)").fetchall()
        if faults != [("ok",)]:
            raise sqlite3.DatabaseError(f"A table is damaged: {faults[0][0]}")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StorageUnavailable from error
