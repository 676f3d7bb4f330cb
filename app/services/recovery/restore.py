"""Restore of a backup into an empty data folder, and the check of a backup.

Each file is compared with the size and the digest in the manifest while it is copied. The table comes last, so a data
folder without a table is not restored yet. A file `restore.unfinished` marks the folder until its end, and the service
does not start there (`bootstrap/engines.py`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from app.durable_folders import sync_folder
from app.errors import RecoveryError
from app.services.parallel import prefetch
from app.services.recovery import archive_id, durable_files, manifest
from app.services.recovery.backup_folder import INDEX, UNFINISHED, BackupFolder
from app.services.recovery.manifest import FileEntry
from app.services.recovery.verification import ShowProgress

_AT_ONCE: Final = 4
_SHOWN_FAULTS: Final = 100


@dataclass(kw_only=True)
class RestoreReport:
    """What a restore or a check did. `faults` are the first files that are missing or damaged in the backup."""

    generation: str
    target: str = ""
    files: int = 0
    size: int = 0
    faulty: int = 0
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add_fault(self, text: str) -> None:
        self.faulty += 1
        if len(self.faults) < _SHOWN_FAULTS:
            self.faults.append(text)

    def lines(self) -> Iterator[str]:
        """Yield the report for people."""
        yield f"generation  {self.generation}"
        if self.target:
            yield f"restored    {self.target}"
        yield f"files       {self.files:,}, {self.size / 1e6:,.1f} MB, in {self.seconds:,.1f} s"
        yield f"faulty      {self.faulty:,}"
        yield from (f"  {each}" for each in self.faults)

    def document(self) -> dict[str, Any]:
        """Return the report as a JSON object."""
        return asdict(self)


def chosen_generation(folder: BackupFolder, name: str = "") -> str:
    """Return the generation of this name, the newest one without a name. Raises `RecoveryError` if there is none."""
    names = folder.generations()
    if not names:
        raise RecoveryError(f"{folder.root} has no whole backup.")
    if name and name not in names:
        raise RecoveryError(f"{folder.root} has no backup {name!r}. It has: {', '.join(names)}.")
    return name or names[-1]


def check(folder: BackupFolder, generation: str, show: ShowProgress) -> RestoreReport:
    """Read all files of a generation, and compare them with the manifest. Raises `DamagedManifest`."""
    return _run(folder, generation, None, show)


def restore(folder: BackupFolder, generation: str, target: Path, show: ShowProgress) -> RestoreReport:
    """Copy a generation into the data folder `target`, which must be empty or have an unfinished restore of it.

    Files that are missing or damaged in the backup are in the report; the rest is restored. Raises `RecoveryError` if
    the table is damaged or `target` has something else, `DamagedManifest`, and OSError. After a kill -9 or a failure
    the same call goes on.
    """
    if target.resolve().is_relative_to(folder.root.resolve()):
        raise RecoveryError(f"{target} is inside of the backup. Name another folder: BULKHEAD_DATA_DIR.")
    _claim(target, generation)
    report = _run(folder, generation, target, show)
    report.target = str(target)
    if not (target / INDEX).exists():
        raise RecoveryError(f"The table of {generation} is missing or damaged: {report.faults[-1]}. Restore another.")
    archive_id.restore_id(folder.root, target)
    (target / UNFINISHED).unlink()
    sync_folder(target)
    return report


def _claim(target: Path, generation: str) -> None:
    """Mark the folder. A kill -9 leaves an empty folder or a marked one."""
    target.mkdir(parents=True, exist_ok=True)
    mark = target / UNFINISHED
    names = {path.name for path in target.iterdir()} - {"lost+found"}
    if names and (UNFINISHED not in names or mark.read_bytes() not in (b"", generation.encode())):
        raise RecoveryError(f"{target} is not empty. Name an empty folder: BULKHEAD_DATA_DIR is the data folder.")
    with mark.open("w") as file:
        file.write(generation)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(target)


def _run(folder: BackupFolder, generation: str, target: Path | None, show: ShowProgress) -> RestoreReport:
    started = time.monotonic()
    report = RestoreReport(generation=generation)
    touched: set[Path] = set()

    def process(entry: FileEntry) -> tuple[FileEntry, str]:
        return entry, _fault(folder.file(generation, entry.name), entry, target)

    for entry, fault in prefetch(process, manifest.entries(folder.manifest(generation)), ahead=_AT_ONCE):
        if fault:
            report.add_fault(f"{entry.name}: {fault}")
        else:
            report.files += 1
            report.size += entry.size
            if target:
                path = target / entry.name
                while (path := path.parent) not in touched and path != target.parent:
                    touched.add(path)
        show("Checking files" if target is None else "Restoring files", report.files + report.faulty, None)
    for each in touched:
        sync_folder(each)
    report.seconds = round(time.monotonic() - started, 3)
    return report


def _fault(source: Path, entry: FileEntry, target: Path | None) -> str:
    """Check a file of a backup, and copy it if there is a target. Return what is wrong with it, or an empty text."""
    copy = target / entry.name if target else None
    try:
        if copy is not None and copy.exists() and durable_files.contents(copy) == entry.contents:
            return ""
        found = durable_files.contents(source) if target is None or copy is None else _copy(source, copy, target)
    except FileNotFoundError:
        if source.exists():
            raise
        return "it is missing"
    if found == entry.contents:
        return ""
    if copy is not None:
        copy.unlink()
    return f"it has {found.size} bytes and digest {found.digest}, not {entry.size} bytes and {entry.digest}"


def _copy(source: Path, copy: Path, target: Path) -> durable_files.Contents:
    incoming = target / "blobs" / "incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    return durable_files.copy(source, copy, incoming)
