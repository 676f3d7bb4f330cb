"""The OpenAPI document in the form in which the page of the API shows it (conformance §1.16, §15.5)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final, NamedTuple

_COMPONENT: Final = "#/components/"


class Parameter(NamedTuple):
    """A parameter. `example` is what the form has at first. `is_spread`: its value is a query string of its own."""

    name: str
    place: str
    required: bool
    description: str
    kind: str
    example: str
    is_spread: bool
    keeps_slashes: bool


class Answer(NamedTuple):
    """An answer: its status with the phrase, what it means, and its media types with the names of their schemas."""

    status: str
    description: str
    content: list[tuple[str, str]]


class Operation(NamedTuple):
    """An operation in the form, base or below a partition, that serves."""

    id: str
    method: str
    path: str
    summary: str
    description: str
    parameters: list[Parameter]
    body_types: list[str]
    body_schema: str
    body_example: str
    is_public: bool
    answers: list[Answer]
    accepts: list[str]


class Group(NamedTuple):
    """The operations of a tag."""

    name: str
    description: str
    operations: list[Operation]


def groups(document: dict[str, Any], *, partitions: bool) -> list[Group]:
    """Return the operations by tag. `partitions` says which form of a route of partitions is shown."""
    shown = list(_operations(document, partitions=partitions))
    return [
        Group(tag["name"], tag["description"], [operation for name, operation in shown if name == tag["name"]])
        for tag in document["tags"]
    ]


def schemas(document: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return the name, the description and the JSON text of each schema."""
    found = document["components"]["schemas"]
    return [(name, each.get("description", ""), json.dumps(each, indent=2)) for name, each in found.items()]


def _operations(document: dict[str, Any], *, partitions: bool) -> Iterator[tuple[str, Operation]]:
    hidden = "while partitions are off" if partitions else "while partitions are on"
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if f"This form serves {hidden}" not in operation["description"]:
                yield operation["tags"][0], _operation(document, method.upper(), path, operation)


def _operation(document: dict[str, Any], method: str, path: str, operation: dict[str, Any]) -> Operation:
    content = operation.get("requestBody", {}).get("content", {})
    example = next((each["example"] for each in content.values() if "example" in each), None)
    answers = [_answer(document, *each) for each in operation["responses"].items()]
    return Operation(
        id=operation["operationId"],
        method=method,
        path=path,
        summary=operation["summary"],
        description=operation["description"],
        parameters=[_parameter(_resolved(document, each)) for each in operation.get("parameters", [])],
        body_types=list(content),
        body_schema=next((_schema_name(each["schema"]) for each in content.values()), ""),
        body_example="" if example is None else json.dumps(example, indent=2),
        is_public=operation.get("security") == [],
        answers=answers,
        accepts=[media_type for answer in answers if answer.status[0] == "2" for media_type, _ in answer.content],
    )


def _parameter(parameter: dict[str, Any]) -> Parameter:
    schema = parameter["schema"]
    example = parameter.get("example", "") if parameter["in"] == "path" or parameter.get("required") else ""
    return Parameter(
        name=parameter["name"],
        place=parameter["in"],
        required=parameter.get("required", False),
        description=parameter.get("description", ""),
        kind=_kind(schema),
        example=str(example),
        is_spread=schema.get("type") == "object",
        keeps_slashes=parameter["name"] == "element",
    )


def _kind(schema: dict[str, Any]) -> str:
    """Return the type of a parameter with its bounds, in words."""
    if "anyOf" in schema:
        schema = schema["anyOf"][0]  # the others are null or an empty text
    text = schema.get("format") or schema.get("type") or _schema_name(schema)
    if "enum" in schema:
        text = " | ".join(schema["enum"])
    if "minimum" in schema or "maximum" in schema:
        text += f" {schema.get('minimum', '')} to {schema.get('maximum', '')}"
    return text + (f", default {schema['default']}" if "default" in schema else "")


def _answer(document: dict[str, Any], status: str, answer: dict[str, Any]) -> Answer:
    answer = _resolved(document, answer)
    content = [(name, _schema_name(each.get("schema", {}))) for name, each in answer.get("content", {}).items()]
    phrase = HTTPStatus(int(status)).phrase
    description = "" if answer["description"] == phrase else answer["description"]
    return Answer(f"{status} {phrase}", description, content)


def _schema_name(schema: dict[str, Any]) -> str:
    """Return the name of the component that a schema refers to, itself or in its items. Empty: none."""
    reference: str = schema.get("$ref") or schema.get("items", {}).get("$ref", "")
    return reference.rpartition("/")[2]


def _resolved(document: dict[str, Any], described: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in described:
        return described
    kind, name = described["$ref"].removeprefix(_COMPONENT).split("/")
    found: dict[str, Any] = document["components"][kind][name]
    return found
