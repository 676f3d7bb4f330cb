"""The folder that holds the backups of one archive.

    {folder}/bulkhead-backup.json            says that the folder has backups, and of which format
    {folder}/archive-id                      says of which archive the backups are
    {folder}/lock                            is locked while a backup is written
    {folder}/incoming/                       files that are being copied
    {folder}/blobs/objects/…                 the files of all generations, under their paths in the data folder
    {folder}/generations/{time}/             one generation: table, small instances, layout file, manifest
    {folder}/generations/{time}.unfinished/  a generation that is being written
    {folder}/generations/{time}.dropped/     a generation that is being removed

Files of instances never change, so each is copied once and serves all generations. A generation exists from the moment
when its folder gets its name without a suffix. So a kill -9 or a power loss leaves all earlier generations as they
were.
"""

from __future__ import annotations

import fcntl
import heapq
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import orjson

from app.durable_folders import sync_folder
from app.errors import BackupRuns, RecoveryError
from app.services.recovery import manifest
from app.services.recovery.manifest import FileEntry, Lookup

OBJECTS: Final = "blobs/objects"
"""The path of the files of instances, below a data folder and below a backup folder."""

MANIFEST: Final = "manifest.jsonl.zst"
INDEX: Final = "index.sqlite"
LAYOUT: Final = "bulkhead.json"
SMALL: Final = "blobs/small.sqlite"
"""The paths of the table, the layout file and the small instances, in a data folder and in a generation."""

UNFINISHED: Final = "restore.unfinished"
"""The file in a data folder whose restore has not ended. It contains the name of the generation."""

_MARK: Final = "bulkhead-backup.json"
_UNFINISHED: Final = ".unfinished"
_DROPPED: Final = ".dropped"


class BackupFolder:
    """The backups in the folder `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.incoming = root / "incoming"
        self._generations = root / "generations"

    # --- reading ---

    def generations(self) -> list[str]:
        """Return the names of the whole generations, the oldest first. Raises `RecoveryError` if this is no backup."""
        try:
            found = orjson.loads((self.root / _MARK).read_bytes())
        except (OSError, ValueError) as error:
            raise RecoveryError(f"{self.root} has no backups of Bulkhead.") from error
        if found != {"format": manifest.FORMAT}:
            raise RecoveryError(f"A newer release wrote the backups in {self.root}. Use that release.")
        paths = self._generations.iterdir() if self._generations.is_dir() else ()
        names = [path.name for path in paths if path.is_dir()]
        return sorted(name for name in names if not name.endswith((_UNFINISHED, _DROPPED)))

    def generation(self, name: str) -> Path:
        """Return the folder of a generation."""
        return self._generations / name

    def manifest(self, name: str) -> Path:
        """Return the manifest of a generation."""
        return self._generations / name / MANIFEST

    def file(self, generation: str, name: str) -> Path:
        """Return the path of a file of a generation. Raises `RecoveryError` for a name that leads elsewhere."""
        if name in (INDEX, LAYOUT, SMALL):
            return self._generations / generation / name
        if not name.startswith(f"{OBJECTS}/") or not {"", ".", ".."}.isdisjoint(name.split("/")):
            raise RecoveryError(f"The manifest of {generation} names {name!r}, which is no file of an archive.")
        return self.root / name

    def has_backups(self) -> bool:
        """Return whether backups were written here."""
        return (self.root / _MARK).exists()

    # --- writing ---

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Create the folder, and keep other backups out of it.

        Raises `BackupRuns`, and `RecoveryError` if the folder has something else.
        """
        self.root.mkdir(exist_ok=True)  # a missing parent is perhaps a disk that is not mounted
        self._require_backups()
        with (self.root / "lock").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BackupRuns from error
            shutil.rmtree(self.incoming, ignore_errors=True)
            self.incoming.mkdir()
            self._generations.mkdir(exist_ok=True)
            yield

    def _require_backups(self) -> None:
        if self.has_backups():
            self.generations()
            return
        if any(path.name != "lost+found" and not path.name.startswith(_MARK) for path in self.root.iterdir()):
            raise RecoveryError(f"{self.root} has other files. Name an empty folder, or one that has backups.")
        written = self.root / f"{_MARK}.{os.getpid()}"
        written.write_bytes(orjson.dumps({"format": manifest.FORMAT}))
        written.replace(self.root / _MARK)
        sync_folder(self.root)

    def begin(self, moment: datetime) -> str:
        """Create the folder of a new generation, and return the name that it gets at its end.

        The name is the time. It sorts after all others, also when the clock was set back.
        """
        name = moment.astimezone(UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
        newest = max(self.generations(), default="")
        if name <= newest:
            name = f"{newest}+"
        self.unfinished(name).mkdir()
        return name

    def unfinished(self, name: str) -> Path:
        """Return the folder of a generation that is being written."""
        return self._generations / f"{name}{_UNFINISHED}"

    def finish(self, name: str) -> None:
        """Give a generation its name. It exists when this returns, also after a power loss."""
        sync_folder(self.unfinished(name))
        self.unfinished(name).rename(self._generations / name)
        sync_folder(self._generations)

    def remove_unfinished(self) -> bool:
        """Remove what backups left that were killed. Return whether there was anything.

        The files that they copied remain, so that the next backup does not copy them again.
        """
        found = [*self._generations.glob(f"*{_UNFINISHED}")]
        for folder in found:
            shutil.rmtree(folder)
        return bool(found) or any(self._generations.glob(f"*{_DROPPED}"))

    def drop(self, keep: int, *, always: bool = False) -> list[str]:
        """Remove all generations but the newest `keep`, and the files that no generation names. Return their names.

        With `always`, files are looked for even if no generation is removed. A kill -9 leaves a folder of a dropped
        generation, with which the next call goes on. Raises `DamagedManifest` before any file is removed.
        """
        dropped = self.generations()[:-keep]
        for name in dropped:
            self.generation(name).rename(self._generations / f"{name}{_DROPPED}")
        if dropped or always:
            self._remove_unnamed_files()
        for folder in self._generations.glob(f"*{_DROPPED}"):
            shutil.rmtree(folder)
        return dropped

    def _remove_unnamed_files(self) -> None:
        for name in self.generations():  # a damaged manifest must not look like one that names few files
            for _ in manifest.entries(self.manifest(name)):
                pass
        named = Lookup(self._entries())
        for name in sorted_names(self.root / OBJECTS):
            if named.find(f"{OBJECTS}/{name}") is None:
                self._remove_file(self.root / OBJECTS / name)

    def _entries(self) -> Iterator[FileEntry]:
        """Yield the files of all generations in order. A file of several generations comes several times."""
        return heapq.merge(
            *(manifest.entries(self.manifest(name)) for name in self.generations()), key=lambda entry: entry.order
        )

    def _remove_file(self, path: Path) -> None:
        path.unlink()
        with suppress(OSError):  # not empty
            while (path := path.parent) != self.root / OBJECTS:
                path.rmdir()


def sorted_names(root: Path) -> Iterator[str]:
    """Yield the path below `root` of each file in it, in the order of the parts of the paths."""
    if root.is_dir():
        yield from _names(root, "")


def _names(folder: Path, prefix: str) -> Iterator[str]:
    with os.scandir(folder) as scanned:
        found = sorted(scanned, key=lambda entry: entry.name)
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            yield from _names(Path(entry.path), f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}"
