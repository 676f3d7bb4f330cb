"""Drawings as pixels."""

from __future__ import annotations

import math
from io import BytesIO
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from app.imaging.documents.drawing import (
    FINE_GRID,
    FINE_WIDTH,
    GRID,
    GRID_WIDTH,
    INK,
    LABEL,
    PAPER,
    TRACE_WIDTH,
    Drawing,
    Grid,
)
from app.imaging.documents.kinds import PNG

PIXELS_PER_MM: Final = 8.0
"""About 200 dots per inch. A very tall drawing has fewer."""
_SCALE: Final = 2
"""Lines are drawn larger and reduced, because Pillow draws no smooth ones."""
_MAX_PIXELS: Final = 12_000_000
"""The largest number of pixels that are drawn, before they are reduced. It bounds memory to 36 MB."""


def picture(
    drawing: Drawing, media_type: str, *, width: int | None = None, height: int | None = None, quality: int = 100
) -> bytes:
    """Return a drawing as PNG or as JPEG of a quality of 1 to 100.

    It fits into `width` and `height`, in pixels, if they are given.
    """
    image = _drawn(drawing)
    limit = (width or image.width, height or image.height)
    factor = min(limit[0] / image.width, limit[1] / image.height, 1.0)
    if factor < 1:
        size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
        image = image.resize(size, Image.Resampling.LANCZOS)
    out = BytesIO()
    if media_type == PNG:
        image.save(out, "PNG")
    else:
        image.save(out, "JPEG", quality=quality, subsampling=0)
    return out.getvalue()


def _drawn(drawing: Drawing) -> Image.Image:
    most = math.sqrt(_MAX_PIXELS / (drawing.width * drawing.height))
    scale = min(PIXELS_PER_MM * _SCALE, most)
    size = (max(_SCALE, round(drawing.width * scale)), max(_SCALE, round(drawing.height * scale)))
    image = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(image)
    for grid in drawing.grids:
        _draw_grid(draw, grid, scale)
    width = max(1, round(TRACE_WIDTH * scale))
    for trace in drawing.traces:
        for piece in trace.pieces():
            points = (piece * scale).ravel().tolist()
            draw.line(points if len(points) > 2 else points * 2, INK, width, joint="curve" if width > 2 else None)
    for label in drawing.labels:
        font = ImageFont.load_default(max(1.0, label.size * scale))
        weight = label.size * scale / 50 if label.is_bold else 0
        place = (label.x * scale, label.y * scale)
        draw.text(place, _drawable(label.value), LABEL, font, anchor="ls", stroke_width=round(weight))
    return image.reduce(_SCALE)


def _draw_grid(draw: ImageDraw.ImageDraw, grid: Grid, scale: float) -> None:
    for colour, width, lines in (
        (FINE_GRID, FINE_WIDTH, grid.lines(1, skipped=5)),
        (GRID, GRID_WIDTH, grid.lines(5)),
    ):
        for line in lines:
            draw.line([place * scale for place in line], colour, max(1, round(width * scale)))


def _drawable(value: str) -> str:
    """Return text in one line, in the characters of the font. Others become a question mark."""
    return "".join(each if (each.isprintable() and ord(each) < 0x250) or each == "…" else "?" for each in value)
