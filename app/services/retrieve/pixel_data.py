"""The pixel data of a transcoded file: its header, and its value frame by frame (PS3.5 §8, §A.4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from app.dicom.encoding import transcode
from app.dicom.encoding.elements import ITEM, SEQUENCE_END
from app.dicom.encoding.part10 import DOUBLE_FLOAT_PIXEL_DATA, FLOAT_PIXEL_DATA, PIXEL_DATA
from app.imaging.pixels.description import PixelDescription

if TYPE_CHECKING:
    from app.imaging.pixels.frame import EncodedFrame


MAX_VALUE_BYTES: Final = 0xFFFFFFFE
"""The largest length of a value. 0xFFFFFFFF is the undefined length, and lengths are even (PS3.5 §7.1.1)."""


def native_bytes(description: PixelDescription) -> int:
    """Return the bytes of one frame in Explicit VR Little Endian, with all samples of each pixel."""
    return (_bits(description) + 7) // 8


def fits_one_value(description: PixelDescription, count: int) -> bool:
    """Return whether native pixel data can hold `count` frames that are written one by one.

    Its length has 32 bits (PS3.5 §7.1). Frames of packed bits have no gaps between them (PS3.5 §8.1.1). So each of
    several frames must end with a byte.
    """
    ends_with_a_byte = count == 1 or _bits(description) % 8 == 0
    return ends_with_a_byte and native_bytes(description) * count <= MAX_VALUE_BYTES


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
