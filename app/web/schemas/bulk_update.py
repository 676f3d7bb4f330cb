"""The body of `POST studies/$bulkUpdate` (conformance §12.1)."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from marshmallow import fields, post_load

from app.errors import InvalidRequest
from app.services.update.service import UpdateRequest
from app.web.schemas.body import BodySchema


class _Studies(fields.Field[list[str]]):
    json_schema: ClassVar[dict[str, Any]] = {"type": "array", "items": {"type": "string"}, "minItems": 1}

    def _deserialize(self, value: object, attr: str | None, data: Any, **kwargs: Any) -> list[str]:
        if value == []:
            raise _missing("StudyInstanceUids")
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise self.make_error("strings")
        return value

    default_error_messages = {"strings": "It must be an array of strings."}  # noqa: RUF012  # marshmallow's form


class _Dataset(fields.Field[dict[str, Any]]):
    json_schema: ClassVar[dict[str, Any]] = {"$ref": "#/components/schemas/Dataset", "minProperties": 1}

    def _deserialize(self, value: object, attr: str | None, data: Any, **kwargs: Any) -> dict[str, Any]:
        if value == {}:
            raise _missing("ChangeDataset")
        if not isinstance(value, dict):
            raise self.make_error("dataset")
        return value

    default_error_messages = {"dataset": "It must be a dataset in DICOM JSON."}  # noqa: RUF012  # marshmallow's form


class UpdateSchema(BodySchema):
    """Study Instance UIDs and the new values, both not empty."""

    studies = _Studies(data_key="studyInstanceUids")
    changes = _Dataset(data_key="changeDataset")

    @post_load
    def request(self, values: dict[str, Any], **_: Any) -> UpdateRequest:
        for name, field in (("studies", "StudyInstanceUids"), ("changes", "ChangeDataset")):
            if name not in values:
                raise _missing(field)
        return UpdateRequest(**values)


def _missing(name: str) -> InvalidRequest:
    return InvalidRequest(f"The required field '{name}' is missing or empty.")


UPDATE: Final = UpdateSchema()
