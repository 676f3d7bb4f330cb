"""The bodies of `POST extendedquerytags` and `PATCH extendedquerytags/{tagPath}` (conformance §8.2, §8.7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from marshmallow import ValidationError, fields, post_load

from app.dicom.validation.attributes import Level
from app.errors import InvalidRequest
from app.services.tags.rules import TagRequest
from app.storage.tags.query_tags import DISABLED, ENABLED
from app.web.schemas.body import STRING_EXPECTED, BodySchema, ConversionReason

_MISSING: Final = "The Dicom Tag Property {name} must be specified and must not be null, empty or whitespace."
_LEVELS: Final = {level.word: level for level in Level}


class _Level(fields.Field[Level]):
    json_schema: ClassVar[dict[str, Any]] = {"type": "string", "enum": ["Study", "Series", "Instance"]}

    def _deserialize(self, value: object, attr: str | None, data: Any, **kwargs: Any) -> Level:
        if isinstance(value, str) and not value.strip():
            raise ValidationError(_MISSING.format(name="Level"))
        if not isinstance(value, str) or value.strip().lower() not in _LEVELS:
            raise _none_of(value, "'Instance', 'Series', 'Study'")
        return _LEVELS[value.strip().lower()]


class _Text(fields.Field[str]):
    json_schema: ClassVar[dict[str, Any]] = {"type": "string"}

    def _deserialize(self, value: object, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str):
            raise ValidationError([ConversionReason(STRING_EXPECTED)])
        return value


class _Path(_Text):
    def _deserialize(self, value: object, attr: str | None, data: Any, **kwargs: Any) -> str:
        path = super()._deserialize(value, attr, data, **kwargs)
        if not path.strip():
            raise ValidationError(_MISSING.format(name="Path"))
        return path


class _QueryStatus(fields.Field[str]):
    json_schema: ClassVar[dict[str, Any]] = {"type": "string", "enum": ["Enabled", "Disabled"]}

    def _deserialize(self, value: object, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str) or value.lower() not in (ENABLED, DISABLED):
            raise _none_of(value, "'Disabled', 'Enabled'")
        return value.lower()


class TagSchema(BodySchema):
    """One tag to be added. The order of the fields decides which fault of several is reported."""

    level = _Level(data_key="Level", required=True, error_messages={"required": _MISSING.format(name="Level")})
    path = _Path(data_key="Path", required=True, error_messages={"required": _MISSING.format(name="Path")})
    vr = _Text(data_key="VR", load_default="")
    creator = _Text(data_key="PrivateCreator", load_default="")

    @post_load
    def request(self, values: dict[str, Any], **_: Any) -> TagRequest:
        return TagRequest(
            path=values["path"], level=values["level"], vr=values["vr"].strip(), creator=values["creator"]
        )


class QueryStatusSchema(BodySchema):
    """The one field of a tag that can be changed. The value is `enabled` or `disabled`."""

    status = _QueryStatus(
        data_key="QueryStatus", required=True, error_messages={"required": "The QueryStatus field is required."}
    )

    def members(self, data: object) -> dict[str, Any]:
        """Refuse every other field, also one that is null."""
        for name in data if isinstance(data, Mapping) else ():
            if name.lower() != "querystatus":
                raise InvalidRequest(f'The field is not supported: "{name}".')
        return super().members(data)

    @post_load
    def value(self, values: dict[str, str], **_: Any) -> str:
        return values["status"]


def _none_of(value: object, known: str) -> ValidationError:
    return ValidationError([ConversionReason(f"Expected value '{value}' to be one of the following values: [{known}]")])


TAGS: Final = TagSchema(many=True)
QUERY_STATUS: Final = QueryStatusSchema()
