"""Objects in JSON bodies (conformance §1.6): names in any letter case, null as if the member were absent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from marshmallow import EXCLUDE, Schema, ValidationError, fields, pre_load

from app.dicom.json.received import SYNTAX
from app.errors import InvalidField, InvalidRequest

STRING_EXPECTED: Final = "It must be a string."
OBJECT_EXPECTED: Final = "It must be an object."


class ConversionReason(str):
    """The reason why a value cannot be converted. The path in the message then begins with `$`, as in Microsoft's."""

    __slots__ = ()


class BodySchema(Schema):
    """An object in a JSON body. Unknown members are ignored."""

    class Meta:
        unknown = EXCLUDE

    @pre_load
    def _before_load(self, data: object, **_: Any) -> dict[str, Any]:
        return self.members(data)

    def members(self, data: object) -> dict[str, Any]:
        """Return the members that are not null, with their names spelt as in the schema."""
        if not isinstance(data, Mapping):
            raise self.no_object()
        names = [str(field.data_key or name) for name, field in self.fields.items()]
        spelling = {name.lower(): name for name in names}
        members = {spelling.get(str(name).lower(), str(name)): value for name, value in data.items()}
        return {name: value for name, value in members.items() if value is not None}

    def no_object(self) -> Exception:
        """Return the error for a value that is not an object. A subclass may choose another."""
        return InvalidRequest(SYNTAX)


class Text(fields.String):
    """A string. Anything else is refused with the text of the archive."""

    default_error_messages = {"invalid": STRING_EXPECTED, "invalid_utf8": STRING_EXPECTED}  # noqa: RUF012  # marshmallow's form


def load_body(schema: Schema, document: object) -> Any:
    """Return the value that the schema makes of a JSON document.

    Raises `InvalidField` for the first field that breaks its rule, in the order of the schema, and `InvalidRequest` for
    a document of another shape.
    """
    if schema.many and not isinstance(document, list):
        raise InvalidRequest(SYNTAX)
    try:
        return schema.load(document)  # type: ignore[arg-type]  # the schema itself refuses what is not an object
    except ValidationError as error:
        path, reason = _first(error.messages)
        raise InvalidField(
            f"${path}" if isinstance(reason, ConversionReason) else path.removeprefix("."), reason
        ) from None


def _first(messages: Any) -> tuple[str, str]:
    """Return path and reason of the first message, e.g. `.source.type` or `[0].Level`."""
    path = ""
    while isinstance(messages, dict):
        name, messages = next(iter(messages.items()))
        if name != "_schema":
            path += f"[{name}]" if isinstance(name, int) else f".{name}"
    return path, messages[0]
