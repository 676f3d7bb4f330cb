"""The note of the last backup in a data folder, for `bulkhead doctor`. It is in no backup."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import orjson

from app.storage.table import clock

NAME: Final = "last-backup.json"
"""The name of the file, in the data folder."""


class LastBackup(NamedTuple):
    """When the last backup ended, in seconds since 1970, and in which folder it is."""

    seconds: float
    folder: str


def note_backup(data_folder: Path, backup_folder: Path) -> None:
    """Note that a backup has ended now. A kill -9 leaves the earlier note."""
    written = data_folder / f"{NAME}.new"
    written.write_bytes(orjson.dumps({"time": clock.timestamp(clock.now()), "folder": str(backup_folder.absolute())}))
    written.replace(data_folder / NAME)


def last_backup(data_folder: Path) -> LastBackup | None:
    """Return the note, None if there is none or if it cannot be read."""
    try:
        note = orjson.loads((data_folder / NAME).read_bytes())
        return LastBackup(clock.seconds(note["time"]), note["folder"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
