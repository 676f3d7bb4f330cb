"""Pixel padding: samples outside of the part of a frame that has an image (PS3.3 C.7.5.1.1.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.dicom.encoding.attribute_reader import AttributeReader
from app.imaging.pixels.description import PixelDescription

_PIXEL_PADDING_VALUE: Final = 0x00280120
_PIXEL_PADDING_RANGE_LIMIT: Final = 0x00280121
_FLOAT_PIXEL_PADDING_VALUE: Final = 0x00280122
_DOUBLE_FLOAT_PIXEL_PADDING_VALUE: Final = 0x00280123
_FLOAT_PIXEL_PADDING_RANGE_LIMIT: Final = 0x00280124
_DOUBLE_FLOAT_PIXEL_PADDING_RANGE_LIMIT: Final = 0x00280125


@dataclass(frozen=True, slots=True)
class Padding:
    """The stored values from `low` to `high` are padding, both included. None is padding if `low` is None."""

    low: float | None
    high: float = 0.0

    @classmethod
    def of(cls, attributes: AttributeReader, description: PixelDescription) -> Padding:
        """Return the padding of an instance. The range limit may be on either side of the value."""
        if not description.floating:
            value = _word(attributes, _PIXEL_PADDING_VALUE, description.signed)
            limit = _word(attributes, _PIXEL_PADDING_RANGE_LIMIT, description.signed)
        elif description.bits_allocated == 32:
            value = attributes.number(_FLOAT_PIXEL_PADDING_VALUE)
            limit = attributes.number(_FLOAT_PIXEL_PADDING_RANGE_LIMIT)
        else:
            value = attributes.number(_DOUBLE_FLOAT_PIXEL_PADDING_VALUE)
            limit = attributes.number(_DOUBLE_FLOAT_PIXEL_PADDING_RANGE_LIMIT)
        if value is None:
            return cls(None)
        limit = value if limit is None else limit
        return cls(min(value, limit), max(value, limit))

    def mask(self, stored: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return True for the values that are padding."""
        if self.low is None:
            return np.zeros(stored.shape, np.bool_)
        return (stored >= self.low) & (stored <= self.high)


def _word(attributes: AttributeReader, tag: int, signed: bool) -> float | None:
    """Return a word of VR US or SS. The pixels decide on its sign, because many files have the wrong VR."""
    data = attributes.data(tag)
    return float(int.from_bytes(data[:2], "little", signed=signed)) if len(data) >= 2 else None
