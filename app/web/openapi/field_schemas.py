"""JSON Schemas of the bodies and the query parameters, made from the marshmallow schemas that read them.

A field class of the service says its JSON Schema in `json_schema`. apispec does not know such classes, so this module
walks the fields itself.
"""

from __future__ import annotations

import inspect
from typing import Any

from marshmallow import Schema, fields
from marshmallow.validate import Range

JsonSchema = dict[str, Any]


def body_schema(schema: Schema) -> JsonSchema:
    """Return the JSON Schema of a body. Members that may be absent may be null too (conformance §1.6)."""
    properties = {_spelt(name, field): _member(field) for name, field in schema.fields.items()}
    described: JsonSchema = {"type": "object", "description": _text(type(schema)), "properties": properties}
    required = [_spelt(name, field) for name, field in schema.fields.items() if field.required]
    if required:
        described["required"] = required
    return {"type": "array", "items": described} if schema.many else described


def query_parameters(schema: Schema) -> list[JsonSchema]:
    """Return the Parameter Objects of the query parameters."""
    return [_parameter(field) for field in schema.fields.values()]


def _parameter(field: fields.Field[Any]) -> JsonSchema:
    described = _field_schema(field)
    if type(field.load_default) in (int, bool):
        described["default"] = field.load_default
    parameter: JsonSchema = {"name": field.data_key, "in": "query", "schema": described}
    if field.required:
        parameter["required"] = True
    if type(field).__module__.startswith("app."):
        parameter["description"] = _text(type(field))
    return parameter


def _member(field: fields.Field[Any]) -> JsonSchema:
    described = _field_schema(field)
    return described if field.required else {"anyOf": [described, {"type": "null"}]}


def _field_schema(field: fields.Field[Any]) -> JsonSchema:
    """Return the schema that the class of a field declares, with the range of the field. Raises `TypeError` for none.

    The tests describe every route, so a new class without a schema fails there.
    """
    if isinstance(field, fields.Nested):
        return body_schema(field.schema)
    declared = getattr(field, "json_schema", None)
    if declared is None:
        if not isinstance(field, fields.String):
            raise TypeError(f"{type(field).__name__} has no json_schema.")
        return {"type": "string"}
    described = dict(declared)
    for validator in field.validators:
        if isinstance(validator, Range):
            described |= {"minimum": validator.min, "maximum": validator.max}
    return described


def _spelt(name: str, field: fields.Field[Any]) -> str:
    """Return the name of a member as answers spell it. A body may spell it in any letter case."""
    key = str(field.data_key or name)
    return key.lower() if key.isupper() else key[0].lower() + key[1:]


def _text(described: type) -> str:
    return " ".join((inspect.getdoc(described) or "").split())
