"""ZIP files that are made while they are sent (conformance §15.1)."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterator

import pytest

from app.web.response.zip_stream import ZipEntry, zip_chunks


def test_the_entries_come_as_they_are() -> None:
    entries = [ZipEntry("a/b.dcm", 3, [b"ab", b"c"]), ZipEntry("empty", 0, [])]
    archive = zipfile.ZipFile(io.BytesIO(b"".join(zip_chunks(entries))))
    assert archive.testzip() is None
    assert [(each.filename, archive.read(each)) for each in archive.infolist()] == [("a/b.dcm", b"abc"), ("empty", b"")]


def test_a_zip_file_without_entries_is_valid() -> None:
    assert zipfile.ZipFile(io.BytesIO(b"".join(zip_chunks([])))).namelist() == []


def test_no_entry_is_read_before_its_turn() -> None:
    read: list[str] = []

    def chunks(name: str) -> Iterator[bytes]:
        read.append(name)
        yield b"x" * 1000

    stream = zip_chunks(ZipEntry(name, 1000, chunks(name)) for name in ("first", "second"))
    assert len(next(stream)) < 1200
    assert read == ["first"]


def test_a_fault_of_an_entry_ends_the_stream() -> None:
    def broken() -> Iterator[bytes]:
        yield b"x"
        raise OSError

    stream = zip_chunks([ZipEntry("a", 2, broken())])
    next(stream)
    with pytest.raises(OSError, match=r"^$"):
        next(stream)


def test_a_large_entry_has_the_fields_of_zip64() -> None:
    """The extra field 0x0001 of the local header says that the sizes after the bytes have 8 bytes (APPNOTE §4.5.3)."""
    head = next(zip_chunks([ZipEntry("large", 3 << 30, [b"x"])]))
    name_length, extra_length = struct.unpack("<HH", head[26:30])
    extra = head[30 + name_length : 30 + name_length + extra_length]
    assert extra[:2] == b"\x01\x00"
