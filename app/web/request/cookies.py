"""The cookies of the service: their names, how they are read, set and removed (RFC 6265, conformance §15.2).

Over https a name begins with `__Host-`. A browser then takes the cookie only from this very host over https, so that
no other host of the domain can plant one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from enum import Enum
from typing import Final

from flask import Request, Response

from app.settings import Settings

MOST_OF_ONE_NAME: Final = 4
"""Cookies of one name that are read. A browser sends several if they have different paths."""

_HTTPS: Final = "https"


class CookieName(Enum):
    """What a cookie is for."""

    SESSION = "bulkhead-session"
    """The credential of the caller."""
    FLOW = "bulkhead-sign-in"
    """What the service has to remember between the two halves of a sign-in with OpenID Connect."""


def values(request: Request, settings: Settings, name: CookieName) -> Iterator[str]:
    """Yield the values of the cookies with this name, in the order of the request."""
    header = request.environ.get("HTTP_COOKIE", "")
    if name.value not in header:
        return
    wanted, found = _full_name(request, settings, name), 0
    for pair in header.split(";"):
        given, _, value = pair.strip().partition("=")
        if given == wanted and found < MOST_OF_ONE_NAME:
            found += 1
            yield value


def set_cookie(
    response: Response, request: Request, settings: Settings, name: CookieName, value: str, seconds: int
) -> None:
    """Let the browser keep a value for some seconds. No script can read it.

    `SameSite=Lax`: a browser sends it with a link from another site, since a report or a worklist links to studies. It
    does not send it with a form, a picture or a call of another site.
    """
    secure = is_secure(request, settings)
    response.set_cookie(
        _full_name(request, settings, name),
        value,
        max_age=seconds,
        path="/" if secure else request.script_root or "/",
        secure=secure,
        httponly=True,
        samesite="Lax",
    )


def remove_cookie(response: Response, request: Request, settings: Settings, name: CookieName) -> None:
    """Let the browser forget a cookie."""
    set_cookie(response, request, settings, name, "", 0)


def is_secure(request: Request, settings: Settings) -> bool:
    """Return whether browsers reach the service over https, as far as it knows."""
    return request.scheme == _HTTPS or settings.public_url.startswith(f"{_HTTPS}:")


def _full_name(request: Request, settings: Settings, name: CookieName) -> str:
    """Return the name. Services under several base paths of one host have different names."""
    base = request.script_root.rstrip("/")
    suffix = "-" + hashlib.sha256(base.encode("utf-8", "replace")).hexdigest()[:8] if base else ""
    return ("__Host-" if is_secure(request, settings) else "") + name.value + suffix
