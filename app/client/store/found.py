"""What is found in the paths of the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from app.client.store.contents import Content

IsDone = Callable[[str], bool]
"""Tells whether an earlier run stored the file with this key."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A file in a folder or in an archive.

    `name` is for people. `weight` is the bytes of the given paths that are read when this file is dealt with: their
    sum is the size of all paths, so it shows progress.
    """

    name: str
    weight: int


@dataclass(frozen=True, kw_only=True)
class DicomFile(Found):
    """A file to store. `key` changes if the file changes."""

    key: str
    content: Content


class DoneEarlier(Found):
    """A file that an earlier run stored. It was not read."""


class NotDicom(Found):
    """A file of another kind. A DICOMDIR counts as such: it describes files and is no instance."""


@dataclass(frozen=True, kw_only=True)
class Unreadable(Found):
    """A file or an archive that cannot be read. `reason` says why, in one line."""

    reason: str


def key_of(address: str, size: int, changed: object) -> str:
    """Return the key of a file from its address, its size, and the time of its last change."""
    return f"{address}\0{size}\0{changed}"
