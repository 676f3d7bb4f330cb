"""An 8-bit picture: the result of the rendering pipeline, and what is scaled, annotated and encoded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Pixels of one frame for a display: (rows, columns) for grey, where 0 is black, or (rows, columns, 3) for RGB.

    `pixel_aspect` is the height and the width of a pixel, in any unit; (1, 1) is a square. `icc` is the ICC profile
    that describes the colours of the pixels. None means that the pixels are sRGB, or grey.
    """

    pixels: NDArray[np.uint8]
    pixel_aspect: tuple[float, float] = (1.0, 1.0)
    icc: bytes | None = None
