"""Segmentations: each segment has a colour (PS3.3 C.8.20.2, C.8.20.4)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.dicom.encoding.attribute_reader import AttributeReader
from app.errors import ImageFailure
from app.imaging.pixels.description import PixelDescription
from app.imaging.rendering.functional_groups import FrameValues
from app.imaging.rendering.lab import Rgb, numbered_colours, rgb_of_lab
from app.imaging.rendering.lookup_table import look_up, possible_values
from app.imaging.rendering.padding import Padding

_SEGMENTATION_TYPE: Final = 0x00620001
_SEGMENT_SEQUENCE: Final = 0x00620002
_SEGMENT_NUMBER: Final = 0x00620004
_RECOMMENDED_DISPLAY_CIELAB_VALUE: Final = 0x0062000D
_MAXIMUM_FRACTIONAL_VALUE: Final = 0x0062000E


class Segmentation:
    """Shows the frames of a segmentation in the colours of its segments, on black."""

    def __init__(self, attributes: AttributeReader, description: PixelDescription, kind: str) -> None:
        self._kind = kind
        self._padding = Padding.of(attributes, description)
        stated = (_colour(segment) for segment in attributes.items(_SEGMENT_SEQUENCE))
        self._colours = {number: colour for number, colour in stated if colour is not None and 0 <= number <= 0xFFFF}
        self._label_tables: dict[str, NDArray[np.uint8]] = {}
        largest = attributes.integer(_MAXIMUM_FRACTIONAL_VALUE, 255) if kind == "FRACTIONAL" else 1
        self._largest = max(1, largest)

    @classmethod
    def of(cls, attributes: AttributeReader, description: PixelDescription) -> Segmentation | None:
        """Return the segmentation of an instance. None for another image, and for one with colours of its own."""
        kind = attributes.text(_SEGMENTATION_TYPE)
        if kind not in ("BINARY", "FRACTIONAL", "LABELMAP") or description.photometric == "PALETTE COLOR":
            return None
        return cls(attributes, description, kind)

    def rgb(self, samples: NDArray[Any], values: FrameValues) -> NDArray[np.uint8]:
        """Return (rows, columns, 3). Raises `ImageFailure` for samples that are not integers of 8 or 16 bits."""
        if samples.dtype.kind not in "iu" or samples.dtype.itemsize > 2:
            raise ImageFailure("The pixels of a segmentation must be integers of 8 or 16 bits.")
        if self._kind == "LABELMAP":
            return look_up(self._label_colours(samples.dtype), samples)
        return look_up(self._shades_of(values.segment or 1, possible_values(samples.dtype)), samples)

    def _shades_of(self, segment: int, stored: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Return the colour of a segment for its largest value, darker for smaller values, and black for 0."""
        colour = self._colours.get(segment)
        brightest = numbered_colours(np.array([segment], np.float64)) if colour is None else np.array([colour])
        table: NDArray[np.uint8] = np.rint(np.clip(stored / self._largest, 0, 1)[:, None] * brightest).astype(np.uint8)
        return table

    def _label_colours(self, dtype: np.dtype[Any]) -> NDArray[np.uint8]:
        """Return the colour of each label. Label 0 and padding are black, unless 0 is the number of a segment."""
        table = self._label_tables.get(dtype.str)
        if table is None:
            labels = possible_values(dtype)
            table = numbered_colours(labels)
            table[labels == 0] = 0
            for number, colour in self._colours.items():
                if number < len(table):
                    table[number] = colour
            table[self._padding.mask(labels)] = 0
            self._label_tables[dtype.str] = table
        return table


def _colour(segment: AttributeReader) -> tuple[int, Rgb | None]:
    """Return the number of a segment and its colour, None if it states none, or black: nobody could see that."""
    lab = segment.numbers(_RECOMMENDED_DISPLAY_CIELAB_VALUE)[:3]
    return segment.integer(_SEGMENT_NUMBER, 0), rgb_of_lab(lab) if len(lab) == 3 and lab[0] > 0 else None
