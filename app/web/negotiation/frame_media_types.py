"""Media types of compressed frames and their transfer syntaxes (PS3.18 Table 8.7.3-5)."""

from __future__ import annotations

from typing import Final


def _video(*numbers: int) -> tuple[str, ...]:
    """Return each transfer syntax of a video, and its form for streams of several fragments."""
    return tuple(f"1.2.840.10008.1.2.4.{number}{suffix}" for number in numbers for suffix in ("", ".1"))


FRAME_MEDIA_TYPES: Final = {
    "image/jpeg": (
        "1.2.840.10008.1.2.4.70",
        "1.2.840.10008.1.2.4.50",
        "1.2.840.10008.1.2.4.51",
        "1.2.840.10008.1.2.4.57",
    ),
    "image/dicom-rle": ("1.2.840.10008.1.2.5",),
    "image/jls": ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"),
    "image/jp2": ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"),
    "image/jpx": ("1.2.840.10008.1.2.4.92", "1.2.840.10008.1.2.4.93"),
    "image/jphc": ("1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203"),
    "image/jxl": ("1.2.840.10008.1.2.4.110", "1.2.840.10008.1.2.4.111", "1.2.840.10008.1.2.4.112"),
    "video/mpeg": _video(100, 101),
    "video/mp4": _video(102, 103, 104, 105, 106),
    "video/H265": ("1.2.840.10008.1.2.4.107", "1.2.840.10008.1.2.4.108"),
}
"""The transfer syntaxes of each media type, the default first. A media type is spelt as answers spell it."""
