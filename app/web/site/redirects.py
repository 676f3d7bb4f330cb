"""The answer to a form that did its work: the browser gets another page (RFC 9110 §15.4.4)."""

from __future__ import annotations

from flask import Response, request


def see_other(path: str) -> Response:
    """Return 303 to a path of this service below its base path. A reload of that page does not send the form again."""
    response = Response(status=303)
    response.headers["Location"] = request.script_root + path
    response.headers.remove("Content-Type")
    return response
