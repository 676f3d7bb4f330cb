"""Checks of the folders on this machine: the data folder of the embedded engine, and those of other settings."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from app.bootstrap.engines import INDEX
from app.bootstrap.inspection import reserved_bytes
from app.entry.doctor.findings import FAULT, OK, WARNING, Finding
from app.services.recovery.last_backup import last_backup
from app.settings import Settings, variable

_LITTLE_SPACE: Final = 5 * 1024**3
"""Free bytes below which the disk is soon full."""

_GIBIBYTE: Final = 1024**3
_FUTURE_SECONDS: Final = 60
_DAY_SECONDS: Final = 86_400
_LONGEST_DAYS_WITHOUT_BACKUP: Final = 7

_NETWORK_DISKS: Final = ("nfs", "cifs", "smb", "9p", "fuse.", "ceph", "glusterfs", "lustre", "afs")
_TRANSIENT_DISKS: Final = {"tmpfs": "is in memory, so a restart of the machine empties it", "ramfs": "is in memory"}


def data_folder(settings: Settings) -> Iterator[Finding]:
    """Check whether the service can write the data folder, and how much space is left."""
    folder = settings.data_dir.absolute()
    existing = _nearest(folder)
    if not existing.is_dir():
        yield Finding("data folder", FAULT, f"{existing} is no folder.", f"Name another in {variable('data_dir')}.")
        return
    if not os.access(existing, os.W_OK | os.X_OK):
        text = f"{existing} cannot be written by user id {os.geteuid()}."
        advice = f"Change its owner or its mode, or name another in {variable('data_dir')}."
        yield Finding("data folder", FAULT, text, advice)
        return
    yield _owned(folder) if folder.exists() else Finding("data folder", OK, f"{folder} is made at the first start.")
    yield _space(existing)
    yield _file_system(existing)


def backups(settings: Settings) -> Iterator[Finding]:
    """Check whether the data folder was backed up lately."""
    if not (settings.data_dir / INDEX).exists():
        return
    last = last_backup(settings.data_dir)
    if last is None:
        text, advice = "No backup of the data folder was made with `bulkhead backup`.", "Make one every day."
        yield Finding("backup", WARNING, text, advice)
        return
    days = (time.time() - last.seconds) / _DAY_SECONDS
    text = f"The last backup was made {days:.1f} days ago, into {last.folder}."
    if days > _LONGEST_DAYS_WITHOUT_BACKUP:
        yield Finding("backup", WARNING, text, "Look why `bulkhead backup` failed or did not run.")
    else:
        yield Finding("backup", OK, text)


def _owned(folder: Path) -> Finding:
    index = folder / INDEX
    if not index.exists():
        return Finding("data folder", OK, f"{folder} has no archive yet.")
    if not os.access(index, os.R_OK | os.W_OK):
        text = f"{index} cannot be written by user id {os.geteuid()}."
        return Finding("data folder", FAULT, text, "Run as its owner, or change the owner of all files in the folder.")
    return Finding("data folder", OK, f"{folder} can be written.")


def _space(folder: Path) -> Finding:
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    text = f"{free / _GIBIBYTE:.1f} GiB are free."
    if free < reserved_bytes():
        return Finding("free space", FAULT, f"{text} Nothing can be stored.", "Delete files, or use a larger disk.")
    if free < _LITTLE_SPACE:
        return Finding("free space", WARNING, text, "Make space before the disk is full. Then every store is refused.")
    return Finding("free space", OK, text)


def _file_system(folder: Path) -> Finding:
    kind = file_system_of(folder)
    if kind.startswith(_NETWORK_DISKS):
        text = f"The data folder is on {kind}. Locks and syncs of network file systems are not reliable."
        return Finding("file system", WARNING, text, "Use a disk of this machine, or the aws engine.")
    if kind in _TRANSIENT_DISKS:
        text = f"The data folder is on {kind}, which {_TRANSIENT_DISKS[kind]}."
        return Finding("file system", WARNING, text, f"Name a folder on a disk in {variable('data_dir')}.")
    if kind == "overlay" and Path("/.dockerenv").exists():
        text = "The data folder is in the container itself. It is lost with the container."
        return Finding("file system", WARNING, text, f"Mount a volume at {variable('data_dir')}.")
    return Finding("file system", OK, f"The data folder is on {kind}." if kind else "The file system is not known.")


def file_system_of(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """Return the type of the file system of a folder, empty if the system does not say."""
    try:
        lines = [line.split() for line in mounts.read_text().splitlines()]
    except OSError:
        return ""
    resolved = folder.resolve()
    # The last mount at a place hides the earlier ones. The longest place is the nearest.
    places = [(Path(line[1].replace("\\040", " ")), line[2]) for line in lines if len(line) > 2]
    above = [(len(place.parts), kind) for place, kind in places if resolved.is_relative_to(place)]
    return max(reversed(above), key=lambda each: each[0])[1] if above else ""


def clock(settings: Settings) -> Iterator[Finding]:
    """Check whether the archive was written in the future of this clock."""
    index = settings.data_dir / INDEX
    ahead = index.stat().st_mtime - time.time() if index.exists() else 0.0
    if ahead > _FUTURE_SECONDS:
        text = f"The archive was last written {ahead:.0f} seconds in the future of this clock."
        yield Finding("clock", WARNING, text, "Set the clock of this machine, and let it follow a time server.")
    else:
        yield Finding("clock", OK, "The clock is not behind the files of the archive.")


def other_folders(settings: Settings) -> Iterator[Finding]:
    """Check each folder that a setting names beside the data folder."""
    faults = []
    for name in ("spool_dir", "picture_cache_dir", "metrics_dir", "export_dir"):
        folder: Path | None = getattr(settings, name)
        # The service creates the others, and expects that of the spooled bodies.
        usable = folder if folder is None or name == "spool_dir" else _nearest(folder.absolute())
        if usable is not None and not (usable.is_dir() and os.access(usable, os.W_OK | os.X_OK)):
            faults.append(Finding("folders", FAULT, f"{variable(name)}={folder}: It cannot be written.", _FOLDER))
    yield from faults or [Finding("folders", OK, "The other folders of the settings can be written.")]


_FOLDER: Final = "Create the folder, or change its owner or mode."


def _nearest(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    return next((each for each in (folder, *folder.parents) if each.exists()), folder)
