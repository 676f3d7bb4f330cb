"""Overlays: bitmaps that are drawn in white on a picture (PS3.3 C.9.2, C.9.3)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.dicom.encoding.attribute_reader import AttributeReader
from app.dicom.encoding.uids import transfer_syntax
from app.imaging.pixels.description import PixelDescription

_GROUPS: Final = range(0x60000000, 0x60200000, 0x20000)
_ROWS: Final = 0x0010
_COLUMNS: Final = 0x0011
_NUMBER_OF_FRAMES: Final = 0x0015
_ORIGIN: Final = 0x0050
_IMAGE_FRAME_ORIGIN: Final = 0x0051
_BITS_ALLOCATED: Final = 0x0100
_BIT_POSITION: Final = 0x0102
_DATA: Final = 0x3000

_WORD: Final = Struct("<H")
_TWO_WORDS: Final = Struct("<2h")
_BLOCK: Final = 1 << 20
"""About how many bits of an overlay are unpacked at once."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Overlay:
    """One overlay plane. `top` and `left` say where its first bit is, counted from the first pixel as 0.

    It belongs to `frames` frames of the image from `first_frame` on, to all if `frames` is None. `bit` is the bit of
    the pixel data that has the overlay; None if Overlay Data has it.
    """

    group: int
    rows: int
    columns: int
    top: int
    left: int
    frames: int | None
    first_frame: int
    bit: int | None

    def index(self, number: int) -> int | None:
        """Return the number, counted from 0, of the overlay frame for a frame of the image. None if it has none."""
        if self.frames is None:
            return 0
        index = number - self.first_frame
        return index if 0 <= index < self.frames else None


class Overlays:
    """The overlays of an instance. Overlays whose size or place makes no sense are ignored."""

    def __init__(self, attributes: AttributeReader, description: PixelDescription) -> None:
        self._attributes = attributes
        self._description = description
        found = (_overlay(attributes, description, group) for group in _GROUPS if group | _ROWS in attributes)
        self._overlays = [overlay for overlay in found if overlay is not None]

    @property
    def in_pixel_data(self) -> bool:
        """True if an overlay is in bits of native pixel data that the samples do not use (retired in 2004)."""
        if transfer_syntax(self._description.transfer_syntax).encapsulated:
            return False
        return any(overlay.bit is not None for overlay in self._overlays)

    def mask(self, number: int, words: NDArray[Any] | None) -> Mask | None:
        """Return (rows, columns): True where an overlay of a frame is drawn. None if the frame has no overlay.

        `words` are the words of the pixel data of a native frame, with all their bits. Overlays in pixel data are left
        out without them.
        """
        mask: Mask | None = None
        for overlay in self._overlays:
            index = overlay.index(number)
            if index is None or (overlay.bit is not None and words is None):
                continue
            if mask is None:
                mask = np.zeros((self._description.rows, self._description.columns), np.bool_)
            if overlay.bit is None:
                self._add_data(mask, overlay, index)
            elif words is not None:
                mask |= (words.reshape(mask.shape) >> overlay.bit & 1).astype(np.bool_)
        return mask

    def _add_data(self, mask: Mask, overlay: _Overlay, index: int) -> None:
        """Set the pixels of Overlay Data. Bits outside of the picture and missing bits are left out."""
        rows, columns = mask.shape
        first, last = max(0, -overlay.top), min(overlay.rows, rows - overlay.top)
        left, right = max(0, -overlay.left), min(overlay.columns, columns - overlay.left)
        if left >= right:
            return
        step = max(1, _BLOCK // overlay.columns)
        for row in range(first, last, step):
            bits = self._bits(overlay, index * overlay.rows + row, min(step, last - row))
            place = mask[row + overlay.top : row + overlay.top + len(bits), left + overlay.left : right + overlay.left]
            place |= bits[:, left:right]
            if len(bits) < min(step, last - row):
                break  # the data ends here

    def _bits(self, overlay: _Overlay, row: int, count: int) -> Mask:
        """Return whole rows of Overlay Data: `count`, or fewer if the data ends before."""
        start, stop = row * overlay.columns, (row + count) * overlay.columns
        # Words of two bytes are swapped in big endian, so the part begins and ends between words.
        begin = start // 16 * 2
        data = self._attributes.part(overlay.group | _DATA, begin, (stop + 15) // 16 * 2)
        bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")[start - begin * 8 : stop - begin * 8]
        whole = bits.size // overlay.columns
        return bits[: whole * overlay.columns].reshape(whole, overlay.columns).astype(np.bool_)


def _overlay(attributes: AttributeReader, description: PixelDescription, group: int) -> _Overlay | None:
    rows, columns = _number(attributes, group | _ROWS), _number(attributes, group | _COLUMNS)
    origin = attributes.part(group | _ORIGIN, 0, 4)
    top, left = _TWO_WORDS.unpack(origin) if len(origin) == 4 else (1, 1)
    bit = None if attributes.length(group | _DATA) else _number(attributes, group | _BIT_POSITION)
    if not rows or not columns or (bit is not None and not _is_unused(bit, rows, columns, description)):
        return None
    several = group | _NUMBER_OF_FRAMES in attributes or group | _IMAGE_FRAME_ORIGIN in attributes
    in_frames = several and bit is None
    return _Overlay(
        group=group,
        rows=rows,
        columns=columns,
        top=top - 1,
        left=left - 1,
        frames=max(1, attributes.integer(group | _NUMBER_OF_FRAMES, 1)) if in_frames else None,
        first_frame=max(1, _number(attributes, group | _IMAGE_FRAME_ORIGIN)),
        bit=bit,
    )


def _is_unused(bit: int, rows: int, columns: int, description: PixelDescription) -> bool:
    """Return True if the samples of an image of the same size do not use a bit of the pixel data."""
    if description.floating or description.samples != 1 or (rows, columns) != (description.rows, description.columns):
        return False
    lowest = description.high_bit - description.bits_stored + 1
    return bit < description.bits_allocated and not lowest <= bit <= description.high_bit


def _number(attributes: AttributeReader, tag: int) -> int:
    """Return a word of VR US, 0 if it is absent."""
    data = attributes.part(tag, 0, 2)
    return int(_WORD.unpack(data)[0]) if len(data) == 2 else 0


def draw(pixels: NDArray[np.uint8], mask: Mask) -> NDArray[np.uint8]:
    """Return a copy of a picture that is white where `mask` is True."""
    white = mask if pixels.ndim == 2 else mask[..., None]
    return np.where(white, np.uint8(255), pixels)


def every_step(mask: Mask, step: int) -> Mask:
    """Return a mask for each `step`th row and column. A line that falls between them moves up or left."""
    if step == 1:
        return mask
    rows, columns = mask.shape
    padded = np.pad(mask, ((0, -rows % step), (0, -columns % step)))
    blocks = padded.reshape(padded.shape[0] // step, step, -1, step)
    reduced: Mask = np.logical_or.reduce(blocks, axis=(1, 3))
    return reduced
