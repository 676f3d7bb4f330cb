"""Part 10 bytes made by hand, for files that no writer makes."""

from __future__ import annotations

import struct

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
UNDEFINED = 0xFFFFFFFF
LONG = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}
ITEM_END = b"\xfe\xff\x0d\xe0\0\0\0\0"
SEQUENCE_END = b"\xfe\xff\xdd\xe0\0\0\0\0"


def element(tag: int, vr: str, value: bytes = b"", length: int | None = None) -> bytes:
    """Return an element in Explicit VR Little Endian. `length` replaces the true length."""
    claimed = len(value) if length is None else length
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode()
    return head + (struct.pack("<HL", 0, claimed) if vr in LONG else struct.pack("<H", claimed)) + value


def implicit(tag: int, value: bytes = b"", length: int | None = None) -> bytes:
    """Return an element in Implicit VR Little Endian. `length` replaces the true length."""
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value) if length is None else length) + value


def item(value: bytes, length: int | None = None) -> bytes:
    """Return a sequence item or a fragment. With `UNDEFINED` length it ends with its delimiter."""
    return implicit(0xFFFEE000, value, length) + (ITEM_END if length == UNDEFINED else b"")


def part10(dataset: bytes, syntax: str = EXPLICIT) -> bytes:
    """Return the dataset as a Part 10 file."""
    uid = syntax.encode() + b"\0" * (len(syntax) % 2)
    meta = element(0x00020010, "UI", uid)
    return bytes(128) + b"DICM" + element(0x00020000, "UL", struct.pack("<L", len(meta))) + meta + dataset
