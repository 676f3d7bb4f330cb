"""The files of instances in a backup folder: which of them it has, and copies of those that it lacks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from app.durable_folders import sync_folder
from app.services.recovery import durable_files
from app.services.recovery.backup_folder import OBJECTS, BackupFolder
from app.services.recovery.manifest import FileEntry, Lookup

SourceFile = tuple[str, str]
"""The path of a file below the folder of its kind, and its full path."""


class Copy(NamedTuple):
    """A file in the backup folder. `is_new`: it was copied by this backup, and not by one that was killed."""

    entry: FileEntry
    is_new: bool


class Copies:
    """Copies files into the backup folder, and counts the files and bytes that are copied."""

    def __init__(self, folder: BackupFolder) -> None:
        self._folder = folder
        self._unsynced: set[Path] = set()
        self.files = 0
        self.size = 0

    def known(self, name: str, known: Lookup) -> FileEntry | None:
        """Return the entry of a file, None if it must be copied: no manifest has it, or its copy is lost or cut."""
        entry = known.find(f"{OBJECTS}/{name}")
        return entry if entry is not None and _size(f"{self._folder.root}/{entry.name}") == entry.size else None

    def make(self, source: SourceFile) -> Copy | None:
        """Copy a file, and return the copy. None: the file was deleted meanwhile. Any thread may call this.

        A file that a killed backup has copied is read and not copied again. A kill -9 leaves a whole copy, or a file in
        `incoming`, which the next backup removes.
        """
        name, path = f"{OBJECTS}/{source[0]}", Path(source[1])
        target = self._folder.root / name
        try:
            if _size(target) == path.stat().st_size:
                return Copy(FileEntry(name, *durable_files.contents(target)), is_new=False)
            return Copy(FileEntry(name, *durable_files.copy(path, target, self._folder.incoming)), is_new=True)
        except FileNotFoundError:
            if path.exists():
                raise
            return None

    def add(self, copy: Copy) -> None:
        """Count a copy. One thread calls this, and `sync`."""
        folder = self._folder.root / copy.entry.name
        while (folder := folder.parent) not in self._unsynced and folder != self._folder.root.parent:
            self._unsynced.add(folder)
        if copy.is_new:
            self.files += 1
            self.size += copy.entry.size

    def sync(self) -> None:
        """Make the names of all copies durable."""
        for folder in self._unsynced:
            sync_folder(folder)
        self._unsynced.clear()


def _size(path: str | Path) -> int | None:
    """Return the size of a file, None if there is none."""
    try:
        return os.stat(path).st_size  # noqa: PTH116 - a Path for each file would take a third of the whole time
    except (FileNotFoundError, NotADirectoryError):
        return None
