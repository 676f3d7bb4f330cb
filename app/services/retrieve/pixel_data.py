"""The pixel data of a transcoded file: its header, and its value frame by frame (PS3.5 §8, §A.4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from app.dicom.encoding import transcode
from app.dicom.encoding.elements import ITEM, SEQUENCE_END
from app.dicom.encoding.part10 import DOUBLE_FLOAT_PIXEL_DATA, FLOAT_PIXEL_DATA, PIXEL_DATA
from app.imaging.pixels.description import PixelDescription

if TYPE_CHECKING:
    from app.imaging.pixels.frame import EncodedFrame


def native_bytes(description: PixelDescription) -> int:
    """Return the bytes of one frame in Explicit VR Little Endian, with all samples of each pixel."""
    return (_bits(description) + 7) // 8


def fills_bytes(description: PixelDescription) -> bool:
    """Return whether a native frame ends at the end of a byte."""
    return _bits(description) % 8 == 0


def _bits(description: PixelDescription) -> int:
    return description.rows * description.columns * description.samples * description.bits_allocated


def native_pixel_data(description: PixelDescription) -> tuple[int, str]:
    """Return the tag and the VR of native pixel data in explicit VRs (PS3.5 §8.1.2, §A.2)."""
    if description.floating:
        return (FLOAT_PIXEL_DATA, "OF") if description.bits_allocated == 32 else (DOUBLE_FLOAT_PIXEL_DATA, "OD")
    return PIXEL_DATA, "OB" if description.bits_allocated <= 8 else "OW"


def native_value(frames: Iterator[EncodedFrame], size: int) -> Iterator[bytes]:
    for frame in frames:
        yield frame.data
    if size % 2:
        yield b"\0"


def encapsulated_value(frames: Iterator[EncodedFrame], count: int) -> Iterator[bytes]:
    """Yield encapsulated pixel data, one fragment for each frame (PS3.5 §A.4).

    The basic offset table of one frame is complete. That of several frames is empty: their offsets are known only after
    the last one is encoded, and with one fragment for each frame a reader needs no offsets.
    """
    yield transcode.item_header(ITEM, 4) + bytes(4) if count == 1 else transcode.item_header(ITEM)
    for frame in frames:
        padding = len(frame.data) % 2
        yield transcode.item_header(ITEM, len(frame.data) + padding) + frame.data + bytes(padding)
    yield transcode.item_header(SEQUENCE_END)
