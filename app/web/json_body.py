"""JSON in request bodies: comments, trailing commas and a byte order mark are let pass (conformance §1.6), no name twice."""

from __future__ import annotations

import codecs
import json
import re
from typing import Any, Final

import orjson
from flask import Request

from app.dicom.json.received import SYNTAX
from app.errors import InvalidField, InvalidRequest, UnsupportedContent
from app.web import media
from app.web.body import open_body

JSON: Final = frozenset({"application/json", "text/json"})

# What is not closed runs to the end, and nothing is tried twice: linear, however hostile. All that stays between two
# pieces that go is one match: a call for each string would take seconds.
_STRING: Final = rb'"(?:[^"\\]++|\\.?)*+(?:"|\Z)'
_COMMENT: Final = re.compile(
    rb'(?:[^"/]++|' + _STRING + rb"|/(?![/*]))++|(//[^\r\n]*+|/\*(?:[^*]++|\*(?!/))*+(?:\*/|\Z))", re.DOTALL
)
_COMMA: Final = re.compile(rb'(?:[^",]++|' + _STRING + rb"|,(?![ \t\r\n]*+[\]}]))++|(,)", re.DOTALL)


def require_json_body(request: Request) -> None:
    """Raise `UnsupportedContent` unless the body is declared to be JSON; answered without a text."""
    name = media.parse(request.headers.get("Content-Type", "")).name
    if name not in JSON and not (name.startswith("application/") and name.endswith("+json")):
        raise UnsupportedContent("")


def json_body(request: Request, limit: int) -> Any:
    """Return the document in the body, `limit` bytes at most.

    Raises `InvalidRequest` when there is none or as `document`, `TooLarge` past the limit.
    """
    body = open_body(request, limit)
    body.begin()
    return document(body.read())


def document(data: bytes) -> Any:
    """Return what a JSON text says, in UTF-8. Raises `InvalidRequest` if it is none or names a member twice."""
    text = data.removeprefix(codecs.BOM_UTF8)
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        text = _COMMA.sub(_kept, _COMMENT.sub(_kept, text))
        try:
            found = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise InvalidRequest(SYNTAX) from error
    _refuse_repeated(text)
    return found


def _refuse_repeated(text: bytes) -> None:
    """Raise for a member that an object has twice: readers differ in which one counts, and orjson cannot tell."""
    try:
        json.loads(text, object_pairs_hook=_once, parse_int=len, parse_float=len)
    except RecursionError as error:
        raise InvalidRequest(SYNTAX) from error


def _once(pairs: list[tuple[str, Any]]) -> None:
    names = {name for name, _ in pairs}
    for name, _ in pairs if len(names) < len(pairs) else ():
        if name not in names:
            raise InvalidField(name[:64], "It is given twice.")
        names.remove(name)


def _kept(match: re.Match[bytes]) -> bytes:
    return b" " if match[1] else match[0]
