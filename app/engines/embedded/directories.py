"""Directories that are still there after a power loss."""

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
    """Make the directory and its parents where they are missing; those it made are durable when it returns."""
    if not directory.is_dir():
        make_durably(directory.parent)
        directory.mkdir(exist_ok=True)
        sync(directory.parent)
