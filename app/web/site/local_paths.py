"""Paths of this site, and redirects to them. No redirect leads to another site."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from flask import Request, Response, request

SIGN_IN: Final = "/ui/sign-in"
START: Final = "/ui/sign-in/start"
CALLBACK: Final = "/ui/callback"
SIGN_OUT: Final = "/ui/sign-out"
HOME: Final = "/"

_LOCAL: Final = re.compile(r"/(?![/\\])[!-\[\]-~]{0,2000}", re.ASCII)
"""Printable ASCII without a backslash. Browsers read `//host`, `/\\host` and a path with a tab as other hosts."""
_NEVER_NEXT: Final = (SIGN_IN, SIGN_OUT, CALLBACK)


def local_path(request: Request) -> str:
    """Return the path and the query of a request, below the base path of the service."""
    query = request.environ.get("QUERY_STRING", "")
    path = quote(request.path, safe="/:@!$&'()*+,;=~")
    return safe_path(f"{path}?{query}" if query else path)


def safe_path(text: str) -> str:
    """Return the path if a person may be led there after the sign-in, otherwise that of the front page."""
    return text if _LOCAL.fullmatch(text) and not text.startswith(_NEVER_NEXT) else HOME


def sign_in_path(following: str) -> str:
    """Return the path of the sign-in page that leads to the page `following` afterwards."""
    return SIGN_IN if following == HOME else f"{SIGN_IN}?next={quote(following, safe='/')}"


def see_other(path: str) -> Response:
    """Return the answer that leads a browser to a path below the base path of the service (RFC 9110 §15.4.4).

    After a form, a reload of the page at this path does not send the form again.
    """
    response = Response(status=303, headers={"Location": request.script_root + path, "Cache-Control": "no-store"})
    response.headers.remove("Content-Type")
    return response
