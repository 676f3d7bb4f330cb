"""Calls and embedding from web pages of other origins, as the operator allows them (conformance §1.3).

CORS lets a script of the page read an answer. `Cross-Origin-Resource-Policy` lets a page that requires it (COEP) show
an answer in `<img>` or `<video>`. `frame-ancestors` lets the page show an answer in `<iframe>` or `<object>`.
"""

from __future__ import annotations

from typing import Any, Final

from flask import Flask, Request, Response, request
from flask_cors import CORS

from app.settings import Settings
from app.web.response.responses import empty

EXPOSED: Final = (
    "Accept-Ranges",
    "Allow",
    "Content-Digest",
    "Content-Encoding",
    "Content-Length",
    "Content-Location",
    "Content-Range",
    "ETag",
    "Link",
    "Location",
    "Repr-Digest",
    "Retry-After",
    "WWW-Authenticate",
    "Warning",
    "X-Request-Id",
    "api-deprecated-versions",
    "api-supported-versions",
    "erroneous-dicom-attributes",
)
"""Headers of an answer that a script may read. A browser hides every other header but a few simple ones."""


def is_preflight(request: Request) -> bool:
    """Return whether a browser asks what a page may send, before it sends the request of the page (Fetch §3.3.2)."""
    headers = request.headers
    return request.method == "OPTIONS" and "Origin" in headers and "Access-Control-Request-Method" in headers


def allow_origins(app: Flask, settings: Settings) -> None:
    """Answer pages of the origins that the settings name. Without such origins this does nothing."""
    if not settings.cors_origins:
        return
    options: dict[str, Any] = {
        "origins": list(settings.cors_origins),
        "allow_headers": list(settings.cors_headers),
        "methods": list(settings.cors_methods),
        "max_age": settings.cors_max_age,
        "supports_credentials": settings.cors_credentials,
        "expose_headers": list(EXPOSED),
    }
    app.before_request(_answer_preflight)
    app.after_request(_allow_embedding)  # Flask calls the functions in reverse order: this one after that of flask-cors
    CORS(app, **{option: value for option, value in options.items() if value != []})


def _answer_preflight() -> Response | None:
    """Answer a preflight of any path. If the path is not served, the page then learns it from the request itself."""
    return empty(204) if is_preflight(request) else None


def _allow_embedding(response: Response) -> Response:
    """Let pages show the answer, unless the request names an origin that is not allowed.

    The request of an `<img>` names no origin. Without `Vary` a browser would give the answer to it from its cache to a
    script, which may not read it.
    """
    response.vary.add("Origin")
    if "Origin" not in request.headers or "Access-Control-Allow-Origin" in response.headers:
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response
