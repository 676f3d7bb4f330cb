"""The gunicorn worker: threads stay with busy connections and leave silent ones; what is no HTTP is refused plainly.

gunicorn's own hands every request of a kept-alive connection from the polling thread to a pool thread and back: two
hand-overs of the interpreter lock, a good part of what a small answer costs. Ingestion pipelines and viewers send their
next request as soon as they have the answer, so the thread waits for it, a few milliseconds, while no other connection
waits for a thread.

Nor does gunicorn's own ever give up a client that falls silent in the midst of a request, or vanishes without a word:
a dozen of those hold every thread.
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

LINGER_MILLISECONDS: Final = 4
MOST_IN_A_ROW: Final = 100
"""Requests answered before the connection queues up again, so that a busy one cannot keep a thread to itself."""

SILENT_SECONDS: Final = 60
"""How long a client may send nothing of what it began to send, or take nothing of what it is sent."""

_STATUSES: Final = {
    errors.LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    errors.LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    errors.ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
    errors.UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
    errors.ParseException: HTTPStatus.BAD_REQUEST,
}
"""By class, the special before the general; anything else is a fault of ours."""


class KeepAliveWorker(ThreadWorker):
    """gunicorn's threaded worker; `handle` runs in a pool thread and answers what is on one connection."""

    def init_process(self) -> None:
        """Serve; connections have the limits of the socket they come from."""
        for listener in self.sockets:
            bound_silence(listener.sock)  # type: ignore[attr-defined]  # gunicorn wraps it
        super().init_process()

    def handle(self, conn: Any) -> Any:
        for _ in range(MOST_IN_A_ROW):
            kept = super().handle(conn)
            if kept is not True or not self.alive or conn.is_http2 or self.tpool._work_queue.qsize():
                return kept
            poll = select.poll()
            poll.register(conn.sock, select.POLLIN)
            if not poll.poll(LINGER_MILLISECONDS):
                return kept
        return kept

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer what never reached the application. The log names the fault and quotes nothing: it may be a query."""
        status = next((found for kind, found in _STATUSES.items() if isinstance(exc, kind)), None)
        if status is None:
            self.log.exception("a request failed outside the application")
            client.sendall(refusal(HTTPStatus.INTERNAL_SERVER_ERROR, ""))
        else:
            self.log.warning("what is no request was refused: %s", type(exc).__name__)
            client.sendall(refusal(status, str(exc)))


def bound_silence(listener: socket.socket, seconds: int = SILENT_SECONDS) -> None:
    """Let reads and writes fail on connections accepted from here on whose other end stays silent for so long."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", seconds, 0))
    if hasattr(socket, "TCP_USER_TIMEOUT") and listener.family != socket.AF_UNIX:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * seconds)


def refusal(status: HTTPStatus, text: str) -> bytes:
    """Return a whole answer in plain text, after which the connection is closed."""
    body = text.encode("utf-8", "replace")
    headers = [
        ("Connection", "close"),
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        *ALWAYS,
    ]
    head = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"HTTP/1.1 {status.value} {status.phrase}\r\n{head}\r\n".encode() + body
