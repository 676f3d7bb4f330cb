"""The region of a picture and its scale (PS3.18 §8.3.5.1.3).

Pixels that are not square are drawn in their true shape.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.errors import InvalidParameter
from app.imaging.rendering.parameters import Viewport
from app.imaging.rendering.picture import Picture

_REDUCING_GAP: Final = 1.0
"""A picture is first averaged by whole numbers to one to two times its size, then resampled. Averaging is fast."""


class _Region(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float


def apply_viewport(picture: Picture, viewport: Viewport) -> Picture:
    """Return the region of the picture, as large as possible within the viewport, in square pixels.

    A region beyond an edge ends at the edge. Raises `InvalidParameter` if no pixel is in the region.
    """
    rows, columns = picture.pixels.shape[:2]
    region = _region(viewport, rows, columns)
    size = _fitting(picture, region, viewport)
    if region == (0, 0, columns, rows) and size == (columns, rows):
        pixels = picture.pixels
    else:
        pixels = _resampled(picture, region, size)
    if viewport.mirror_horizontally:
        pixels = pixels[:, ::-1]
    if viewport.mirror_vertically:
        pixels = pixels[::-1]
    return Picture(pixels=np.ascontiguousarray(pixels), icc=picture.icc)


def fit(picture: Picture, width: int, height: int) -> Picture:
    """Return the whole picture in square pixels, reduced to this size. A small picture is not enlarged."""
    rows, columns = picture.pixels.shape[:2]
    vertical, horizontal = _aspect(picture)
    if rows * vertical <= height and columns * horizontal <= width:
        width, height = max(1, round(columns * horizontal)), max(1, round(rows * vertical))
    return apply_viewport(picture, Viewport(width, height))


def _region(viewport: Viewport, rows: int, columns: int) -> _Region:
    across, down = (columns, rows) if viewport.is_relative else (1, 1)
    left, top = viewport.left * across, viewport.top * down
    width = columns if viewport.region_width is None else viewport.region_width * across
    height = rows if viewport.region_height is None else viewport.region_height * down
    region = _Region(left, top, min(left + width, columns), min(top + height, rows))
    if not (region.left < region.right and region.top < region.bottom):
        raise InvalidParameter(
            "viewport", f"The region has no pixel of the image, which has {columns} columns and {rows} rows."
        )
    return region


def _aspect(picture: Picture) -> tuple[float, float]:
    """Return the height and the width of a pixel on the display. One of them is 1, the other one is larger."""
    vertical, horizontal = picture.pixel_aspect
    return max(1.0, vertical / horizontal), max(1.0, horizontal / vertical)


def _fitting(picture: Picture, region: _Region, viewport: Viewport) -> tuple[int, int]:
    """Return the columns and rows of the largest picture of a region that fits."""
    width, height = viewport.width, viewport.height
    vertical, horizontal = _aspect(picture)
    shown_width = (region.right - region.left) * horizontal
    shown_height = (region.bottom - region.top) * vertical
    scale = min(width / shown_width, height / shown_height)
    if not viewport.enlarges:
        scale = min(scale, 1.0)
    return min(width, max(1, round(shown_width * scale))), min(height, max(1, round(shown_height * scale)))


def _resampled(picture: Picture, region: _Region, size: tuple[int, int]) -> NDArray[np.uint8]:
    image = Image.fromarray(np.ascontiguousarray(picture.pixels))
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR, box=region, reducing_gap=_REDUCING_GAP))
