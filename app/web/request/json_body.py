"""JSON documents in request bodies (conformance §1.6).

Comments, trailing commas and a byte order mark are accepted. A member that is given twice is refused.
"""

from __future__ import annotations

import codecs
import json
import re
from typing import Any, Final

import orjson
from flask import Request

from app.dicom.json.received import SYNTAX
from app.errors import InvalidField, InvalidRequest, UnsupportedContent
from app.web.request.body import open_body

# The time is linear in any input: an unclosed string or comment extends to the end, and possessive quantifiers try
# nothing twice. One match covers everything between two removed pieces, because one call per string would take seconds.
_STRING: Final = rb'"(?:[^"\\]++|\\.?)*+(?:"|\Z)'
_COMMENT: Final = re.compile(
    rb'(?:[^"/]++|' + _STRING + rb"|/(?![/*]))++|(//[^\r\n]*+|/\*(?:[^*]++|\*(?!/))*+(?:\*/|\Z))", re.DOTALL
)
_COMMA: Final = re.compile(rb'(?:[^",]++|' + _STRING + rb"|,(?![ \t\r\n]*+[\]}]))++|(,)", re.DOTALL)


def require_json_body(request: Request) -> None:
    """Raise `UnsupportedContent`, without a text, unless the Content-Type is JSON."""
    if not request.is_json and request.mimetype != "text/json":
        raise UnsupportedContent("")


def json_body(request: Request, limit: int) -> Any:
    """Return the document in the body, which has at most `limit` bytes.

    Raises `TooLarge` past the limit, `InvalidRequest` for an empty body and as `document`.
    """
    body = open_body(request, limit)
    body.begin()
    return document(body.read())


def document(data: bytes) -> Any:
    """Return the value of a JSON text in UTF-8. Raises `InvalidRequest` for bad syntax or a member given twice."""
    text = data.removeprefix(codecs.BOM_UTF8)
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        text = _COMMA.sub(_blank, _COMMENT.sub(_blank, text))
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise InvalidRequest(SYNTAX) from error
    _refuse_repeated_members(text)
    return value


def _refuse_repeated_members(text: bytes) -> None:
    """Raise `InvalidField` for a member given twice: programs differ in which one counts. orjson does not report it."""
    try:
        json.loads(text, object_pairs_hook=_check_members, parse_int=len, parse_float=len)
    except RecursionError as error:
        raise InvalidRequest(SYNTAX) from error


def _check_members(pairs: list[tuple[str, Any]]) -> None:
    names = {name for name, _ in pairs}
    for name, _ in pairs if len(names) < len(pairs) else ():
        if name not in names:
            raise InvalidField(name[:64], "It is given twice.")
        names.remove(name)


def _blank(match: re.Match[bytes]) -> bytes:
    """Return a blank in place of a comment or a comma (group 1), and any other text unchanged."""
    return b" " if match[1] else match[0]
