"""The bodies of `POST access/tokens` and `POST access/grants` (conformance §13.6).

The schemas check the shape. The service checks the values.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from marshmallow import RAISE, ValidationError, fields, post_load

from app.services.access.grants import ClaimSubject, GrantRequest, TokenSubject
from app.services.access.tokens import TokenRequest
from app.web.schemas.body import OBJECT_EXPECTED, STRING_EXPECTED, BodySchema, Text

_REQUIRED: Final[dict[str, Any]] = {"required": "It is required."}


class _StrictSchema(BodySchema):
    """An object without unknown members: a misspelt `expires` would make a token that never expires."""

    class Meta:
        unknown = RAISE

    error_messages = {"unknown": "There is no such field."}  # noqa: RUF012  # marshmallow's form


class _Texts(fields.Field[tuple[str, ...]]):
    json_schema: ClassVar[dict[str, Any]] = {"type": "array", "items": {"type": "string"}}
    default_error_messages = {"strings": "It must be an array of strings."}  # noqa: RUF012  # marshmallow's form

    def _deserialize(self, value: object, attr: str | None, data: Any, **kwargs: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise self.make_error("strings")
        return tuple(value)


class _Time(fields.Field[int]):
    """A date and time in ISO 8601 with a zone or an offset. The value is in whole seconds since 1970."""

    json_schema: ClassVar[dict[str, Any]] = {"type": "string", "format": "date-time"}

    def _deserialize(self, value: object, attr: str | None, data: Any, **kwargs: Any) -> int:
        if not isinstance(value, str):
            raise ValidationError(STRING_EXPECTED)
        try:
            moment = datetime.fromisoformat(value.upper())
            if moment.tzinfo is not None:
                return int(moment.astimezone(UTC).timestamp())
        except (ValueError, OverflowError):
            raise ValidationError("It must be a date and time as '2027-01-01T00:00:00Z'.") from None
        raise ValidationError("It must have a time zone, as '2027-01-01T00:00:00Z'.")


class TokenSchema(_StrictSchema):
    """A token to be created. The order of the fields decides which fault of several is reported."""

    name = Text(required=True, error_messages=_REQUIRED)
    roles = _Texts(required=True, error_messages=_REQUIRED)
    partitions = _Texts(required=True, error_messages=_REQUIRED)
    expires = _Time()

    @post_load
    def request(self, values: dict[str, Any], **_: Any) -> TokenRequest:
        return TokenRequest(**values)


class SubjectSchema(_StrictSchema):
    """The subject of a grant: a claim of an issuer, or a token."""

    issuer = Text()
    claim = Text()
    value = Text()
    token = Text()

    def no_object(self) -> Exception:
        return ValidationError(OBJECT_EXPECTED)

    @post_load
    def subject(self, values: dict[str, str], **_: Any) -> ClaimSubject | TokenSubject:
        match sorted(values):
            case ["token"]:
                return TokenSubject(**values)
            case ["claim", "issuer", "value"]:
                return ClaimSubject(**values)
        raise ValidationError("It must have 'issuer', 'claim' and 'value', or 'token' alone.")


class GrantSchema(_StrictSchema):
    """A grant to be stored, with a role or with actions."""

    subject = fields.Nested(SubjectSchema, required=True, error_messages=_REQUIRED)
    role = Text()
    actions = _Texts()
    partitions = _Texts(required=True, error_messages=_REQUIRED)
    expires = _Time()

    @post_load
    def request(self, values: dict[str, Any], **_: Any) -> GrantRequest:
        return GrantRequest(**values)


TOKEN: Final = TokenSchema()
GRANT: Final = GrantSchema()
