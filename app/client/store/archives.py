"""Files in zip and tar archives. They are read as streams. Nothing is written under a name from the archive."""

from __future__ import annotations

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, Final, cast

from app.client.store.contents import HEAD_BYTES, PIECE_BYTES, Spooled, is_instance
from app.client.store.found import DicomFile, DoneEarlier, Found, IsDone, NotDicom, Unreadable, key_of

MAXIMUM_BYTES: Final = 2_147_483_647
"""The size of the largest instance that a server takes (conformance §1.8)."""
MEMORY_BYTES: Final = 8 << 20
"""A larger member of an archive lies in a temporary file while it is sent."""

ZIP: Final = "zip"
TAR: Final = "tar"
SUFFIXES: Final = {
    ".zip": ZIP,
    **dict.fromkeys((".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz"), TAR),
}
_SUSPECT_BYTES: Final = 100 << 20
_SUSPECT_RATIO: Final = 500
"""Data that shrinks so well and is so large is a bomb, and no image."""
_EXTENDED_HEADER_BYTES: Final = 1 << 20
_DAMAGE: Final = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    RuntimeError,  # of an encrypted member
    NotImplementedError,  # of an unknown compression
    ValueError,
    OverflowError,  # of a header that names a huge length
    IndexError,  # of a member without a name
)


class _TooLarge(ValueError):
    """A member is larger than an instance can be, or a bomb."""


def archive_kind(path: Path, head: bytes | None = None) -> str | None:
    """Return ZIP or TAR for the name of an archive, or for the first bytes of one. None: it is no archive."""
    name = path.name.lower()
    by_name = next((kind for suffix, kind in SUFFIXES.items() if name.endswith(suffix)), None)
    if by_name or head is None:
        return by_name
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return ZIP
    if head[257:262] == b"ustar" or head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0")):
        return TAR
    return None


def files_in_zip(path: Path, is_done: IsDone) -> Iterator[Found]:
    """Yield the files in a zip archive. Damage costs the members that it hits."""
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if not member.is_dir():
                    yield _zip_member(archive, member, path, is_done)
    except _DAMAGE as error:
        yield Unreadable(name=str(path), weight=0, reason=f"The zip archive is damaged: {_line(error)}")


def _zip_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path, is_done: IsDone) -> Found:
    name, weight = f"{path}!{member.filename}", member.compress_size
    key = key_of(f"{path.absolute()}!{member.filename}", member.file_size, f"{member.CRC:08x}")
    if is_done(key):
        return DoneEarlier(name=name, weight=weight)
    try:
        if member.flag_bits & 1:
            return Unreadable(name=name, weight=weight, reason="The member of the archive is encrypted.")
        with archive.open(member) as source:
            return _member(source, name, weight, key, member.compress_size)
    except _DAMAGE as error:
        return Unreadable(name=name, weight=weight, reason=_fault(error))


def files_in_tar(path: Path, is_done: IsDone, stream: IO[bytes] | None = None) -> Iterator[Found]:
    """Yield the files in a tar archive, compressed or not. What follows damage cannot be found.

    `stream` stands in for the file at `path`. It is read once, from start to end.
    """
    try:
        with stream or path.open("rb") as opened:
            counted = _Counted(opened)
            source = cast(IO[bytes], counted)  # a stream needs `read` alone
            with tarfile.open(fileobj=source, mode="r|*", tarinfo=_BoundedHeader) as archive:
                for member in archive:
                    if member.isfile():
                        yield _tar_member(archive, member, path, is_done, counted)
                    archive.members.clear()  # type: ignore[attr-defined]  # tarfile keeps each header; typeshed lacks it
    except _DAMAGE as error:
        yield Unreadable(name=str(path), weight=0, reason=f"The tar archive is damaged: {_line(error)}")


def _tar_member(
    archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path, is_done: IsDone, counted: _Counted
) -> Found:
    name = f"{path}!{member.name}"
    key = key_of(f"{path.absolute()}!{member.name}", member.size, member.mtime)
    if is_done(key):
        return DoneEarlier(name=name, weight=counted.taken())
    source = archive.extractfile(member)
    if source is None:
        return NotDicom(name=name, weight=counted.taken())
    try:
        found = _member(source, name, 0, key, None, counted)
    except _TooLarge as error:
        return Unreadable(name=name, weight=counted.taken(), reason=_fault(error))
    return found


def _member(
    source: IO[bytes], name: str, weight: int, key: str, compressed: int | None, counted: _Counted | None = None
) -> Found:
    """Return a member of an archive. `counted` counts the bytes of the archive that were read, if nothing else does."""
    head = source.read(HEAD_BYTES)
    if not is_instance(head):
        return NotDicom(name=name, weight=counted.taken() if counted else weight)
    spool: IO[bytes] = SpooledTemporaryFile(MEMORY_BYTES)  # noqa: SIM115  (the content closes it)
    size = spool.write(head)
    try:
        while piece := source.read(PIECE_BYTES):
            size += spool.write(piece)
            _check_size(size, counted.since() if counted else compressed)
    except BaseException:
        spool.close()
        raise
    return DicomFile(name=name, weight=counted.taken() if counted else weight, key=key, content=Spooled(spool, size))


def _check_size(size: int, compressed: int | None) -> None:
    if size > MAXIMUM_BYTES:
        raise _TooLarge(f"The member of the archive is larger than {MAXIMUM_BYTES} bytes.")
    if compressed is not None and size > _SUSPECT_BYTES and size > _SUSPECT_RATIO * max(compressed, 1):
        raise _TooLarge("The member of the archive expands more than an image does.")


class _BoundedHeader(tarfile.TarInfo):
    """A header of a tar archive. Headers that extend another one are small, since they are read into memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _BoundedHeader:
        header = super().frombuf(buf, encoding, errors)
        extends = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME)
        if header.type in (*extends, tarfile.GNUTYPE_LONGLINK) and header.size > _EXTENDED_HEADER_BYTES:
            raise tarfile.ReadError("a header is too large")
        return header


class _Counted:
    """A file object that counts what is read of it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._read = 0
        self._taken = 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._read += len(data)
        return data

    def since(self) -> int:
        """Return the bytes that were read since the last call of `taken`."""
        return self._read - self._taken

    def taken(self) -> int:
        """Return the bytes that were read since the last call."""
        count, self._taken = self.since(), self._read
        return count


def _fault(error: Exception) -> str:
    return str(error) if isinstance(error, _TooLarge) else f"The member of the archive is damaged: {_line(error)}"


def _line(error: Exception) -> str:
    """Return the text of an error without the names of members, which may be names of patients."""
    text = str(error).partition(" for file ")[0].partition("\n")[0]
    return text or type(error).__name__
