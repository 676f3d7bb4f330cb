"""Text in the corners of a picture: the patient and the technique (PS3.18 §8.3.5.1.1)."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Set
from functools import lru_cache
from typing import Any, Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from app.dicom.encoding.attribute_reader import AttributeReader
from app.imaging.rendering.picture import Picture

_LINES: Final = 36
"""How many lines of text fit below each other. It gives the size of the letters."""
_SMALLEST: Final = 9
_LONGEST: Final = 64
"""Characters of one line."""

_LATIN: Final = {"ß": "ss", "Æ": "AE", "æ": "ae", "Œ": "OE", "œ": "oe", "Ø": "O", "ø": "o", "Ł": "L", "ł": "l"} | {
    "Đ": "D", "đ": "d", "Þ": "Th", "þ": "th", "\u0131": "i",
}  # fmt: skip
"""Letters that have no decomposition in Unicode."""

_MODALITY, _SERIES_NUMBER, _INSTANCE_NUMBER = 0x00080060, 0x00200011, 0x00200013
_NUMBER_OF_FRAMES: Final = 0x00280008
_PATIENT_NAME, _PATIENT_ID, _BORN, _SEX = 0x00100010, 0x00100020, 0x00100030, 0x00100040
_STUDY_DATE, _STUDY_TIME, _STUDY_DESCRIPTION, _SERIES_DESCRIPTION = 0x00080020, 0x00080030, 0x00081030, 0x0008103E
_POSITION, _SLICE_LOCATION, _THICKNESS = 0x00200032, 0x00201041, 0x00180050


def annotate(picture: Picture, attributes: AttributeReader, keywords: Set[str], number: int) -> Picture:
    """Return the picture with text: of the patient at the left, of the technique at the right. `number` is the frame.

    A name is drawn in its alphabetic group (PS3.5 §6.2.1.2), because the font has Latin letters only. A character that
    it lacks becomes its nearest Latin letter, or a question mark. The text is white with a black outline.
    """
    image = Image.fromarray(picture.pixels)
    draw = ImageDraw.Draw(image)
    size = max(_SMALLEST, min(image.size) // _LINES)
    margin = size // 2
    if "patient" in keywords:
        _draw(draw, (margin, margin), "la", patient_lines(attributes), size)
    if "technique" in keywords:
        _draw(draw, (image.width - margin, margin), "ra", technique_lines(attributes, number), size)
    return Picture(pixels=np.asarray(image), pixel_aspect=picture.pixel_aspect, icc=picture.icc)


def patient_lines(attributes: AttributeReader) -> list[str]:
    """Return name, identifier, birth date and sex, without those that are absent."""
    name = attributes.text(_PATIENT_NAME).partition("=")[0].replace("^", " ")
    born = _date(attributes.text(_BORN))
    return _lines(name, attributes.text(_PATIENT_ID), " ".join(filter(None, (born, attributes.text(_SEX)))))


def technique_lines(attributes: AttributeReader, number: int) -> list[str]:
    """Return modality and time, descriptions, the numbers of series, image and frame, and the position."""
    text = attributes.text
    taken = " ".join(filter(None, (text(_MODALITY), _date(text(_STUDY_DATE)), _time(text(_STUDY_TIME)))))
    frames = attributes.integer(_NUMBER_OF_FRAMES, 1)
    numbers = [
        f"{word} {value}"
        for word, value in (
            ("Series", text(_SERIES_NUMBER)),
            ("Image", text(_INSTANCE_NUMBER)),
            ("Frame", f"{number}/{frames}" if frames > 1 else ""),
        )
        if value
    ]
    return _lines(taken, text(_STUDY_DESCRIPTION), text(_SERIES_DESCRIPTION), "  ".join(numbers), *_place(attributes))


def _place(attributes: AttributeReader) -> Iterator[str]:
    position = attributes.numbers(_POSITION)
    if len(position) == 3:
        yield "Position " + " ".join(f"{value:.1f}" for value in position) + " mm"
    elif (location := attributes.number(_SLICE_LOCATION)) is not None:
        yield f"Location {location:.1f} mm"
    if (thickness := attributes.number(_THICKNESS)) is not None:
        yield f"Thickness {thickness:.1f} mm"


def _lines(*texts: str) -> list[str]:
    return [line for text in texts if (line := _drawable(text.strip()))]


def _date(text: str) -> str:
    return f"{text[:4]}-{text[4:6]}-{text[6:8]}" if len(text) == 8 and text.isascii() and text.isdecimal() else text


def _time(text: str) -> str:
    return f"{text[:2]}:{text[2:4]}" if len(text) >= 4 and text[:4].isascii() and text[:4].isdecimal() else text


def _drawable(text: str) -> str:
    """Return the text in characters that the font has, cut to one line."""
    return "".join(_nearest(character) for character in text[:_LONGEST])


@lru_cache(maxsize=4096)
def _nearest(character: str) -> str:
    for candidate in (character, _LATIN.get(character, ""), *unicodedata.normalize("NFKD", character)[:1]):
        if candidate and candidate.isprintable() and all(map(_has_glyph, candidate)):
            return str(candidate)
    return "?"


def _has_glyph(character: str) -> bool:
    return character == " " or _shape(character) != _shape("\uffff")


def _shape(character: str) -> bytes:
    mask, offset = _font(32).getmask2(character, mode="L")
    return bytes(mask) + repr((mask.size, offset)).encode()


@lru_cache(maxsize=16)
def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _draw(draw: ImageDraw.ImageDraw, place: tuple[int, int], anchor: str, lines: list[str], size: int) -> None:
    colour = 255 if draw.mode == "L" else (255, 255, 255)
    outline = 0 if draw.mode == "L" else (0, 0, 0)
    left, top = place
    for number, line in enumerate(lines):
        draw.text(
            (left, top + number * size * 5 // 4),
            line,
            fill=colour,
            font=_font(size),
            anchor=anchor,
            stroke_width=1,
            stroke_fill=outline,
        )
