"""The gunicorn worker of this service. It differs from gunicorn's own worker in four ways.

It is faster on kept-alive connections. gunicorn's own worker passes each request from its polling thread to a pool
thread and back, which is much of the cost of a small answer. Clients often send the next request as soon as they have
the answer. So the thread waits for it for a few milliseconds, unless other connections wait for a thread.

It closes the connection of a client that stops sending or receiving in the middle of a request. gunicorn's own worker
waits for ever, so a few such clients can occupy all threads.

It refuses a malformed request in plain text.

It answers a request of a later minor version as HTTP/1.1 (RFC 9110 §6.2). gunicorn's own worker repeats the version.
"""

from __future__ import annotations

import select
import socket
import struct
from http import HTTPStatus
from typing import Any, Final

from gunicorn.http import errors
from gunicorn.workers.gthread import ThreadWorker

from app.web.headers import ALWAYS

HTTP_1_1: Final = (1, 1)
LINGER_MILLISECONDS: Final = 4
MAX_REQUESTS_IN_A_ROW: Final = 100
"""Requests of one connection that a thread answers before it serves other connections."""

SILENT_SECONDS: Final = 60
"""How long a client may send no further byte of its request, or accept no further byte of its answer."""

_STATUSES: Final = {
    errors.LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    errors.LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    errors.ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
    errors.UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
    errors.ParseException: HTTPStatus.BAD_REQUEST,
}
"""The status for each class of fault, subclasses first. Any other error is a fault of the service."""


class KeepAliveWorker(ThreadWorker):
    """gunicorn's threaded worker. `handle` runs in a pool thread and answers the requests of one connection."""

    def init_process(self) -> None:
        """Serve. Accepted connections inherit the timeouts of their listening socket."""
        for listener in self.sockets:
            limit_silence(listener.sock)  # type: ignore[attr-defined]  # gunicorn wraps it
        super().init_process()

    def handle(self, conn: Any) -> Any:
        for _ in range(MAX_REQUESTS_IN_A_ROW):
            kept = super().handle(conn)
            if kept is not True or not self.alive or conn.is_http2 or self.tpool._work_queue.qsize():
                return kept
            poll = select.poll()
            poll.register(conn.sock, select.POLLIN)
            if not poll.poll(LINGER_MILLISECONDS):
                return kept
        return kept

    def handle_request(self, req: Any, conn: Any) -> Any:
        if req.version > HTTP_1_1 and not conn.is_http2:
            req.version = HTTP_1_1
        return super().handle_request(req, conn)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer a request that did not reach the application. The log never quotes it: it may name a patient."""
        status = next((found for kind, found in _STATUSES.items() if isinstance(exc, kind)), None)
        if status is None:
            self.log.exception("a request failed outside the application")
            client.sendall(refusal(HTTPStatus.INTERNAL_SERVER_ERROR, ""))
        else:
            self.log.warning("a malformed request was refused: %s", type(exc).__name__)
            client.sendall(refusal(status, str(exc)))


def limit_silence(listener: socket.socket, seconds: int = SILENT_SECONDS) -> None:
    """Let reads and writes fail on connections accepted from now on when the client is silent for so many seconds."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", seconds, 0))
    if hasattr(socket, "TCP_USER_TIMEOUT") and listener.family != socket.AF_UNIX:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * seconds)


def refusal(status: HTTPStatus, text: str) -> bytes:
    """Return a complete answer in plain text. It tells the client that the connection is closed."""
    body = text.encode("utf-8", "replace")
    headers = [
        ("Connection", "close"),
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        *ALWAYS,
    ]
    head = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"HTTP/1.1 {status.value} {status.phrase}\r\n{head}\r\n".encode() + body
