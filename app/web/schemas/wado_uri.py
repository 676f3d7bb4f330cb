"""Query parameters of WADO-URI (conformance §4.15, PS3.18 §9.4.1.2, §9.5.1.2)."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Final

from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_load

from app.dicom.encoding.uids import clean_uid
from app.errors import IDENTIFIER_RULE, InvalidIdentifier
from app.imaging.rendering.parameters import RenderingParameters, Viewport
from app.web.schemas.rendered import (
    LARGEST_VIEWPORT,
    Annotation,
    AnnotationParameter,
    DecimalParameter,
    ProfileParameter,
    QualityParameter,
    decimal_of,
    extent_of,
    window_of,
)

_NEEDED: Final = "A value is needed."
_REQUIRED: Final[dict[str, Any]] = {"required": True, "error_messages": {"required": _NEEDED}}
_FRAME: Final = re.compile(r"0*[1-9][0-9]{0,8}", re.ASCII)
_LOST_PLUS: Final = re.compile(r"(?<=\w) (?=\w)")


class _RequestTypeParameter(fields.Field[str]):
    """`WADO`, in any letter case."""

    json_schema: ClassVar[dict[str, Any]] = {"type": "string", "enum": ["WADO"]}

    def _deserialize(self, value: str, attr: str | None, data: Any, **kwargs: Any) -> str:
        if value.strip().upper() != "WADO":
            raise ValidationError(f"The value '{value}' is not WADO.")
        return "WADO"


class _UidParameter(fields.Field[str]):
    """A UID."""

    json_schema: ClassVar[dict[str, Any]] = {"$ref": "#/components/schemas/Uid"}

    def _deserialize(self, value: str, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not value.strip():
            raise ValidationError(_NEEDED)
        return _uid(value)


class _TransferSyntaxParameter(fields.Field[str]):
    """A UID, or `*` for the transfer syntax of the stored file."""

    json_schema: ClassVar[dict[str, Any]] = {"type": "string"}

    def _deserialize(self, value: str, attr: str | None, data: Any, **kwargs: Any) -> str:
        return value.strip() if value.strip() in ("", "*") else _uid(value)


class _MediaTypesParameter(fields.Field[str]):
    """A list of media types in the form of an Accept header. A `+` that was sent without an escape is a plus sign."""

    json_schema: ClassVar[dict[str, Any]] = {"type": "string"}

    def _deserialize(self, value: str, attr: str | None, data: Any, **kwargs: Any) -> str:
        return _LOST_PLUS.sub("+", value.strip())


class _FrameParameter(fields.Field[int]):
    """The number of a frame."""

    json_schema: ClassVar[dict[str, Any]] = {"type": "integer", "minimum": 1}

    def _deserialize(self, value: str, attr: str | None, data: Any, **kwargs: Any) -> int:
        number = value.strip()
        if not _FRAME.fullmatch(number):
            raise ValidationError(f"The value '{value}' is not the number of one frame.")
        return int(number)


class _ExtentParameter(fields.Field[int]):
    """The largest number of rows or columns of a picture."""

    json_schema: ClassVar[dict[str, Any]] = {"type": "integer", "minimum": 1, "maximum": LARGEST_VIEWPORT}

    def _deserialize(self, value: str, attr: str | None, data: Any, **kwargs: Any) -> int:
        return extent_of(value)


class _RegionParameter(fields.Field[tuple[float, float, float, float]]):
    """`xmin,ymin,xmax,ymax` in fractions of the image."""

    json_schema: ClassVar[dict[str, Any]] = {"type": "string", "examples": ["0.25,0.25,0.75,0.75"]}

    def _deserialize(self, value: str, attr: str | None, data: Any, **kwargs: Any) -> tuple[float, float, float, float]:
        numbers = [decimal_of(number.strip()) for number in value.split(",")]
        known = [number for number in numbers if number is not None and 0 <= number <= 1]
        if not len(numbers) == len(known) == 4 or known[0] >= known[2] or known[1] >= known[3]:
            raise ValidationError(
                f"The value '{value}' is not xmin,ymin,xmax,ymax, four numbers from 0 to 1 with xmin below xmax "
                "and ymin below ymax."
            )
        left, top, right, bottom = known
        return left, top, right, bottom


class _RefusedParameter(fields.Field[str]):
    """A parameter that the service cannot follow. It would be dangerous to ignore it. `harmless` are values that pass.

    An empty value passes too.
    """

    json_schema: ClassVar[dict[str, Any]] = {"type": "string"}

    def __init__(self, name: str, reason: str, *harmless: str) -> None:
        super().__init__(data_key=name, load_default="")
        self._reason = reason
        self._harmless = ("", *harmless)

    def _deserialize(self, value: str, attr: str | None, data: Any, **kwargs: Any) -> str:
        if value.strip().lower() not in self._harmless:
            raise ValidationError(self._reason)
        return ""


class _CharsetParameter(fields.Field[str]):
    """A list of character sets. Every text of the service is UTF-8."""

    json_schema: ClassVar[dict[str, Any]] = {"type": "string"}

    def _deserialize(self, value: str, attr: str | None, data: Any, **kwargs: Any) -> str:
        return value.strip().lower()


class WadoUriParameters(Schema):
    """The result has `study`, `series`, `instance`, `content_type`, `transfer_syntax` and `charset` (texts, empty if
    absent), `frame` (None if absent), and what `RenderedParameters` returns."""

    request_type = _RequestTypeParameter(data_key="requestType", **_REQUIRED)
    study = _UidParameter(data_key="studyUID", **_REQUIRED)
    series = _UidParameter(data_key="seriesUID", **_REQUIRED)
    instance = _UidParameter(data_key="objectUID", **_REQUIRED)
    content_type = _MediaTypesParameter(data_key="contentType", load_default="")
    transfer_syntax = _TransferSyntaxParameter(data_key="transferSyntax", load_default="")
    charset = _CharsetParameter(data_key="charset", load_default="")
    anonymize = _RefusedParameter("anonymize", "The service does not anonymize.", "no")
    presentation = _RefusedParameter("presentationUID", "The service does not apply presentation states.")
    presentation_series = _RefusedParameter("presentationSeriesUID", "The service does not apply presentation states.")
    frame = _FrameParameter(data_key="frameNumber", load_default=None)
    rows = _ExtentParameter(data_key="rows", load_default=None)
    columns = _ExtentParameter(data_key="columns", load_default=None)
    region = _RegionParameter(data_key="region", load_default=None)
    window_center = DecimalParameter(data_key="windowCenter", load_default=None)
    window_width = DecimalParameter(data_key="windowWidth", load_default=None)
    quality = QualityParameter(data_key="imageQuality", load_default=100)
    annotation = AnnotationParameter(data_key="annotation", load_default=Annotation(frozenset(), ()))
    icc_profile = ProfileParameter(data_key="iccprofile", load_default=None)

    @post_load
    def combine(self, values: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Return the parameters as the services take them."""
        center, width = values["window_center"], values["window_width"]
        if (center is None) != (width is None):
            raise ValidationError(
                "windowCenter and windowWidth need each other.", "windowWidth" if width is None else "windowCenter"
            )
        return {
            **values,
            "rendering": RenderingParameters(
                quality=values["quality"],
                viewport=_viewport(values["rows"], values["columns"], values["region"]),
                window=None if center is None else window_of(center, width, "linear", "windowWidth"),
                annotation=values["annotation"].known,
                icc_profile=values["icc_profile"],
            ),
            "unknown_annotations": values["annotation"].unknown,
        }


WADO_URI_PARAMETERS: Final = WadoUriParameters(unknown=EXCLUDE)


def _uid(text: str) -> str:
    try:
        return clean_uid(text.strip(), "")
    except InvalidIdentifier:
        raise ValidationError(f"The value '{text}' is not a UID: {IDENTIFIER_RULE}") from None


def _viewport(
    rows: int | None, columns: int | None, region: tuple[float, float, float, float] | None
) -> Viewport | None:
    """Return the viewport, None for the image as it is. A region without rows and columns keeps its size in pixels."""
    if rows is None and columns is None and region is None:
        return None
    left, top, right, bottom = region or (0.0, 0.0, 1.0, 1.0)
    return Viewport(
        width=columns or LARGEST_VIEWPORT,
        height=rows or LARGEST_VIEWPORT,
        left=left,
        top=top,
        region_width=right - left,
        region_height=bottom - top,
        is_relative=True,
        enlarges=rows is not None or columns is not None,
    )
