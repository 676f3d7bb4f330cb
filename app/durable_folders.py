"""Folders whose entries survive a power loss."""

from __future__ import annotations

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Make the entries of a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_durably(folder: Path, mode: int = 0o777) -> None:
    """Create a folder and those of its parents that are missing. They survive a power loss from then on.

    `mode` is that of the new folders, as in `Path.mkdir`.
    """
    if not folder.is_dir():
        make_durably(folder.parent, mode)
        folder.mkdir(mode=mode, exist_ok=True)
        sync_folder(folder.parent)
