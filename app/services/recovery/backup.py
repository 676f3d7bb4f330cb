"""Backup of the embedded engine into a folder, while the service stores and deletes.

1. Copy the files that no earlier backup has. This may take hours.
2. Let deletions keep their files. Copy the table and the small instances of one moment, and the files that are new.
3. Write the manifest, and give the generation its name. Remove the oldest generations.

The table of a backup names only files that the backup has: a file is stored before its row and deleted after it.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from app.durable_folders import sync_folder
from app.errors import BulkheadError, RecoveryError
from app.services.parallel import prefetch
from app.services.recovery import archive_id, durable_files, manifest
from app.services.recovery.backup_folder import INDEX, LAYOUT, MANIFEST, SMALL, BackupFolder
from app.services.recovery.copies import Copies, SourceFile
from app.services.recovery.last_backup import NAME, last_backup, note_backup
from app.services.recovery.manifest import FileEntry, Heading, Lookup, Totals
from app.services.recovery.verification import ShowProgress
from app.storage.table import clock

_COPIES_AT_ONCE: Final = 4


class BackupSource(Protocol):
    """What is copied of a data folder (app/engines/embedded/backup_source.py)."""

    def hold(self) -> AbstractContextManager[None]:
        """Keep the files that are deleted meanwhile."""
        ...

    def files(self) -> Iterator[SourceFile]:
        """Yield all files of instances, in the order of the parts of their paths."""
        ...

    def held_files(self) -> Iterator[SourceFile]:
        """Yield the files that were deleted since `hold`, in the same order."""
        ...

    def copy_tables(self, index: Path, small: Path, shown: Callable[[int, int], None]) -> None:
        """Copy the table and the small instances of this moment into new files, and check them.

        There is no file `small` if the archive has no small instances.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class BackupReport:
    """What a backup did. Sizes are in bytes."""

    generation: str
    files: int
    size: int
    copied_files: int
    copied_size: int
    dropped: list[str]
    seconds: float

    def lines(self) -> Iterator[str]:
        """Yield the report for people."""
        yield f"generation  {self.generation}"
        yield f"files       {self.files:,}, {self.size / 1e6:,.1f} MB"
        yield f"copied      {self.copied_files:,}, {self.copied_size / 1e6:,.1f} MB, in {self.seconds:,.1f} s"
        if self.dropped:
            yield f"removed     {', '.join(self.dropped)}"

    def document(self) -> dict[str, Any]:
        """Return the report as a JSON object."""
        return asdict(self)


class Backup:
    """Writes one generation of backups of the archive in `data_folder` into `folder`.

    `release` is the version of Bulkhead.
    """

    def __init__(
        self,
        source: BackupSource,
        *,
        data_folder: Path,
        folder: BackupFolder,
        release: str,
        show: ShowProgress,
    ) -> None:
        self._source = source
        self._data_folder = data_folder
        self._folder = folder
        self._release = release
        self._show = show
        self._copies = Copies(folder)

    def run(self, keep: int) -> BackupReport:
        """Write a generation, and keep the newest `keep`. Return what was done.

        Raises `BackupRuns` or another `RecoveryError`, `StorageUnavailable` if the table cannot be read, and OSError if
        a file cannot be read or written. Earlier generations stay as they were, also after a kill -9. The files that
        were copied serve the next attempt.
        """
        started = time.monotonic()
        self._check_place()
        with self._folder.locked():
            archive_id.require_same(self._data_folder, self._folder.root)
            was_killed = self._folder.remove_unfinished()
            known = [self._folder.manifest(each) for each in self._folder.generations()[-1:]]
            name = self._folder.begin(datetime.now(UTC))
            try:
                totals = self._write(self._folder.unfinished(name), known)
            except (OSError, BulkheadError):
                with suppress(OSError):
                    self._folder.remove_unfinished()
                raise
            self._copies.sync()
            self._folder.finish(name)
            note_backup(self._data_folder, self._folder.root)
            dropped = self._folder.drop(keep, always=was_killed)
        return BackupReport(
            generation=name,
            files=totals.files,
            size=totals.bytes,
            copied_files=self._copies.files,
            copied_size=self._copies.size,
            dropped=dropped,
            seconds=round(time.monotonic() - started, 3),
        )

    def _check_place(self) -> None:
        if self._folder.root.resolve().is_relative_to(self._data_folder.resolve()):
            raise RecoveryError("The backup cannot be inside of the data folder. Name a folder on another disk.")
        last = last_backup(self._data_folder)
        if last and last.folder == str(self._folder.root.absolute()) and not self._folder.has_backups():
            raise RecoveryError(
                f"{last.folder} had backups of this archive, and has none now. Mount its disk. If the backups were "
                f"removed on purpose, remove {self._data_folder / NAME}."
            )

    def _write(self, generation: Path, known: list[Path]) -> Totals:
        """Fill the folder of the new generation. `known` are manifests that have files which need no copy."""
        new, listed = generation / "new.jsonl.zst", generation / "listed.jsonl.zst"
        heading = Heading(created=clock.timestamp(clock.now()), release=self._release)
        manifest.write(new, heading, self._new_files(Lookup(_merged(known))))
        known = [*known, new]
        with self._source.hold():
            (generation / SMALL).parent.mkdir()
            shown = partial(self._show, "Copying the table and the small instances, pages")
            self._source.copy_tables(generation / INDEX, generation / SMALL, shown)
            manifest.write(listed, heading, self._entries(self._source.files(), known))
            held = list(self._entries(self._source.held_files(), known))  # after `files`: files move from there
        entries = heapq.merge(manifest.entries(listed), held, self._own_files(generation), key=_order)
        totals = manifest.write(generation / MANIFEST, heading, _different(entries))
        new.unlink()
        listed.unlink()
        return totals

    def _new_files(self, known: Lookup) -> Iterator[FileEntry]:
        """Copy the files that `known` does not have, several at a time."""
        for copied in prefetch(self._copies.make, self._unknown(known), ahead=_COPIES_AT_ONCE):
            if copied is not None:
                self._copies.add(copied)
                yield copied.entry

    def _unknown(self, known: Lookup) -> Iterator[SourceFile]:
        for seen, (name, path) in enumerate(self._source.files(), 1):
            if self._copies.known(name, known) is None:
                yield name, path
            self._show("Copying files that are new", seen, None)

    def _entries(self, files: Iterator[SourceFile], manifests: list[Path]) -> Iterator[FileEntry]:
        """Yield an entry for each file. Copy the files that no manifest has."""
        known = Lookup(_merged(manifests))
        for name, path in files:
            entry = self._copies.known(name, known)
            if entry is None and (copied := self._copies.make((name, path))):
                self._copies.add(copied)
                entry = copied.entry
            if entry is not None:
                yield entry

    def _own_files(self, generation: Path) -> Iterator[FileEntry]:
        """Yield the small instances, the layout file and the table, which each generation has for itself."""
        if (generation / SMALL).exists():
            yield _synced(generation, SMALL)
        layout = self._data_folder / LAYOUT
        if layout.exists():
            yield FileEntry(LAYOUT, *durable_files.copy(layout, generation / LAYOUT, self._folder.incoming))
        yield _synced(generation, INDEX)


def _synced(generation: Path, name: str) -> FileEntry:
    durable_files.sync_file(generation / name)
    sync_folder((generation / name).parent)
    return FileEntry(name, *durable_files.contents(generation / name))


def _order(entry: FileEntry) -> list[str]:
    return entry.order


def _merged(manifests: list[Path]) -> Iterator[FileEntry]:
    return heapq.merge(*map(manifest.entries, manifests), key=_order)


def _different(entries: Iterator[FileEntry]) -> Iterator[FileEntry]:
    """Yield each file once. A file that was deleted meanwhile may be there twice."""
    last = ""
    for entry in entries:
        if entry.name != last:
            yield entry
        last = entry.name
