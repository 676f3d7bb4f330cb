"""A folder of rendered pictures, bounded in bytes, that several processes share."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Final, NamedTuple

_DIGEST: Final = 32
"""Bytes of the SHA-256 digest at the start of each file. It finds files that a power loss damaged."""
_UNFINISHED: Final = ".part"
_OLD_SECONDS: Final = 600
"""Age at which an unfinished file has no writer any more."""
_OWN_FOLDER: Final = re.compile(r"[0-9a-f]{2}")
_OWN_FILE: Final = re.compile(rf"[0-9a-f]{{40}}(-[0-9]+-[0-9]+{re.escape(_UNFINISHED)})?")
"""The names that this module gives. Other files and links in the folder are not its own: it leaves them alone."""
_SHARE: Final = 16
"""A process looks at the size of the folder after it wrote this part of the limit."""


class _File(NamedTuple):
    used: float
    size: int
    path: str


class PictureFolder:
    """Keeps pictures by tag, up to about `limit` bytes. Those that were not used longest are removed.

    A file is written under another name and renamed, so a reader finds it whole or not at all. A kill -9 leaves an
    unfinished file behind, which the next look at the folder removes after ten minutes. A folder that fails is never an
    error of a request: the picture is rendered.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._written = limit  # so the first picture leads to a look at what earlier processes left
        self._numbers = count()
        self._lock = Lock()

    def get(self, tag: str) -> bytes | None:
        """Return a picture, None if it is not kept or damaged."""
        path = self._path(tag)
        try:
            content = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        digest, data = content[:_DIGEST], content[_DIGEST:]
        return data if sha256(data).digest() == digest else None

    def put(self, tag: str, data: bytes) -> None:
        """Keep a picture. One that is larger than a sixteenth of the limit is not kept."""
        if len(data) > self._limit // _SHARE:
            return
        path = self._path(tag)
        unfinished = path.with_name(f"{tag}-{os.getpid()}-{next(self._numbers)}{_UNFINISHED}")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if path.parent.is_symlink():
                return  # pictures of patients stay in the folder
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(sha256(data).digest() + data)
            unfinished.replace(path)
        except OSError:
            with suppress(OSError):
                unfinished.unlink()
            return
        with self._lock:
            self._written += len(data)
            if self._written < self._limit // _SHARE:
                return
            self._written = 0
        self._remove_unused()

    def _path(self, tag: str) -> Path:
        """Return where a picture is. `tag` is a text of hex digits."""
        return self._folder / tag[:2] / tag

    def _remove_unused(self) -> None:
        files = sorted(self._files())
        size = sum(file.size for file in files)
        for file in files:
            is_left = file.path.endswith(_UNFINISHED) and file.used < time.time() - _OLD_SECONDS
            if is_left or size > self._limit - self._limit // _SHARE:
                size -= file.size
                with suppress(OSError):  # another process removed it
                    Path(file.path).unlink()

    def _files(self) -> Iterator[_File]:
        for folder in _entries(self._folder):
            if not _OWN_FOLDER.fullmatch(folder.name) or not folder.is_dir(follow_symlinks=False):
                continue
            for entry in _entries(folder.path):
                with suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    if _OWN_FILE.fullmatch(entry.name):
                        yield _File(status.st_mtime, status.st_size, entry.path)


def _entries(folder: Path | str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []
