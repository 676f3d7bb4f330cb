"""Requests that a web page of another origin makes a browser send (cross-site request forgery; conformance §15.2).

A browser adds cookies and passwords of the Basic scheme by itself, and without authentication every request counts. So
a request that may change something must not come from a foreign page. A program that is no browser names no origin.
"""

from __future__ import annotations

from enum import Enum
from typing import Final
from urllib.parse import urlsplit

from flask import Request

from app.errors import ForeignPage
from app.settings import Settings
from app.web.routing.context import address

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110 §9.2.1)."""

_ANY: Final = "*"


class Proof(Enum):
    """How a request proves who its caller is."""

    NONE = "none"
    """It does not. The service does not authenticate, or the route is public."""
    BEARER = "bearer"
    """A token or a JWT in the Authorization header. No browser adds it by itself."""
    BASIC = "basic"
    COOKIE = "cookie"


def refuse_foreign_pages(request: Request, settings: Settings, proof: Proof) -> None:
    """Raise `ForeignPage` if a page of a foreign origin, or nobody knows which page, makes the browser send this.

    `Sec-Fetch-Site` is believed first (Fetch Metadata Request Headers), then `Origin`, then `Referer`. No script can
    set them. A request with a cookie needs one of them, since every browser sends one.
    """
    if request.method in SAFE or proof is Proof.BEARER:
        return
    headers = request.headers
    site, origin, referer = headers.get("Sec-Fetch-Site"), headers.get("Origin"), headers.get("Referer")
    if site is not None:
        is_own = site in ("same-origin", "none")  # none: the person typed the address
    elif origin is not None:
        is_own = origin in _own_origins(request, settings)
    elif referer is not None:
        is_own = _origin_of(referer) in _own_origins(request, settings)
    else:
        is_own = proof is not Proof.COOKIE
    if not is_own and not _is_allowed(origin, settings, proof):
        raise ForeignPage


def is_from_a_browser(request: Request) -> bool:
    """Return whether a request that may change something is from a browser. Each browser sends one of these headers."""
    return any(name in request.headers for name in ("Sec-Fetch-Site", "Origin", "Referer"))


def _is_allowed(origin: str | None, settings: Settings, proof: Proof) -> bool:
    """Return whether the operator lets pages of this origin call the service."""
    if origin is None or (proof is not Proof.NONE and not settings.cors_credentials):
        return False
    return origin in settings.cors_origins or _ANY in settings.cors_origins


def _own_origins(request: Request, settings: Settings) -> set[str | None]:
    """Return the origins of the pages of this service: as the operator names it, and as the request does."""
    return {_origin_of(url) for url in (address(request), settings.public_url) if url}


def _origin_of(url: str) -> str | None:
    """Return `scheme://host[:port]` without the port that the scheme has anyway, None for a text that is no URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if not parts.scheme or not parts.hostname:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    is_default = port is None or (parts.scheme, port) in (("http", 80), ("https", 443))
    return f"{parts.scheme}://{host}" if is_default else f"{parts.scheme}://{host}:{port}"
