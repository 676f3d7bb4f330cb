"""The files that a DICOMDIR names (PS3.10 §8, PS3.3 §F.3)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydicom import dcmread

NAME: Final = "DICOMDIR"


class InvalidDirectory(Exception):
    """The DICOMDIR cannot be read."""


def named_files(directory: Path) -> Iterator[tuple[str, Path | None]]:
    """Yield each file that a DICOMDIR names, as it names it, with its path. None: there is no such file.

    The components of a name match in any letter case, since media are mounted in several ways. A name never leads out
    of the folder of the DICOMDIR. Raises `InvalidDirectory`.
    """
    try:
        records = dcmread(directory, specific_tags=["DirectoryRecordSequence"]).get("DirectoryRecordSequence") or ()
        names = [record.get("ReferencedFileID") for record in records]
    except Exception as error:  # pydicom raises anything for damaged files
        raise InvalidDirectory(f"The DICOMDIR cannot be read: {type(error).__name__}") from error
    listed: dict[Path, dict[str, Path]] = {}
    for name in names:
        if name:
            components = [name] if isinstance(name, str) else [str(each) for each in name]
            yield "/".join(components), _path(directory.parent, components, listed)


def _path(folder: Path, components: list[str], listed: dict[Path, dict[str, Path]]) -> Path | None:
    """Return the path of a name. `listed` keeps the entries of the folders, by their name in capitals."""
    path = folder
    for component in components:
        if path not in listed:
            try:
                listed[path] = {each.name.partition(";")[0].upper(): each for each in path.iterdir()}
            except OSError:
                listed[path] = {}
        found = listed[path].get(component.strip().upper())
        if found is None or found.is_symlink():
            return None
        path = found
    return path if path.is_file() else None
