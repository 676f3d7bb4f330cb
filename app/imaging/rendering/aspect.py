"""The shape of a pixel: its height and width (PS3.3 C.7.6.3.1.7, C.7.6.2.1.1)."""

from __future__ import annotations

from typing import Final

from app.dicom.encoding.attribute_reader import AttributeReader
from app.imaging.rendering.functional_groups import FrameValues

_IMAGER_PIXEL_SPACING: Final = 0x00181164
_NOMINAL_SCANNED_PIXEL_SPACING: Final = 0x00182010
_PIXEL_ASPECT_RATIO: Final = 0x00280034

_LARGEST_RATIO: Final = 16.0
"""Pixels that are longer in one direction are taken for an error. The bound keeps scaled pictures small."""


def pixel_aspect(attributes: AttributeReader, values: FrameValues) -> tuple[float, float]:
    """Return the height and the width of a pixel of a frame, in any unit.

    They come from the first of Pixel Spacing, the spacings of projection and scanned images, and Pixel Aspect Ratio
    that has two plausible values. Otherwise a pixel is a square.
    """
    spacing = values.spacing
    if spacing and _plausible(spacing):
        return spacing
    for tag in (_IMAGER_PIXEL_SPACING, _NOMINAL_SCANNED_PIXEL_SPACING, _PIXEL_ASPECT_RATIO):
        numbers = attributes.numbers(tag) if tag in attributes else []
        if len(numbers) >= 2 and _plausible((numbers[0], numbers[1])):
            return numbers[0], numbers[1]
    return 1.0, 1.0


def _plausible(spacing: tuple[float, float]) -> bool:
    height, width = spacing
    return 0 < height <= width * _LARGEST_RATIO and 0 < width <= height * _LARGEST_RATIO < float("inf")
