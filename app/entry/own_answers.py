"""Answers that the HTTP server gives by itself, without the application. Each closes its connection."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from gunicorn.http import errors

from app.errors import OVERLOADED, RETRY_AFTER_SECONDS
from app.web import liveness
from app.web.headers import ALWAYS

_STATUSES: Final = {
    errors.LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    errors.LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    errors.ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
    errors.UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
    errors.ParseException: HTTPStatus.BAD_REQUEST,
}
"""The status for each class of fault, subclasses first. Any other error is a fault of the service."""


class Overloaded(Exception):
    """No work slot became free in time, or too many requests wait for one."""


def status_of(error: BaseException) -> HTTPStatus | None:
    """Return the status for a malformed request, None if the error is a fault of the service."""
    return next((status for kind, status in _STATUSES.items() if isinstance(error, kind)), None)


def live_answer(head: bytes) -> bytes | None:
    """Return the complete answer to `GET /health/live`, None for the start of another request."""
    method, _, rest = head.partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0].decode("latin-1")
    if method not in (b"GET", b"HEAD") or not liveness.is_live_path(path):
        return None
    return liveness.whole_answer((("Connection", "close"), *ALWAYS), with_body=method == b"GET")


def overloaded() -> bytes:
    """Return the complete answer to a request that is refused because too much is asked."""
    return refusal(HTTPStatus.SERVICE_UNAVAILABLE, OVERLOADED, ("Retry-After", str(RETRY_AFTER_SECONDS)))


def refusal(status: HTTPStatus, text: str, *more: tuple[str, str]) -> bytes:
    """Return a complete answer in plain text. It tells the client that the connection is closed."""
    body = text.encode("utf-8", "replace")
    headers = [
        ("Connection", "close"),
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        *more,
        *ALWAYS,
    ]
    head = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"HTTP/1.1 {status.value} {status.phrase}\r\n{head}\r\n".encode() + body
