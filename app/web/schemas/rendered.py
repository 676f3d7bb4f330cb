"""Query parameters of rendered resources and thumbnails (conformance §4.10, PS3.18 §8.3.5)."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Final, NamedTuple

from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_load

from app.errors import InvalidRequest
from app.imaging.rendering.parameters import ColourProfile, RenderingParameters, Viewport, Window, WindowFunction

LARGEST_VIEWPORT: Final = 8192
"""The largest width and height of a viewport, in pixels. It bounds memory and time."""
QUALITY_RULE: Final = "Image quality must be between 1 and 100 inclusive"

_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?", re.ASCII)
_LONGEST_DECIMAL: Final = 32
_FUNCTIONS: Final[dict[str, WindowFunction]] = {
    "linear": "linear",
    "linear-exact": "linear-exact",
    "sigmoid": "sigmoid",
}
_PROFILES: Final[dict[str, ColourProfile]] = {
    "no": "no",
    "yes": "yes",
    "srgb": "srgb",
    "adobergb": "adobergb",
    "rommrgb": "rommrgb",
}
_ANNOTATIONS: Final = frozenset({"patient", "technique"})
_KEYWORD: Final = re.compile(r"[a-z][a-z0-9_-]*", re.ASCII)


class Annotation(NamedTuple):
    """The keywords that are drawn, and those that the service does not know."""

    known: frozenset[str]
    unknown: tuple[str, ...]


class QualityParameter(fields.Field[int]):
    """1 to 100."""

    json_schema: ClassVar[dict[str, Any]] = {"type": "integer", "minimum": 1, "maximum": 100}

    def _deserialize(self, value: str, attr: str | None, data: Any, **kwargs: Any) -> int:
        if not (value.isascii() and value.isdecimal() and len(value) <= 3 and 1 <= int(value) <= 100):
            raise InvalidRequest(QUALITY_RULE)
        return int(value)


class _SizeParameter(fields.Field[Viewport]):
    """`vw,vh` (PS3.18 §8.3.5.1.3), for thumbnails."""

    json_schema: ClassVar[dict[str, Any]] = {"type": "string", "examples": ["128,128"]}

    def _deserialize(self, value: str, attr: str | None, data: Any, **kwargs: Any) -> Viewport:
        numbers = value.split(",")
        if len(numbers) != 2:
            raise ValidationError(f"The value '{value}' is not a width and a height.")
        return Viewport(extent_of(numbers[0]), extent_of(numbers[1]))


class _ViewportParameter(fields.Field[Viewport]):
    """`vw,vh[,[sx],[sy],[sw],[sh]]` (PS3.18 §8.3.5.1.3)."""

    json_schema: ClassVar[dict[str, Any]] = {"type": "string", "examples": ["512,512"]}

    def _deserialize(self, value: str, attr: str | None, data: Any, **kwargs: Any) -> Viewport:
        numbers = [number.strip() for number in value.split(",")]
        if not 2 <= len(numbers) <= 6:
            raise ValidationError(f"The value '{value}' has not 2 to 6 numbers.")
        left, top, width, height = (decimal_of(number) for number in (numbers[2:] + [""] * 4)[:4])
        if 0 in (width, height):
            raise ValidationError(f"The value '{value}' has a region without pixels.")
        return Viewport(
            width=extent_of(numbers[0]),
            height=extent_of(numbers[1]),
            left=abs(left or 0),
            top=abs(top or 0),
            region_width=None if width is None else abs(width),
            region_height=None if height is None else abs(height),
            mirror_horizontally=width is not None and width < 0,
            mirror_vertically=height is not None and height < 0,
        )


class _WindowParameter(fields.Field[Window]):
    """`center,width,function` (PS3.18 §8.3.5.1.4)."""

    json_schema: ClassVar[dict[str, Any]] = {"type": "string", "examples": ["40,400,linear"]}

    def _deserialize(self, value: str, attr: str | None, data: Any, **kwargs: Any) -> Window:
        values = [each.strip() for each in value.split(",")]
        if len(values) != 3 or values[2].lower() not in _FUNCTIONS:
            raise ValidationError(
                f"The value '{value}' is not a center, a width and one of linear, linear-exact and sigmoid."
            )
        return window_of(values[0], values[1], _FUNCTIONS[values[2].lower()])


class DecimalParameter(fields.Field[str]):
    """A decimal number, as it was written."""

    json_schema: ClassVar[dict[str, Any]] = {"type": "string", "pattern": r"^[+-]?([0-9]{1,9}|[0-9]{1,9}\.[0-9]{1,9})$"}

    def _deserialize(self, value: str, attr: str | None, data: Any, **kwargs: Any) -> str:
        if decimal_of(value.strip()) is None:
            raise ValidationError("A value is needed.")
        return value.strip()


class AnnotationParameter(fields.Field[Annotation]):
    """A list of keywords (PS3.18 §8.3.5.1.1)."""

    json_schema: ClassVar[dict[str, Any]] = {"type": "string", "examples": ["patient,technique"]}

    def _deserialize(self, value: str, attr: str | None, data: Any, **kwargs: Any) -> Annotation:
        keywords = [keyword.strip().lower() for keyword in value.split(",")]
        if not all(_KEYWORD.fullmatch(keyword) for keyword in keywords):
            raise ValidationError(f"The value '{value}' is not a list of keywords.")
        unknown = tuple(keyword for keyword in keywords if keyword not in _ANNOTATIONS)
        return Annotation(_ANNOTATIONS & frozenset(keywords), unknown)


class ProfileParameter(fields.Field[ColourProfile]):
    """One of five words (PS3.18 §8.3.5.1.5)."""

    json_schema: ClassVar[dict[str, Any]] = {"type": "string", "enum": list(_PROFILES)}

    def _deserialize(self, value: str, attr: str | None, data: Any, **kwargs: Any) -> ColourProfile:
        profile = _PROFILES.get(value.strip().lower())
        if profile is None:
            raise ValidationError(f"The value '{value}' is not one of {', '.join(_PROFILES)}.")
        return profile


class RenderedParameters(Schema):
    """`rendered`. The result has `rendering`, and `unknown_annotations`, the keywords that the service ignores."""

    quality = QualityParameter(data_key="quality", load_default=100)
    viewport = _ViewportParameter(data_key="viewport", load_default=None)
    window = _WindowParameter(data_key="window", load_default=None)
    window_center = DecimalParameter(data_key="windowCenter", load_default=None)
    window_width = DecimalParameter(data_key="windowWidth", load_default=None)
    annotation = AnnotationParameter(data_key="annotation", load_default=Annotation(frozenset(), ()))
    icc_profile = ProfileParameter(data_key="iccprofile", load_default=None)

    @post_load
    def combine(self, values: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Return the parameters as the services take them. `window` counts before `windowCenter` and `windowWidth`."""
        center, width = values["window_center"], values["window_width"]
        window = values["window"]
        if window is None and (center is None) != (width is None):
            raise ValidationError(
                "windowCenter and windowWidth need each other.", "windowWidth" if width is None else "windowCenter"
            )
        if window is None and center is not None:
            window = window_of(center, width, "linear", "windowWidth")
        return {
            "rendering": RenderingParameters(
                quality=values["quality"],
                viewport=values["viewport"],
                window=window,
                annotation=values["annotation"].known,
                icc_profile=values["icc_profile"],
            ),
            "unknown_annotations": values["annotation"].unknown,
        }


class ThumbnailParameters(Schema):
    """`thumbnail` (PS3.18 §8.3.5.2)."""

    viewport = _SizeParameter(data_key="viewport", load_default=None)


RENDERED_PARAMETERS: Final = RenderedParameters(unknown=EXCLUDE)
THUMBNAIL_PARAMETERS: Final = ThumbnailParameters(unknown=EXCLUDE)


def extent_of(text: str) -> int:
    """Return a number of rows or columns. Raises `ValidationError` for text that is none."""
    text = text.strip()
    if not (text.isascii() and text.isdecimal() and len(text) <= 8 and 1 <= int(text) <= LARGEST_VIEWPORT):
        raise ValidationError(f"The width or height '{text}' is not a number from 1 to {LARGEST_VIEWPORT}.")
    return int(text)


def decimal_of(text: str) -> float | None:
    """Return a number, None for an empty text. Raises `ValidationError` for text that is none."""
    if not text:
        return None
    if len(text) > _LONGEST_DECIMAL or not _DECIMAL.fullmatch(text):
        raise ValidationError(f"The value '{text}' is not a decimal number.")
    return float(text)


def window_of(center: str, width: str, function: WindowFunction, name: str = "window") -> Window:
    """Return a window. Raises `ValidationError`, with the parameter `name`, for one that no image has."""
    middle, extent = decimal_of(center), decimal_of(width)
    lowest = 1 if function == "linear" else 0
    if middle is None or extent is None:
        raise ValidationError(f"The value '{center},{width}' has not two numbers.", name)
    if extent <= 0 or extent < lowest:
        rule = "at least 1" if lowest else "above 0"
        raise ValidationError(f"The width '{width}' of a window with the function {function} is not {rule}.", name)
    return Window(middle, extent, function)
