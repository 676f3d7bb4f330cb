"""Icons: pictures of objects that have none. A sheet of paper has the code and the name of the kind."""

from __future__ import annotations

import textwrap
from functools import lru_cache
from io import BytesIO
from typing import Any, Final

from PIL import Image, ImageDraw, ImageFont

from app.imaging.documents.kinds import ObjectKind, Source

SIZE: Final = 256
"""The width and height of an icon that nobody asked to be smaller, in pixels."""

FORMATS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "image/jpeg": ("JPEG", {"quality": 90, "subsampling": 0}),
    "image/png": ("PNG", {"optimize": True}),
    "image/gif": ("GIF", {}),
    "image/webp": ("WEBP", {"lossless": True}),
    "image/jp2": ("JPEG2000", {}),
}
"""Media type -> the name of the format in Pillow and its options."""

_SCALE: Final = 4
"""Shapes are drawn larger and reduced, because Pillow draws no smooth edges."""
_BACKGROUND: Final = (238, 241, 245)
_PAPER: Final = (255, 255, 255)
_EDGE: Final = (176, 184, 196)
_FOLD: Final = (215, 221, 229)
_TEXT: Final = (52, 60, 72)
_LEFT, _TOP, _RIGHT, _BOTTOM, _CORNER = 38, 14, 218, 242, 44
"""The sheet and its folded corner, in pixels of an icon of the full size."""

_COLOURS: Final = {
    "PDF": (186, 47, 47),
    "VIDEO": (111, 66, 170),
    Source.STORED_FILE: (0, 122, 122),
    Source.CONTENT_TREE: (29, 92, 168),
    Source.WAVEFORM: (190, 40, 96),
    Source.REFERENCES: (56, 118, 64),
    Source.NOTHING: (88, 98, 112),
}
"""The colour of the band, by the code of the kind or by its source. White text is readable on each."""


def icon_file(kind: ObjectKind, media_type: str, side: int = SIZE) -> bytes:
    """Return the icon of a kind as a file of a media type of `FORMATS`. It has at most `side` pixels on each side."""
    out = BytesIO()
    name, options = FORMATS[media_type]
    icon(kind, side).save(out, name, **options)
    return out.getvalue()


def icon(kind: ObjectKind, side: int = SIZE) -> Image.Image:
    """Return the icon of a kind as a square of at most `side` pixels on each side, and at most of `SIZE`."""
    whole = _drawn(kind)
    side = max(1, min(side, SIZE))
    return whole if side == SIZE else whole.resize((side, side), Image.Resampling.LANCZOS)


@lru_cache(maxsize=64)
def _drawn(kind: ObjectKind) -> Image.Image:
    colour = _COLOURS.get(kind.code) or _COLOURS[kind.source]
    image = _sheet(colour)
    draw = ImageDraw.Draw(image)
    middle = (_LEFT + _RIGHT) / 2
    font = _fitting(kind.code, 168)
    draw.text((middle, 106), kind.code, _PAPER, font, anchor="mm")
    lines = textwrap.wrap(kind.name, 20, max_lines=4, placeholder=" …")
    draw.multiline_text(
        (middle, 194), "\n".join(lines), _TEXT, ImageFont.load_default(16), anchor="mm", align="center", spacing=4
    )
    return image


def _fitting(text: str, width: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the largest font, of at most 52 pixels, in which the text is not wider than `width` pixels."""
    font = ImageFont.load_default(52)
    return ImageFont.load_default(min(52, int(52 * width / max(1.0, font.getlength(text)))))


def _sheet(colour: tuple[int, int, int]) -> Image.Image:
    large = Image.new("RGB", (SIZE * _SCALE, SIZE * _SCALE), _BACKGROUND)
    draw = ImageDraw.Draw(large)

    def scaled(*points: tuple[int, int]) -> list[tuple[int, int]]:
        return [(x * _SCALE, y * _SCALE) for x, y in points]

    outline = [(_LEFT, _TOP), (_RIGHT - _CORNER, _TOP), (_RIGHT, _TOP + _CORNER), (_RIGHT, _BOTTOM), (_LEFT, _BOTTOM)]
    draw.polygon(scaled(*outline), fill=_PAPER, outline=_EDGE, width=2 * _SCALE)
    fold = [(_RIGHT - _CORNER, _TOP), (_RIGHT, _TOP + _CORNER), (_RIGHT - _CORNER, _TOP + _CORNER)]
    draw.polygon(scaled(*fold), fill=_FOLD, outline=_EDGE, width=2 * _SCALE)
    draw.rounded_rectangle(scaled((_LEFT - 14, 70), (_RIGHT + 14, 142)), 8 * _SCALE, fill=colour)
    return large.resize((SIZE, SIZE), Image.Resampling.LANCZOS)
