"""Parameter Objects: those of paths, and those that many routes share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from app.dicom.query.parameters import DEFAULT_LIMIT, MAX_LIMIT, MAX_OFFSET
from app.web.openapi.answer_schemas import JsonSchema, ref
from app.web.openapi.descriptions import INSTANCE, SERIES, STUDY, WORKITEM, Description
from app.web.openapi.field_schemas import query_parameters
from app.web.routing.route import Route

_IN_PATH: Final = re.compile(r"<(?:\w+:)?(\w+)>")
_HEX_DIGITS: Final = r"^[0-9a-f]{32}$"


def _path(name: str, description: str, example: str, **schema: Any) -> JsonSchema:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": {"type": "string", **schema},
        "example": example,
    }


def _uid(name: str, of: str, example: str) -> JsonSchema:
    return _path(name, f"The UID of the {of}.", example) | {"schema": ref("Uid")}


_ID: Final = "^[0-9a-z]{1,64}$"

PATH_PARAMETERS: Final[dict[str, JsonSchema]] = {
    "partition": _path(
        "partitionName", "The name of the partition (conformance §2.2).", "clinic-a", pattern=r"^[A-Za-z0-9_.-]{1,64}$"
    ),
    "study": _uid("studyInstanceUid", "study", STUDY),
    "series": _uid("seriesInstanceUid", "series", SERIES),
    "instance": _uid("sopInstanceUid", "instance", INSTANCE),
    "workitem": _uid("workitemInstanceUid", "workitem", WORKITEM),
    "frames": _path(
        "frames", "Numbers of frames from 1, separated by commas.", "1", pattern=r"^[1-9][0-9]{0,8}(,[1-9][0-9]{0,8})*$"
    ),
    "element": _path(
        "element",
        "The tag of an element in 8 hexadecimal digits. Items of sequences come before it: `00081140/1/00081150`.",
        "7FE00010",
        pattern=r"^[0-9A-Fa-f]{8}(/[0-9]+/[0-9A-Fa-f]{8})*$",
    ),
    "path": _path(
        "tagPath", "The tag: a keyword or 8 hexadecimal digits (conformance §8.2).", "PatientAge", minLength=1
    ),
    "operation": _path("operationId", "The id of the operation.", "0" * 32, pattern=_HEX_DIGITS),
    "token": _path("tokenId", "The id of the token.", "0" * 14, pattern=_ID),
    "grant": _path("grantId", "The id of the grant.", "0" * 14, pattern=_ID),
}
"""By the name in the route table. The names in the document are Microsoft's where Microsoft's has them."""


def _query(name: str, description: str, schema: JsonSchema, **properties: Any) -> JsonSchema:
    return {"name": name, "in": "query", "description": description, "schema": schema, **properties}


def _header(name: str, description: str, example: str) -> JsonSchema:
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string"}, "example": example}


_ACCEPT: Final = "Accept"
_RANGE: Final = "Range"
_IF_NONE_MATCH: Final = "IfNoneMatch"
_ORIGINAL: Final = "RequestOriginal"
_FILTERS: Final = ("Filters", "IncludeField", "FuzzyMatching", "Limit", "Offset", "Cursor")

SHARED_PARAMETERS: Final[dict[str, JsonSchema]] = {
    _ACCEPT: _query("accept", "Stands in for the header Accept (PS3.18 §8.3.3.1).", {"type": "string"}),
    _RANGE: _header("Range", "A range of bytes (conformance §4.4).", "bytes=0-99"),
    _IF_NONE_MATCH: _header("If-None-Match", "An entity tag. The answer is 304 if it is current.", '"tag"'),
    _ORIGINAL: _header(
        "msdicom-request-original", "`true` asks for the files as first stored (conformance §4.9).", "true"
    ),
    "Filters": _query(
        "filters",
        "Attributes and their values. The name of a parameter is a keyword or 8 hexadecimal digits (conformance §5.3).",
        {"type": "object", "additionalProperties": {"type": "string"}},
        style="form",
        explode=True,
    ),
    "IncludeField": _query(
        "includefield",
        "Attributes to return beside the default ones, or `all`.",
        {"type": "array", "items": {"type": "string"}},
        style="form",
        explode=False,
    ),
    "FuzzyMatching": _query("fuzzymatching", "Match words of names by their beginnings.", {"type": "boolean"}),
    "Limit": _query(
        "limit",
        "The largest number of matches.",
        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
    ),
    "Offset": _query(
        "offset",
        "The number of matches to skip.",
        {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET, "default": 0},
    ),
    "Cursor": _query(
        "cursor",
        "Where the page begins, from the header `Link` of the page before it (conformance §5.6).",
        {"type": "string"},
    ),
}
"""The components, by name."""


def template(path: str) -> str:
    """Return a path of the route table as a path of the document."""
    return _IN_PATH.sub(lambda found: f"{{{PATH_PARAMETERS[found[1]]['name']}}}", path)


def path_parameters(path: str) -> list[str]:
    """Return the names, in the route table, of the parameters of a path."""
    return _IN_PATH.findall(path)


def negotiates(route: Route) -> bool:
    """Return whether the answer depends on the Accept header."""
    return bool(route.representations or route.read_accept or route.requires_json)


def serves_ranges(route: Route) -> bool:
    """Return whether the route answers with ranges of bytes. The 206 of a worklist search is another thing."""
    return 206 in route.answers and not route.requires_json


def parameters(route: Route, path: str, description: Description) -> list[JsonSchema]:
    """Return the parameters of an operation. `path` has the partition too, if the form is below one."""
    own = [PATH_PARAMETERS[name] for name in path_parameters(path)]
    own += query_parameters(route.query) if route.query else []
    own += description.query
    examples = description.query_example
    own = [each | {"example": examples[each["name"]]} if each["name"] in examples else each for each in own]
    return own + [{"$ref": f"#/components/parameters/{name}"} for name in _shared(route, description)]


def _shared(route: Route, description: Description) -> Iterator[str]:
    if description.filters:
        yield from _FILTERS
    if negotiates(route):
        yield _ACCEPT
    if serves_ranges(route):
        yield _RANGE
    if 304 in route.answers:
        yield _IF_NONE_MATCH
    if description.original:
        yield _ORIGINAL
