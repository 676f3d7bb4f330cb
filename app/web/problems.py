"""Answers to errors: plain text, the message alone (conformance §1.4). Each error class declares its own answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import structlog
from flask import Flask, Request, Response, current_app, g, request
from werkzeug.exceptions import HTTPException, NotFound

from app import logs
from app.errors import INTERNAL, BulkheadError, Unauthenticated
from app.metrics import REFUSALS
from app.web.request.cookies import CookieName
from app.web.response.challenges import challenges
from app.web.response.responses import empty, json
from app.web.routing.context import address
from app.web.routing.dispatch import SETTINGS
from app.web.routing.paths import unserved_version

_log = structlog.get_logger("bulkhead.errors")


def register(app: Flask) -> None:
    """Let the application answer every error in the form of this module."""
    for kind, handler in _HANDLERS:
        app.register_error_handler(kind, handler)
    app.register_error_handler(Exception, _unexpected)


def answer(error: Exception) -> Response:
    """Return the answer to an error: that of the class that is closest to its own."""
    for kind, handler in _HANDLERS:
        if isinstance(error, kind):
            return handler(error)
    return _unexpected(error)


def text(message: str, status: int) -> Response:
    """Return an answer with a message. An empty message gives an answer without a body and a Content-Type."""
    return Response(message, status, content_type="text/plain; charset=utf-8") if message else empty(status)


def _declared(error: BulkheadError) -> Response:
    REFUSALS.add(type(error).__name__)
    if error.status >= 500:
        _log_failure(error)
    response = text(str(error) if error.public_message is None else error.public_message, error.status)
    response.headers.update(error.headers)
    return response


def _unauthenticated(error: Unauthenticated) -> Response:
    response = _declared(error)
    for challenge in challenges(current_app.extensions[SETTINGS], error, basic=not _is_from_a_page(request)):
        response.headers.add("WWW-Authenticate", challenge)
    return response


def _is_from_a_page(request: Request) -> bool:
    """Return whether a page of this service sent the request. The browser would ask for a password in a dialog."""
    has_cookie = CookieName.SESSION.value in request.environ.get("HTTP_COOKIE", "")
    return has_cookie or request.headers.get("Sec-Fetch-Site") == "same-origin"


def _no_route(error: NotFound) -> Response:
    """Answer a path without a route: 400 if it names a version that is not served, otherwise 404 (conformance §1.1)."""
    REFUSALS.add("NotFound")
    version = unserved_version(request.path)
    if version is None:
        return text(error.description or "", 404)
    message = (
        f"The HTTP resource that matches the request URI '{address(request)}{request.path}' "
        f"does not support the API version '{version}'."
    )
    return json({"error": {"code": "UnsupportedApiVersion", "message": message}}, 400)


def _http(error: HTTPException) -> Response:
    REFUSALS.add(type(error).__name__)
    response = text(error.description or "", error.code or 500)
    for name, value in error.get_headers(request.environ):
        if name.lower() not in ("content-type", "content-length"):
            response.headers[name] = value
    return response


def _unexpected(error: Exception) -> Response:
    REFUSALS.add("Unexpected")
    _log_failure(error)
    return text(INTERNAL, 500)


def _log_failure(error: Exception) -> None:
    _log.error("request failed", request_id=g.get("request_id"), **logs.described(error))


_HANDLERS: Final[tuple[tuple[type[Exception], Callable[[Any], Response]], ...]] = (
    (Unauthenticated, _unauthenticated),
    (BulkheadError, _declared),
    (NotFound, _no_route),
    (HTTPException, _http),
)
"""Class of an error and its handler. A class is before the classes that it inherits from."""
