"""Radiotherapy doses: a rainbow from no dose to the largest dose (PS3.3 C.8.8.3)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.dicom.encoding.attribute_reader import AttributeReader
from app.imaging.rendering.functional_groups import FrameValues

RT_DOSE: Final = "1.2.840.10008.5.1.4.1.1.481.2"

_DOSE_GRID_SCALING: Final = 0x3004000E
_PLACES: Final = (0, 25, 90, 130, 180, 255)
_COLOURS: Final = ((0, 0, 0), (0, 0, 160), (0, 200, 255), (0, 220, 60), (255, 230, 0), (255, 0, 0))
"""Black, blue, cyan, green, yellow and red, at these shades of gray."""


def dose_values(attributes: AttributeReader, values: FrameValues) -> FrameValues:
    """Return the values of a frame whose modality values are doses: stored values times Dose Grid Scaling."""
    return replace(values, slope=attributes.number(_DOSE_GRID_SCALING), intercept=0.0)


def dose_colours() -> NDArray[np.uint8]:
    """Return (256, 3): the RGB of each shade of gray."""
    shades = np.arange(256)
    channels = [np.interp(shades, _PLACES, [colour[index] for colour in _COLOURS]) for index in range(3)]
    return np.rint(np.stack(channels, axis=1)).astype(np.uint8)
