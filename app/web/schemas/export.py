"""The body of `POST export` (conformance §11.1, §11.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from marshmallow import ValidationError, fields, post_load

from app.errors import InvalidRequest
from app.services.export.destinations import FileSettings, S3Settings
from app.services.export.service import ExportRequest
from app.web.schemas.body import OBJECT_EXPECTED, BodySchema, Text

SECRETS: Final = frozenset(
    prefix + name
    for prefix in ("", "aws")
    for name in ("accesskey", "accesskeyid", "secretkey", "secretaccesskey", "sessiontoken", "credentials")
)
"""Names, in lower case, of members that a body must not carry."""


class _Object(BodySchema):
    def no_object(self) -> Exception:
        return ValidationError(OBJECT_EXPECTED)


class _Values(fields.Field[list[str]]):
    json_schema: ClassVar[dict[str, Any]] = {"type": "array", "items": {"type": "string"}, "minItems": 1}
    default_error_messages = {"strings": "It must be an array of strings."}  # noqa: RUF012  # marshmallow's form

    def _deserialize(self, value: object, attr: str | None, data: Any, **kwargs: Any) -> list[str]:
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise self.make_error("strings")
        return value


class _SourceSettings(_Object):
    values = _Values(load_default=list)

    @post_load
    def identifiers(self, values: dict[str, list[str]], **_: Any) -> list[str]:
        if not values["values"]:
            raise InvalidRequest("Missing value for property 'Values'.")
        return values["values"]


class _SourceType(fields.Field[str]):
    json_schema: ClassVar[dict[str, Any]] = {"type": "string", "enum": ["identifiers"]}
    default_error_messages = {"required": "It must be one of: identifiers."}  # noqa: RUF012  # marshmallow's form

    def _deserialize(self, value: object, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str) or value.lower() != "identifiers":
            raise self.make_error("required")
        return value.lower()


class _Source(_Object):
    type = _SourceType(required=True)
    settings = fields.Nested(_SourceSettings, required=True, error_messages={"required": "It is required."})


class S3SettingsSchema(_Object):
    """Settings of a destination in S3, all of them texts. Their values are checked by the service."""

    bucket_name = Text(data_key="bucketName")
    uri = Text()
    prefix = Text()
    region = Text()
    role_arn = Text(data_key="roleArn")
    external_id = Text(data_key="externalId")
    sse_algorithm = Text(data_key="sseAlgorithm")
    kms_key_id = Text(data_key="kmsKeyId")
    endpoint_url = Text(data_key="endpointUrl")

    def members(self, data: object) -> dict[str, Any]:
        """Refuse access keys, so that nobody gets used to sending them."""
        members = super().members(data)
        if not SECRETS.isdisjoint(map(str.lower, members)):
            raise InvalidRequest(
                "Access keys are not accepted in a request. Name a role in 'roleArn', "
                "or let the service's own credentials write to the bucket."
            )
        return members

    @post_load
    def settings(self, values: dict[str, Any], **_: Any) -> S3Settings:
        return S3Settings(**values)


class FileSettingsSchema(_Object):
    """Settings of a destination below the export folder."""

    prefix = Text(load_default="")

    @post_load
    def settings(self, values: dict[str, Any], **_: Any) -> FileSettings:
        return FileSettings(**values)


_SETTINGS: Final[Mapping[str, BodySchema]] = {"s3": S3SettingsSchema(), "file": FileSettingsSchema()}


class _DestinationType(fields.Field[str]):
    json_schema: ClassVar[dict[str, Any]] = {"type": "string", "enum": list(_SETTINGS)}

    def _deserialize(self, value: object, attr: str | None, data: Any, **kwargs: Any) -> str:
        return value.lower() if isinstance(value, str) else ""


class _DestinationSettings(fields.Field[Any]):
    """Settings in the form that belongs to the type beside them. None for a type that the service will refuse."""

    json_schema: ClassVar[dict[str, Any]] = {"type": "object"}
    default_error_messages = {"required": "It is required."}  # noqa: RUF012  # marshmallow's form

    def deserialize(self, value: Any, attr: str | None = None, data: Any = None, **kwargs: Any) -> Any:
        kind = data.get("type")
        schema = _SETTINGS.get(kind.lower()) if isinstance(kind, str) else None
        if schema is None:
            return None
        return schema.load(super().deserialize(value, attr, data, **kwargs))


class _Destination(_Object):
    type = _DestinationType(load_default="")
    settings = _DestinationSettings(required=True)


class ExportSchema(_Object):
    """What is copied, and to which place."""

    source = fields.Nested(_Source, required=True, error_messages={"required": "The source field is required."})
    destination = fields.Nested(
        _Destination, required=True, error_messages={"required": "The destination field is required."}
    )

    def members(self, data: object) -> dict[str, Any]:
        """Read `sources` where `source` is absent: Microsoft's documentation has both."""
        members = super().members(data)
        sources = next((value for name, value in members.items() if name.lower() == "sources"), None)
        return members if sources is None else {"source": sources, **members}

    @post_load
    def request(self, values: dict[str, Any], **_: Any) -> ExportRequest:
        return ExportRequest(
            identifiers=values["source"]["settings"],
            destination_type=values["destination"]["type"],
            settings=values["destination"]["settings"],
        )


EXPORT: Final = ExportSchema()
