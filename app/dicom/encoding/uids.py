"""UIDs, and the transfer syntaxes that they identify (PS3.5 §9, PS3.6 Table A-1)."""

from __future__ import annotations

import re
from typing import NamedTuple

from app.errors import InvalidIdentifier

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED_LITTLE = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
ENCAPSULATED_UNCOMPRESSED = "1.2.840.10008.1.2.1.98"
RLE_LOSSLESS = "1.2.840.10008.1.2.5"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"

IMPLEMENTATION_CLASS_UID = "2.25.295775631924253984506838547359574651670"
"""The UID of this program in the file meta information that it writes (PS3.10 §7.1)."""
IMPLEMENTATION_VERSION_NAME = "BULKHEAD"

PADDING = " \0"

_UID = re.compile(r"[0-9.]{0,63}[0-9] *")


class TransferSyntax(NamedTuple):
    """A transfer syntax: explicit or implicit VRs, byte order, encapsulated pixel data, deflated dataset."""

    uid: str
    name: str
    explicit: bool = True
    little: bool = True
    encapsulated: bool = False
    deflated: bool = False


def is_uid(text: str) -> bool:
    """Tell whether `text` is a UID: at most 64 digits and dots, the last one a digit (conformance §3.7).

    Trailing spaces do not count. Leading zeros and repeated dots are accepted, because they are common in archives.
    """
    return _UID.fullmatch(text) is not None


def clean_uid(text: str, name: str) -> str:
    """Return a UID without trailing spaces and NULs. Raises `InvalidIdentifier` for other text (conformance §3.7)."""
    uid = text.rstrip(PADDING)
    if not is_uid(uid):
        raise InvalidIdentifier(name)
    return uid


def transfer_syntax(uid: str) -> TransferSyntax:
    """Return the transfer syntax of a UID. An unknown one counts as encapsulated Explicit VR Little Endian.

    PS3.5 §10 requires this of every syntax except the native ones.
    """
    return _BY_UID.get(uid) or TransferSyntax(uid, "Unknown", encapsulated=True)


_NATIVE = (
    TransferSyntax(IMPLICIT_LITTLE, "Implicit VR Little Endian", explicit=False),
    TransferSyntax(EXPLICIT_LITTLE, "Explicit VR Little Endian"),
    TransferSyntax(DEFLATED_LITTLE, "Deflated Explicit VR Little Endian", deflated=True),
    TransferSyntax(EXPLICIT_BIG, "Explicit VR Big Endian", little=False),
)
_ENCAPSULATED = {
    ENCAPSULATED_UNCOMPRESSED: "Encapsulated Uncompressed Explicit VR Little Endian",
    JPEG_BASELINE: "JPEG Baseline (Process 1)",
    JPEG_EXTENDED: "JPEG Extended (Process 2 & 4)",
    "1.2.840.10008.1.2.4.57": "JPEG Lossless, Non-Hierarchical (Process 14)",
    "1.2.840.10008.1.2.4.70": "JPEG Lossless, Non-Hierarchical, First-Order Prediction",
    "1.2.840.10008.1.2.4.80": "JPEG-LS Lossless",
    "1.2.840.10008.1.2.4.81": "JPEG-LS Lossy (Near-Lossless)",
    JPEG_2000_LOSSLESS: "JPEG 2000 (Lossless Only)",
    "1.2.840.10008.1.2.4.91": "JPEG 2000",
    "1.2.840.10008.1.2.4.92": "JPEG 2000 Part 2 Multi-component (Lossless Only)",
    "1.2.840.10008.1.2.4.93": "JPEG 2000 Part 2 Multi-component",
    "1.2.840.10008.1.2.4.100": "MPEG2 Main Profile / Main Level",
    "1.2.840.10008.1.2.4.101": "MPEG2 Main Profile / High Level",
    "1.2.840.10008.1.2.4.102": "MPEG-4 AVC/H.264 High Profile",
    "1.2.840.10008.1.2.4.103": "MPEG-4 AVC/H.264 BD-compatible High Profile",
    "1.2.840.10008.1.2.4.104": "MPEG-4 AVC/H.264 High Profile For 2D Video",
    "1.2.840.10008.1.2.4.105": "MPEG-4 AVC/H.264 High Profile For 3D Video",
    "1.2.840.10008.1.2.4.106": "MPEG-4 AVC/H.264 Stereo High Profile",
    "1.2.840.10008.1.2.4.107": "HEVC/H.265 Main Profile",
    "1.2.840.10008.1.2.4.108": "HEVC/H.265 Main 10 Profile",
    "1.2.840.10008.1.2.4.110": "JPEG XL Lossless",
    "1.2.840.10008.1.2.4.111": "JPEG XL JPEG Recompression",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
    "1.2.840.10008.1.2.4.201": "High-Throughput JPEG 2000 (Lossless Only)",
    "1.2.840.10008.1.2.4.202": "High-Throughput JPEG 2000 with RPCL Options (Lossless Only)",
    "1.2.840.10008.1.2.4.203": "High-Throughput JPEG 2000",
    RLE_LOSSLESS: "RLE Lossless",
}
VIDEO = frozenset(
    f"1.2.840.10008.1.2.4.{number}{fragmentable}" for number in range(100, 109) for fragmentable in ("", ".1")
)
"""MPEG-2, MPEG-4 and HEVC, which encode all frames as one stream. With `.1` the stream may have several fragments."""

TRANSFER_SYNTAXES = _NATIVE + tuple(TransferSyntax(uid, name, encapsulated=True) for uid, name in _ENCAPSULATED.items())
_BY_UID = {syntax.uid: syntax for syntax in TRANSFER_SYNTAXES}
