"""Colours that DICOM states as CIELab values (PS3.3 C.10.7.1.1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_WHITE = (0.9642, 1.0, 0.8249)
"""The white of the profile connection space, D50, as XYZ."""
_FROM_XYZ = (
    (3.1338561, -1.6168667, -0.4906146),
    (-0.9787684, 1.9161415, 0.0334540),
    (0.0719453, -0.2289914, 1.4052427),
)
"""XYZ of D50 to the linear light of sRGB."""
_GOLDEN = 0.618034
"""The part of the circle of hues between two numbers. Successive colours differ clearly."""
_SATURATION = 0.75

Rgb = tuple[int, int, int]


def rgb_of_lab(words: Sequence[float]) -> Rgb:
    """Return the sRGB colour of three words: L* from 0 to 100, a* and b* from -128 to 127, each on 0 to 65535.

    A colour outside of sRGB is replaced by one near it.
    """
    lightness, a, b = (min(max(word, 0.0), 65535.0) / 65535 for word in words)
    y = (lightness * 100 + 16) / 116
    xyz = [
        white * _cubed(value)
        for white, value in zip(_WHITE, (y + (a * 255 - 128) / 500, y, y - (b * 255 - 128) / 200), strict=True)
    ]
    red, green, blue = (
        _encoded(sum(factor * value for factor, value in zip(row, xyz, strict=True))) for row in _FROM_XYZ
    )
    return red, green, blue


def numbered_colours(numbers: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return (numbers, 3): a bright colour for each number. The same number always has the same colour."""
    sixths = np.array([5, 3, 1]) + (numbers[:, None] * _GOLDEN % 1) * 6
    places = sixths % 6
    shares = 1 - _SATURATION * np.clip(np.minimum(places, 4 - places), 0, 1)
    return np.rint(shares * 255).astype(np.uint8)


def _cubed(value: float) -> float:
    return value**3 if value > 6 / 29 else 3 * (6 / 29) ** 2 * (value - 4 / 29)


def _encoded(light: float) -> int:
    """Return linear light as a byte of sRGB (IEC 61966-2-1)."""
    light = min(max(light, 0.0), 1.0)
    return round(255 * (12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055))
