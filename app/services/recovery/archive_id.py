"""The identity of an archive for its backups: a random text in the data folder, and in the folder of the backups.

So the backups of one archive never replace those of another one. A restored archive has the identity of its backup.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Final

from app.durable_folders import sync_folder
from app.errors import RecoveryError

NAME: Final = "archive-id"
"""The name of the file in both folders."""


def require_same(data_folder: Path, backup_folder: Path) -> None:
    """Give both folders the same identity if the backup folder has none.

    Raises `RecoveryError` if the backup folder belongs to another archive. A kill -9 leaves the identity in the data
    folder alone, and the next call goes on.
    """
    own, other = _read(data_folder), _read(backup_folder)
    if other is None:
        if own is None:
            own = uuid.uuid4().hex.encode()
            _write(data_folder, own)
        _write(backup_folder, own)
    elif own != other:
        raise RecoveryError(
            f"{backup_folder} has backups of another archive. Name another folder. If {data_folder} is a copy of that "
            f"archive, copy {backup_folder / NAME} into it."
        )


def restore_id(backup_folder: Path, data_folder: Path) -> None:
    """Give a restored data folder the identity of its backup."""
    identity = _read(backup_folder)
    if identity is not None:
        _write(data_folder, identity)


def _read(folder: Path) -> bytes | None:
    try:
        return (folder / NAME).read_bytes()
    except FileNotFoundError:
        return None


def _write(folder: Path, identity: bytes) -> None:
    new = folder / f"{NAME}.{os.getpid()}"
    with new.open("wb") as file:
        file.write(identity)
        file.flush()
        os.fsync(file.fileno())
    new.replace(folder / NAME)
    sync_folder(folder)
