"""What each error looks like to a caller: one table, plain text (conformance §1.4)."""

from __future__ import annotations

from typing import Final, NamedTuple

import structlog
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from app import errors, logs
from app.web.responses import empty

INTERNAL: Final = (
    "The server encountered an internal error. Please retry the request. If the issue persists, please contact support."
)

_log = structlog.get_logger("bulkhead.errors")


class Problem(NamedTuple):
    """A status, and the message; None stands for the error's own."""

    status: int
    message: str | None = None


PROBLEMS: Final[dict[type[errors.BulkheadError], Problem]] = {
    errors.BulkheadError: Problem(500, INTERNAL),
    errors.InvalidRequest: Problem(400),
    errors.InvalidInstance: Problem(400),
    errors.UnsupportedContent: Problem(415),
    errors.NotAcceptable: Problem(406),
    errors.TooLarge: Problem(413),
    errors.NotFound: Problem(404),
    errors.WorkitemRefused: Problem(400),
    errors.WorkitemNotFound: Problem(404),
    errors.WorkitemConflict: Problem(409),
    errors.OperationActive: Problem(409),
    errors.QueryTagNotFound: Problem(404),
    errors.QueryTagExists: Problem(409),
    errors.StorageError: Problem(503, str(errors.StorageUnavailable())),
    # An index row vouched for the object a moment ago: it was deleted meanwhile.
    errors.BlobMissing: Problem(404, str(errors.NotFound("instance"))),
}
"""By class; a class not listed is answered as its nearest listed base."""


def problem(kind: type[errors.BulkheadError]) -> Problem:
    """Return how errors of this class are answered."""
    return next(PROBLEMS[base] for base in kind.__mro__ if base in PROBLEMS)


def register(app: Flask) -> None:
    """Let every error of the application be answered from the table."""
    app.register_error_handler(errors.BulkheadError, _refuse)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _internal)


def text(message: str, status: int) -> Response:
    """Return an error body: the message alone, and no type where there is no message."""
    return Response(message, status, content_type="text/plain; charset=utf-8") if message else empty(status)


def _refuse(error: errors.BulkheadError) -> Response:
    status, message = problem(type(error))
    if status >= 500:
        _failed(error)
    return text(str(error) if message is None else message, status)


def _http(error: HTTPException) -> Response:
    response = text(error.description or "", error.code or 500)
    for name, value in error.get_headers(request.environ):
        if name.lower() not in ("content-type", "content-length"):
            response.headers[name] = value
    return response


def _internal(error: Exception) -> Response:
    _failed(error)
    return text(INTERNAL, 500)


def _failed(error: Exception) -> None:
    _log.error("request failed", request_id=g.get("request_id"), **logs.described(error))
