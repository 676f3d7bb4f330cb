"""One log line per request. It has no data of patients: the template of the path, never its values."""

from __future__ import annotations

import re
import secrets
from time import perf_counter
from typing import Final

import structlog
from flask import Response, g, request

from app.web.routing.paths import VERSION_PREFIX
from app.web.routing.versions import VERSION_SEGMENT

HEADER: Final = "X-Request-Id"
_HARMLESS: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)

_log = structlog.get_logger("bulkhead.requests")


def begin() -> None:
    """Record the start time and the request id: the caller's id if it is harmless, otherwise a new one."""
    g.started = perf_counter()
    given = request.environ.get("HTTP_X_REQUEST_ID", "")
    g.request_id = given if _HARMLESS.fullmatch(given) else secrets.token_hex(8)


def end(response: Response) -> None:
    """Put the request id into the answer. Write the log line when the last byte is passed to the server.

    The line of a file that the server sends by itself is written when the file is passed to the server.
    """
    response.headers[HEADER] = g.request_id
    line = _line(response.status_code)
    if response.is_streamed and not response.direct_passthrough:
        response.call_on_close(lambda: _write(line))
    else:
        _write(line)


def _line(status: int) -> dict[str, object]:
    partition = g.get("partition")
    return {
        "request_id": g.request_id,
        "method": request.method,
        "route": _template(),
        "status": status,
        "partition": partition.name if partition else None,
        "started": g.started,
    }


def _template() -> str | None:
    """Return the path of the matched rule, with the version as generated URLs spell it. None if no rule matched."""
    if request.url_rule is None:
        return None
    prefix: str = request.environ.get(VERSION_PREFIX, "")
    return prefix + request.url_rule.rule.removeprefix(VERSION_SEGMENT)


def _write(line: dict[str, object]) -> None:
    started = line.pop("started")
    _log.info("request", duration_ms=round((perf_counter() - started) * 1000, 3), **line)  # type: ignore[operator]
