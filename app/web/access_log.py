"""One line a request, without patient data: the route's template, never its values."""

from __future__ import annotations

import re
import secrets
from time import perf_counter
from typing import Final

import structlog
from flask import Response, g, request

HEADER: Final = "X-Request-Id"
_TRUSTED: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)

_log = structlog.get_logger("bulkhead.requests")


def begin() -> None:
    """Start the clock, and take over the caller's request id if it is harmless."""
    g.started = perf_counter()
    given = request.environ.get("HTTP_X_REQUEST_ID", "")
    g.request_id = given if _TRUSTED.fullmatch(given) else secrets.token_hex(8)


def end(response: Response) -> None:
    """Name the request in the answer, and log it once its last byte is handed over.

    A file that the server sends by itself is logged when it is handed over whole.
    """
    response.headers[HEADER] = g.request_id
    line = _line(response.status_code)
    if response.is_streamed and not response.direct_passthrough:
        response.call_on_close(lambda: _write(line))
    else:
        _write(line)


def _line(status: int) -> dict[str, object]:
    scope = g.get("scope")
    partition = scope.resolved if scope else None
    return {
        "request_id": g.request_id,
        "method": request.method,
        "route": request.url_rule.rule if request.url_rule else None,
        "status": status,
        "partition": partition.name if partition else None,
        "started": g.started,
    }


def _write(line: dict[str, object]) -> None:
    started = line.pop("started")
    _log.info("request", duration_ms=round((perf_counter() - started) * 1000, 3), **line)  # type: ignore[operator]
