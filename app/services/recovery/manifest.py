"""The manifest of a backup: which files one generation has, with their sizes and digests.

A manifest is a file of JSON lines, compressed with Zstandard:

    {"format": 1, "created": "2026-11-30T09:30:12.0000000+00:00", "release": "0.2.0"}
    ["index.sqlite", 8192, "{SHA-256 in hex digits}"]
    ["blobs/objects/1/1.2.3/1.2.3.4/1.2.3.4.5~0f3c.dcm", 39012, "…"]
    {"files": 2, "bytes": 47204, "digest": "{SHA-256 of all lines before this one}"}

Files are in the order of the parts of their paths, so that two manifests can be compared without holding them in
memory.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
import zstandard

from app.errors import RecoveryError
from app.services.recovery.durable_files import Contents, sync_file

FORMAT: Final = 1

_LONGEST_LINE: Final = 64 * 1024


class FileEntry(NamedTuple):
    """A file of a backup: its path below the data folder, its size in bytes, and its SHA-256 digest."""

    name: str
    size: int
    digest: str

    @property
    def contents(self) -> Contents:
        return Contents(self.size, self.digest)

    @property
    def order(self) -> list[str]:
        """What entries are sorted by."""
        return self.name.split("/")


class Heading(NamedTuple):
    """What the first line of a manifest says: when the backup was made, and by which release."""

    created: str
    release: str


class Totals(NamedTuple):
    """The number of files of a manifest, and their bytes."""

    files: int
    bytes: int


class DamagedManifest(RecoveryError):
    """A manifest is missing, cut or changed. The message names it."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"The manifest {path} cannot be used: {reason} Bring it back from a copy, or remove its folder. The files "
            "of the other backups stay."
        )


def write(path: Path, heading: Heading, entries: Iterable[FileEntry]) -> Totals:
    """Write a manifest to a new file, durably. A kill -9 leaves a part of it, which `entries` refuses."""
    digest = hashlib.sha256()
    written = Totals(0, 0)
    with path.open("xb") as file, zstandard.ZstdCompressor().stream_writer(file, closefd=False) as stream:

        def put(document: object) -> None:
            line = orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)
            digest.update(line)
            stream.write(line)

        put({"format": FORMAT, **heading._asdict()})
        for entry in entries:
            put(list(entry))
            written = Totals(written.files + 1, written.bytes + entry.size)
        put({**written._asdict(), "digest": digest.hexdigest()})
    sync_file(path)
    return written


def heading(path: Path) -> Heading:
    """Return the first line of a manifest. Raises `DamagedManifest`."""
    return _heading(path, next(_lines(path), b""))


def entries(path: Path) -> Iterator[FileEntry]:
    """Yield the files of a manifest in their order.

    Raises `DamagedManifest`, at the end if a line was changed or lines are missing.
    """
    digest = hashlib.sha256()
    read = Totals(0, 0)
    lines = _lines(path)
    first = next(lines, b"")
    _heading(path, first)
    digest.update(first)
    for line in lines:
        document = _document(path, line)
        if isinstance(document, dict):
            expected = {**read._asdict(), "digest": digest.hexdigest()}
            if document != expected or next(lines, None) is not None:
                raise DamagedManifest(path, "it was changed.")
            return
        entry = _entry(path, document)
        yield entry
        digest.update(line)
        read = Totals(read.files + 1, read.bytes + entry.size)
    raise DamagedManifest(path, "its end is missing.")


class Lookup:
    """Finds entries by name, in a sequence that is sorted like the names that are asked for."""

    def __init__(self, sorted_entries: Iterable[FileEntry]) -> None:
        self._entries = iter(sorted_entries)
        self._advance()

    def find(self, name: str) -> FileEntry | None:
        """Return the entry of a name, None if there is none. Each name must sort after the name of the call before."""
        wanted = name.split("/")
        while self._next is not None and self._order < wanted:
            self._advance()
        return self._next if self._next is not None and self._order == wanted else None

    def _advance(self) -> None:
        self._next = next(self._entries, None)
        self._order = self._next.order if self._next else []


def _heading(path: Path, line: bytes) -> Heading:
    document = _document(path, line)
    match document:
        case {"format": format_, "created": str(created), "release": str(release)} if format_ == FORMAT:
            return Heading(created, release)
    raise DamagedManifest(path, f"it is not of format {FORMAT}.")


def _entry(path: Path, document: object) -> FileEntry:
    """Return the entry of a line. The digest at the end is not known yet, so the line may be anything."""
    match document:
        case [str(name), int(size), str(digest)]:
            return FileEntry(name, size, digest)
    raise DamagedManifest(path, "it was changed.")


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as stream:
            reader = io.BufferedReader(stream)
            while line := reader.readline(_LONGEST_LINE):
                yield line
    except (OSError, zstandard.ZstdError) as error:
        raise DamagedManifest(path, f"{error}.") from error


def _document(path: Path, line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except ValueError as error:
        raise DamagedManifest(path, "it was changed or cut.") from error
