"""The open files of this process."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def open_files() -> list[Path]:
    """Return the files that this process has open, also those that were removed, once for each descriptor."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed meanwhile
            found.append(descriptor.readlink())
    return found


def open_files_below(folder: Path) -> list[Path]:
    """Return those of a folder. Earlier tests leave other files, which the garbage collector closes at any time."""
    return [file for file in open_files() if file.is_relative_to(folder)]
