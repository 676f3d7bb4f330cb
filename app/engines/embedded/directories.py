"""Directories whose entries survive a power loss."""

from __future__ import annotations

import os
from pathlib import Path


def sync(directory: Path) -> None:
    """Make the entries of the directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_durably(directory: Path) -> None:
    """Create the directory and those of its parents that are missing. They survive a power loss from then on."""
    if not directory.is_dir():
        make_durably(directory.parent)
        directory.mkdir(exist_ok=True)
        sync(directory.parent)
