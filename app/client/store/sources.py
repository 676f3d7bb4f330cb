"""The files of the paths of the command line: folders, DICOMDIR, archives, single files, standard input."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from app.client.store.archives import ZIP, archive_kind, files_in_tar, files_in_zip
from app.client.store.contents import HEAD_BYTES, FileOnDisk, is_instance
from app.client.store.dicomdir import NAME, InvalidDirectory, named_files
from app.client.store.found import DicomFile, DoneEarlier, Found, IsDone, NotDicom, Unreadable, key_of

STANDARD_INPUT: Final = Path("-")
"""A tar archive on standard input."""


def found_files(paths: Sequence[Path], is_done: IsDone) -> Iterator[Found]:
    """Yield every file of the paths, in the order of names. A fault of one file never hides another."""
    for path in paths:
        if path == STANDARD_INPUT:
            yield from files_in_tar(path, is_done, sys.stdin.buffer)
        elif path.is_dir():
            for each in _walk(path):
                yield from [each] if isinstance(each, Found) else _file(each, is_done, named=False)
        elif path.name.upper() == NAME:
            yield from _directory(path, is_done)
        else:
            yield from _file(path, is_done, named=True)


def size_of(paths: Sequence[Path]) -> Iterator[int]:
    """Yield the size of each file of the paths, as far as it is known before the files are read."""
    for path in paths:
        try:
            if path.is_dir():
                yield from (each.stat().st_size for each in _walk(path) if isinstance(each, Path))
            elif path.name.upper() == NAME:
                yield from (file.stat().st_size for _, file in named_files(path) if file)
            elif path != STANDARD_INPUT:
                yield path.stat().st_size
        except (OSError, InvalidDirectory):
            continue  # `found_files` reports it


def _walk(folder: Path) -> Iterator[Path | Unreadable]:
    """Yield the files below a folder. Links are followed, and each folder is read once, so that no loop is endless."""
    waiting, read = [folder], set()
    while waiting:
        current = waiting.pop()
        try:
            status = current.stat()
            if (identity := (status.st_dev, status.st_ino)) in read:
                continue
            read.add(identity)
            with os.scandir(current) as entries:
                listed = sorted(entries, key=lambda each: each.name)
        except OSError as error:
            yield Unreadable(name=str(current), weight=0, reason=_cannot_be_read(error))
            continue
        yield from (current / each.name for each in listed if not each.is_dir())
        waiting.extend(current / each.name for each in reversed(listed) if each.is_dir())


def _file(path: Path, is_done: IsDone, *, named: bool) -> Iterator[Found]:
    """Yield a file, or the files in it if it is an archive. `named`: the command line names it."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            yield NotDicom(name=str(path), weight=0)
            return
        key = key_of(str(path.absolute()), status.st_size, status.st_mtime_ns)
        if is_done(key):
            yield DoneEarlier(name=str(path), weight=status.st_size)
            return
        with path.open("rb") as source:
            head = source.read(HEAD_BYTES)
    except OSError as error:
        yield Unreadable(name=str(path), weight=0, reason=_cannot_be_read(error))
        return
    if is_instance(head):
        content = FileOnDisk(path, status.st_size)
        yield DicomFile(name=str(path), weight=status.st_size, key=key, content=content)
    elif kind := archive_kind(path, head if named else None):
        yield from files_in_zip(path, is_done) if kind == ZIP else files_in_tar(path, is_done)
    else:
        yield NotDicom(name=str(path), weight=status.st_size)


def _directory(directory: Path, is_done: IsDone) -> Iterator[Found]:
    """Yield the files that a DICOMDIR names. The DICOMDIR itself is no instance."""
    try:
        for name, path in named_files(directory):
            if path is None:
                yield Unreadable(
                    name=str(directory.parent / name), weight=0, reason="The DICOMDIR names a file that does not exist."
                )
            else:
                yield from _file(path, is_done, named=False)
    except InvalidDirectory as error:
        yield Unreadable(name=str(directory), weight=0, reason=str(error))


def _cannot_be_read(error: OSError) -> str:
    return f"It cannot be read: {error.strerror or type(error).__name__}."
