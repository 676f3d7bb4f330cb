"""JSON in request bodies of management resources, comments and trailing commas let pass (spec/00)."""

from __future__ import annotations

import re
from typing import Any, Final

import orjson
from flask import Request, g

from app.errors import InvalidRequest, UnsupportedContent
from app.web import media
from app.web.body import open_body

JSON: Final = frozenset({"application/json", "text/json"})

# What is not closed runs to the end, and nothing is tried twice: linear, however hostile.
_STRING: Final = rb'"(?:[^"\\]++|\\.?)*+(?:"|\Z)'
_COMMENT: Final = re.compile(_STRING + rb"|(//[^\r\n]*+|/\*(?:[^*]++|\*(?!/))*+(?:\*/|\Z))", re.DOTALL)
_COMMA: Final = re.compile(_STRING + rb"|(,(?=[ \t\r\n]*+[\]}]))", re.DOTALL)


def require_json_body(request: Request) -> None:
    """Raise `UnsupportedContent` unless the body is declared to be JSON; answered without a text."""
    name = media.parse(request.headers.get("Content-Type", "")).name
    if name not in JSON and not (name.startswith("application/") and name.endswith("+json")):
        raise UnsupportedContent("")


def json_body(request: Request, limit: int) -> Any:
    """Return the document in the body, `limit` bytes at most.

    Raises `InvalidRequest` when there is none or it is not JSON, `TooLarge` past the limit.
    """
    g.body = body = open_body(request, limit)
    body.begin()
    data = body.read()
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass
    try:
        return orjson.loads(_COMMA.sub(_kept, _COMMENT.sub(_kept, data)))
    except orjson.JSONDecodeError as error:
        raise InvalidRequest("The syntax of the request body is invalid.") from error


def _kept(match: re.Match[bytes]) -> bytes:
    return b" " if match[1] else match[0]
