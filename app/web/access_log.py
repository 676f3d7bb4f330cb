"""One log line per request, and its numbers in the metrics. Neither has data of patients.

Both name the template of the path, never its values. Every log line that is written for a request has its id.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator
from time import perf_counter
from typing import Any, Final, NamedTuple

import structlog
from flask import Response, g, request

from app import metrics, tracing
from app.web.routing.paths import VERSION_PREFIX
from app.web.routing.versions import VERSION_SEGMENT

HEADER: Final = "X-Request-Id"
_HARMLESS: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
"""Methods with a number of their own. A client may send any word."""

_log = structlog.get_logger("bulkhead.requests")


def begin() -> None:
    """Record the start time and the request id: the caller's id if it is harmless, otherwise a new one.

    The id stays in the context of the thread after the request, for the lines of the HTTP server about its answer.
    """
    g.started = perf_counter()
    given = request.environ.get("HTTP_X_REQUEST_ID", "")
    g.request_id = given if _HARMLESS.fullmatch(given) else secrets.token_hex(8)
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)
    g.span = tracing.request_span(_counted_method(), request.environ.get("HTTP_TRACEPARENT", ""))
    if g.span:
        structlog.contextvars.bind_contextvars(trace_id=g.span.trace_id)
    metrics.REQUESTS_IN_FLIGHT.add()


def end(response: Response) -> None:
    """Put the request id into the answer. Write the log line when the last byte is passed to the server.

    The line of a file that the server sends by itself is written when the file is passed to the server.
    """
    response.headers[HEADER] = g.request_id
    answered = _Answered.of(response)
    if response.is_streamed and not response.direct_passthrough:
        sent = _CountedChunks(response.response)
        response.response = sent
        response.call_on_close(lambda: answered.record(sent.size))
    else:
        answered.record(response.content_length or 0)


class _Answered(NamedTuple):
    """What is known of a request when its answer begins."""

    method: str
    template: str | None
    version: str
    status: int
    partition: str | None
    request_id: str
    started: float
    body: Any
    span: tracing.RequestSpan | None

    @classmethod
    def of(cls, response: Response) -> _Answered:
        partition = g.get("partition")
        prefix: str = request.environ.get(VERSION_PREFIX, "")
        rule = request.url_rule
        return cls(
            method=_counted_method(),
            template=rule.rule.removeprefix(VERSION_SEGMENT) if rule else None,
            version=prefix,
            status=response.status_code,
            partition=partition.name if partition else None,
            request_id=g.request_id,
            started=g.started,
            body=g.get("body"),
            span=g.span,
        )

    def record(self, sent: int) -> None:
        """Write the log line, and count the request with an answer of `sent` bytes."""
        seconds = perf_counter() - self.started
        method = self.method
        route = "none" if self.template is None else self.template or "/"
        metrics.REQUESTS.add(method, route, self.version.removeprefix("/") or "none", str(self.status))
        metrics.REQUEST_SECONDS.observe(seconds, route)
        metrics.REQUESTS_IN_FLIGHT.add(by=-1)
        if method != "HEAD":
            metrics.SENT_BYTES.add(by=sent)
        if self.body is not None:
            metrics.RECEIVED_BYTES.add(by=self.body.received)
        _log.info(
            "request",
            duration_ms=round(seconds * 1000, 3),
            request_id=self.request_id,
            method=self.method,
            # with the version as generated URLs spell it
            route=None if self.template is None else self.version + self.template,
            status=self.status,
            partition=self.partition,
        )
        if self.span:
            self.span.end(method, route, self.status)


def _counted_method() -> str:
    """Return the method of the request, `other` for a word that is no method."""
    return request.method if request.method in _METHODS else "other"


class _CountedChunks:
    """The chunks of an answer, and how many bytes were passed on so far."""

    def __init__(self, chunks: Iterable[bytes] | Iterable[str]) -> None:
        self._chunks: Any = chunks
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.size += len(chunk)
            yield chunk

    def close(self) -> None:
        """Close what makes the chunks."""
        if hasattr(self._chunks, "close"):
            self._chunks.close()
