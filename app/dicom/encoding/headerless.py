"""Files without the start of a DICOM file: no preamble, no `DICM`, or no file meta information (PS3.10 §7.1).

Some devices write such files, and clients send a dataset from memory in this form. The archive adds what is missing.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Final

from app.dicom.encoding.elements import ENCODINGS, Encoding
from app.dicom.encoding.reader import ElementReader
from app.dicom.encoding.uids import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLEMENTATION_CLASS_UID, IMPLICIT_LITTLE
from app.dicom.encoding.vr import LONG_FORM, SHORT_FORM
from app.errors import InvalidInstance

PREAMBLE: Final = bytes(128)
MAGIC: Final = b"DICM"
NEEDED: Final = len(PREAMBLE) + len(MAGIC)
"""The bytes of the start of a file, by which it is known to be a Part 10 file."""

_CLASS: Final = 0x00080016
_INSTANCE: Final = 0x00080018


def missing_start(head: bytes) -> bytes:
    """Return the bytes to put before a file so that it is a Part 10 file; none if it is one, or no DICOM at all.

    `head` is the start of the file, or all of it. A file is DICOM if its first element is a readable element of group
    0002 or 0008. SOP Class UID and SOP Instance UID are in the new meta group if they are in `head`. One byte of
    padding may precede group 0008: some programs remove the meta group without the last byte of its padding.
    """
    if head[len(PREAMBLE) : NEEDED] == MAGIC:
        return b""
    if head.startswith(MAGIC):
        return PREAMBLE
    if head[:2] == b"\x02\0" and head[4:6] in SHORT_FORM.keys() | LONG_FORM.keys():
        return PREAMBLE + MAGIC
    stray = int(likely_transfer_syntax(head[:8]) is None and head[:1] in (b" ", b"\0"))
    syntax = likely_transfer_syntax(head[stray : stray + 8])
    if syntax is None or not _reads(head, stray, syntax):
        return b""
    return PREAMBLE + MAGIC + _meta(head, stray, syntax)


def likely_transfer_syntax(header: bytes) -> str | None:
    """Return the UID of the uncompressed transfer syntax that an element header of group 0008 has. None for others."""
    if len(header) < 8:
        return None
    explicit = header[4:6] in SHORT_FORM or header[4:6] in LONG_FORM
    if header[:2] == b"\x08\0":
        return EXPLICIT_LITTLE if explicit else IMPLICIT_LITTLE
    return EXPLICIT_BIG if header[:2] == b"\0\x08" and explicit else None


def _encoding(syntax: str) -> Encoding:
    return ENCODINGS[syntax != IMPLICIT_LITTLE, syntax != EXPLICIT_BIG]


def _reads(head: bytes, start: int, syntax: str) -> bool:
    """Tell whether the value of the first element ends within `head`."""
    encoding = _encoding(syntax)
    if encoding.explicit and head[start + 4 : start + 6] in SHORT_FORM:
        length = int(encoding.header.unpack_from(head, start)[3])
        return start + 8 + length <= len(head)
    if encoding.explicit:
        return start + 12 <= len(head)
    return start + 8 + int(encoding.number.unpack_from(head, start + 4)[0]) <= len(head)


def _meta(head: bytes, stray: int, syntax: str) -> bytes:
    """Return a meta group for a dataset. Its last value includes the `stray` bytes before the dataset."""
    reader = ElementReader(head, len(head))
    with suppress(InvalidInstance):  # the head ends within the dataset
        reader.dataset(stray, len(head), _encoding(syntax))
    found = {each.tag: each.value for each in reader.top if isinstance(each.value, bytes)}
    name = b"BULKHEAD1" if stray else b"BULKHEAD"
    group = (
        struct.pack("<HH2sHL", 2, 1, b"OB", 0, 2)
        + b"\0\1"
        + _uid(2, found.get(_CLASS, b""))
        + _uid(3, found.get(_INSTANCE, b""))
        + _uid(0x10, syntax.encode())
        + _uid(0x12, IMPLEMENTATION_CLASS_UID.encode())
        + struct.pack("<HH2sH", 2, 0x13, b"SH", len(name) + stray)
        + name
    )
    return struct.pack("<HH2sHL", 2, 0, b"UL", 4, len(group) + stray) + group


def _uid(number: int, value: bytes) -> bytes:
    value = value[:64]
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HH2sH", 2, number, b"UI", len(value)) + value
