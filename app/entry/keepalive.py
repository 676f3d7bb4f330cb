"""The gunicorn worker of this service. It has threads like gunicorn's own worker, and differs from it in these ways.

Slow clients do not hold up others. gunicorn's own worker has few threads, and each waits for its client. Here a process
has many threads, but few work slots (work_slots.py). A request gives its slot away while it waits for its client
(client_socket.py). Connections without a whole head of a request have no thread (waiting_connections.py).

When too much is asked, it answers early with 503. `GET /health/live` is answered all the same.

It is faster on kept-alive connections. Clients often send the next request as soon as they have the answer. So the
thread waits for it for a few milliseconds, and does not pass the connection to the polling thread and back.

The server processes share the connections evenly (sharing_worker.py).

It refuses a malformed request in plain text.

It answers a request of a later minor version as HTTP/1.1 (RFC 9110 §6.2). gunicorn's own worker repeats the version.
"""

from __future__ import annotations

import errno
import select
import socket
from functools import partial
from http import HTTPStatus
from time import sleep
from typing import Any, Final

import structlog
from gunicorn.workers.gthread import TConn

from app.entry.client_socket import ClientSocket
from app.entry.open_files import allow_open_files
from app.entry.own_answers import Overloaded, live_answer, overloaded, refusal, status_of
from app.entry.request_body import share_slot
from app.entry.request_threads import RequestThreads
from app.entry.sharing_worker import SharingWorker
from app.entry.silence import limit_silence
from app.entry.waiting_connections import IDLE_CONNECTIONS, Wait, WaitingConnections
from app.entry.work_slots import ProcessSlots
from app.metrics import REFUSALS

HTTP_1_1: Final = (1, 1)
LINGER_MILLISECONDS: Final = 4
MAX_REQUESTS_IN_A_ROW: Final = 100
"""Requests of one connection that a thread answers before the polling thread waits for the next one."""

HEAD_SECONDS: Final = 20.0
"""How long a client may take to send the head of a request."""

STOP_SECONDS: Final = 2.0
"""How long a process that stops waits for a request on an open connection."""

END_SECONDS: Final = 10.0
"""How long the service reads from a client after the last answer. A client that still sends may lose the answer when
the connection is closed. No thread waits for it."""

_RESERVED: Final = 64
"""Connections that are only accepted to be refused."""

_HEAD_BYTES: Final = 16 * 1024
"""Bytes of an incomplete head with which a connection gets a thread."""

_UNREAD: Final = "a client did not get the last answer: %s"
_NO_FILE_SECONDS: Final = 0.05
"""A pause if the system has no file left for a connection. Without it the polling thread would try again at once."""


class KeepAliveWorker(SharingWorker):
    """gunicorn's threaded worker. `handle` runs in a thread and answers the requests of one connection.

    The methods in the middle part run in the polling thread, which is the main thread. They never wait.
    """

    def init_process(self) -> None:
        """Serve. Accepted connections inherit the options of their listening socket."""
        for listener in self.sockets:
            limit_silence(listener.sock)  # type: ignore[attr-defined]  # gunicorn wraps it
        allow_open_files(self.worker_connections)
        keep_values(self.cfg)
        self.slots = ProcessSlots(self.cfg.threads)
        super().init_process()

    def get_thread_pool(self) -> Any:
        self.threads = RequestThreads(max(self.worker_connections - IDLE_CONNECTIONS, self.cfg.threads))
        return self.threads

    def run(self) -> None:
        seconds = {Wait.REQUEST: float(self.cfg.keepalive), Wait.HEAD: HEAD_SECONDS, Wait.END: END_SECONDS}
        self.waiting = WaitingConnections(self.poller, seconds, self.readable)
        super().run()

    # --- the polling thread -----------------------------------------------------------------------------------------

    def accept_now(self, listener: Any) -> None:
        """Accept a connection. If there are too many, close an idle one, or refuse the new one."""
        try:
            accepted, address = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                if not self._evict():
                    sleep(_NO_FILE_SECONDS)
            elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                raise
            return
        connection = TConn(self.cfg, ClientSocket(accepted), address, listener.getsockname())
        connection.data_ready = True
        full = self.nr_conns >= self.worker_connections - _RESERVED and not self._evict()
        self.nr_conns += 1
        self.publish()
        if full:
            self._refuse(connection)
        else:
            self._receive(connection, None)

    def readable(self, connection: Any, wait: Wait) -> None:
        """Read what the client sent. Let a thread answer when the head of the request is complete."""
        if wait is not Wait.END:
            self._receive(connection, wait)
        elif not connection.sock.discard():
            self.waiting.remove(connection, wait)
            self._forget(connection)

    def _receive(self, connection: Any, wait: Wait | None) -> None:
        """Read the head of a request. `wait` is what the connection waits for now, None if it does not wait."""
        client: ClientSocket = connection.sock
        try:
            more = client.read_ahead()
        except OSError:
            more = False
        ready = more and _is_ready(client.ahead)
        if wait is not None and (ready or not more):
            self.waiting.remove(connection, wait)
        if ready:
            self._answer(connection)
        elif not more:
            self._forget(connection)
        elif wait is None:
            self._wait_for(connection, Wait.HEAD if client.ahead else Wait.REQUEST)
        elif wait is Wait.REQUEST and client.ahead:
            self.waiting.change(connection, wait, Wait.HEAD)

    def finish(self, connection: Any, kept: bool) -> None:
        """Wait for the next request of a connection, or close it."""
        if not kept:
            self._close(connection)
        elif connection.sock.ahead or connection.parser.unreader.buf.getvalue():
            self._answer(connection)  # the next request is here already
        else:
            self._wait_for(connection, Wait.REQUEST)

    def murder_keepalived(self, force: bool = False) -> None:
        """Close the connections that waited for too long, with `force` all."""
        if force:
            self.waiting.stop(0.0)
        for connection, wait in self.waiting.expired():
            if wait is Wait.HEAD:
                self._send_last(connection, refusal(HTTPStatus.REQUEST_TIMEOUT, ""))
            self._forget(connection)

    def murder_pending(self) -> None:
        """Do nothing. `murder_keepalived` closes all connections that waited for too long."""

    def _cap_keepalive(self, deadline: float) -> None:
        self.waiting.stop(STOP_SECONDS)

    def _answer(self, connection: Any) -> None:
        if not self.threads.start(partial(self._serve, connection)):
            self._refuse(connection)

    def _refuse(self, connection: Any) -> None:
        live = live_answer(connection.sock.ahead)
        if live is None:
            REFUSALS.add(Overloaded.__name__)
        self._send_last(connection, live or overloaded())
        self._close(connection)

    def _send_last(self, connection: Any, answer: bytes) -> None:
        try:
            socket.socket.send(connection.sock, answer, socket.MSG_DONTWAIT)
        except OSError as error:
            self.log.debug(_UNREAD, error)

    def _close(self, connection: Any) -> None:
        """Close a connection when the client has read the answer (RFC 9112 §9.6)."""
        try:
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:  # it is closed already
            self._forget(connection)
        else:
            self._wait_for(connection, Wait.END)

    def _wait_for(self, connection: Any, wait: Wait) -> None:
        """Let a connection wait. If the system cannot watch one more, close it."""
        try:
            self.waiting.add(connection, wait)
        except OSError as error:
            self.log.warning("a connection was closed, because it cannot be watched: %s", error)
            self._forget(connection)

    def _evict(self) -> bool:
        connection = self.waiting.evict()
        if connection is not None:
            self._forget(connection)
        return connection is not None

    def _forget(self, connection: Any) -> None:
        self.nr_conns -= 1
        connection.close()

    # --- the threads ------------------------------------------------------------------------------------------------

    def _serve(self, connection: Any) -> None:
        kept = False
        try:
            kept = bool(self.handle(connection))
        except Exception:
            self.log.exception("a connection failed")
        self.method_queue.defer(self.finish, connection, kept)

    def handle(self, conn: Any) -> Any:
        poll: select.poll | None = None
        for _ in range(MAX_REQUESTS_IN_A_ROW):
            structlog.contextvars.clear_contextvars()  # the id of the request before this one
            kept = super().handle(conn)
            if kept is not True or not self.alive or conn.is_http2:
                return kept
            if poll is None:
                poll = select.poll()
                poll.register(conn.sock, select.POLLIN)
            if not poll.poll(LINGER_MILLISECONDS):
                return kept
        return kept

    def handle_request(self, req: Any, conn: Any) -> Any:
        if req.version > HTTP_1_1 and not conn.is_http2:
            req.version = HTTP_1_1
        client: ClientSocket = conn.sock
        slots = self.slots.of(req.path)
        if slots is not None and not client.begin(slots):
            raise Overloaded
        try:
            share_slot(req, client)
            client.hold_head()
            kept = super().handle_request(req, conn)
            client.flush()
            return kept
        finally:
            client.end()

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer a request that did not reach the application. The log never quotes it: it may name a patient."""
        status = status_of(exc)
        REFUSALS.add(type(exc).__name__ if status or isinstance(exc, Overloaded) else "Unexpected")
        if isinstance(exc, Overloaded):
            self.log.warning("a request was refused: no work slot became free")
            answer = overloaded()
        elif status is None:
            self.log.exception("a request failed outside the application")
            answer = refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "")
        else:
            self.log.warning("a malformed request was refused: %s", type(exc).__name__)
            answer = refusal(status, str(exc))
        try:
            client.sendall(answer)
        except OSError as error:  # the client is gone, which is no error of the service
            self.log.debug(_UNREAD, error)


def keep_values(cfg: Any) -> None:
    """Let the values of gunicorn's settings be plain attributes. gunicorn reads about twenty of them for each request.

    Otherwise each read calls `Config.__getattr__`, which looks the setting up. The settings of a process do not change.
    """
    vars(cfg).update({name: setting.get() for name, setting in cfg.settings.items()})


def _is_ready(head: bytes) -> bool:
    """Return whether a thread shall read the start of a request: the head is complete, or very long."""
    return b"\r\n\r\n" in head or b"\n\n" in head or len(head) >= _HEAD_BYTES
