"""The start of a DICOM file that the gateway writes before a received dataset (PS3.10 §7.1)."""

from __future__ import annotations

import struct
from typing import Final

from app.dicom.encoding.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

_PREAMBLE: Final = b"\0" * 128 + b"DICM"


def file_start(*, sop_class: str, sop_instance: str, transfer_syntax: str) -> bytes:
    """Return preamble, prefix and file meta information. The dataset follows as it was received."""
    group = (
        struct.pack("<HH2sHL", 2, 1, b"OB", 0, 2)
        + b"\0\1"
        + _element(0x02, b"UI", sop_class)
        + _element(0x03, b"UI", sop_instance)
        + _element(0x10, b"UI", transfer_syntax)
        + _element(0x12, b"UI", IMPLEMENTATION_CLASS_UID)
        + _element(0x13, b"SH", IMPLEMENTATION_VERSION_NAME)
    )
    return _PREAMBLE + struct.pack("<HH2sHL", 2, 0, b"UL", 4, len(group)) + group


def _element(number: int, vr: bytes, text: str) -> bytes:
    value = text.encode("ascii", "replace")[:64]
    value += (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
    return struct.pack("<HH2sH", 2, number, vr, len(value)) + value
