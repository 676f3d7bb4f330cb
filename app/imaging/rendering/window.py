"""Windows: the part of the values that is spread over the grays of the display (PS3.3 C.11.2.1.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.dicom.encoding.attribute_reader import AttributeReader
from app.imaging.rendering.parameters import Window, WindowFunction

Doubles = NDArray[np.float64]

WINDOW_CENTER: Final = 0x00281050
WINDOW_WIDTH: Final = 0x00281051
VOI_LUT_FUNCTION: Final = 0x00281056

_NAMES: Final[dict[str, WindowFunction]] = {"LINEAR_EXACT": "linear-exact", "SIGMOID": "sigmoid"}
_LARGEST: Final = 1e300
"""Windows beyond it are ignored, because the arithmetic with them has no finite result."""


def usable(window: Window) -> bool:
    """Return False for a width of 0 or less, and for numbers that are not finite or too large."""
    return 0 < window.width < _LARGEST > abs(window.center)


def window_between(low: float, high: float) -> Window:
    """Return the window that shows `low` as black and `high` as white.

    If `high` is not above `low`, the window lies between 0 and the value.
    """
    if not low < high:
        low, high = (min(low, 0.0), max(low, 0.0)) if low else (0.0, 1.0)
    return Window(low / 2 + high / 2, high - low, "linear-exact")


def window_of(attributes: AttributeReader) -> Window | None:
    """Return the first window of a dataset or item, None if there is none that can be used.

    An unknown VOI LUT Function is LINEAR.
    """
    center, width = attributes.number(WINDOW_CENTER), attributes.number(WINDOW_WIDTH)
    if center is None or width is None:
        return None
    window = Window(center, width, _NAMES.get(attributes.text(VOI_LUT_FUNCTION), "linear"))
    return window if usable(window) else None


def windowed(values: Doubles, window: Window) -> Doubles:
    """Return the values on the scale 0 to 1. Doubles outside of the window are 0 or 1.

    A LINEAR window narrower than 1 is computed as LINEAR_EXACT, because PS3.3 C.11.2.1.2.1 defines none.
    """
    function = window.function
    if function == "linear" and window.width < 1:
        function = "linear-exact"
    with np.errstate(all="ignore"):
        return _FUNCTIONS[function](values, window.center, window.width)


def _linear(values: Doubles, center: float, width: float) -> Doubles:
    if width == 1:
        return (values > center - 0.5).astype(np.float64)
    return _ramp(values, center - 0.5, width - 1)


def _ramp(values: Doubles, center: float, width: float) -> Doubles:
    scaled = values - center
    scaled /= width
    scaled += 0.5
    np.clip(scaled, 0, 1, out=scaled)
    return scaled


def _sigmoid(values: Doubles, center: float, width: float) -> Doubles:
    exponent = np.clip((values - center) * (-4 / width), -700, 700)
    shares: Doubles = 1 / (1 + np.exp(exponent))
    return shares


_FUNCTIONS: Final[dict[WindowFunction, Callable[[Doubles, float, float], Doubles]]] = {
    "linear": _linear,
    "linear-exact": _ramp,
    "sigmoid": _sigmoid,
}
