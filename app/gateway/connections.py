"""The listening socket of the gateway, with limits that pynetdicom does not have.

* The length of a PDU is bounded: pynetdicom reads as many bytes as a PDU announces, up to 4 GiB.
* A PDU must arrive completely within the network timeout. A peer that stops within a PDU blocks its thread otherwise.
* The TLS handshake runs on the thread of the connection. It blocks the listening socket otherwise.
* The number of connections is bounded, also of those that never ask for an association.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from socketserver import BaseServer
from typing import Any, Final, Protocol, cast

import structlog
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.events import EventHandlerType
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

_LOG: Final[structlog.stdlib.BoundLogger] = structlog.get_logger(__name__)

LARGEST_PDU: Final = 1_048_576
"""The longest PDU that is read, in bytes. A request with 128 presentation contexts has at most about 400 KiB."""
SPARE_CONNECTIONS: Final = 8
"""The connections beyond the maximum of associations. They get a rejection with its reason."""

_CHUNK: Final = 65_536
_WATCH_SECONDS: Final = 0.05
_ABORT: Final = bytes([7, 0, 0, 0, 0, 4, 0, 0, 2, 6])
"""An A-ABORT of the service provider: invalid PDU parameter value (PS3.8 §9.3.8)."""


class Setup(Protocol):
    """Prepares and ends associations."""

    def begin(self, association: Association) -> None:
        """Prepare an association before its first PDU is read."""
        ...

    def end(self, association: Association) -> None:
        """Release what an association used."""
        ...


class BoundedSocket(AssociationSocket):
    """The socket of an association. It reads no PDU that is too long or too slow."""

    seconds: float = 60.0

    def recv(self, nr_bytes: int) -> bytearray:
        """Return `nr_bytes` bytes, fewer if the peer closes the connection. Raises OSError."""
        connection = self.socket
        if connection is None:
            raise OSError("The connection is closed.")
        if nr_bytes > LARGEST_PDU:
            _LOG.warning("A peer sent a PDU that is too long; the connection is closed", bytes=nr_bytes)
            with contextlib.suppress(OSError):
                connection.sendall(_ABORT)
            raise OSError("The PDU is too long.")
        received = bytearray()
        deadline = time.monotonic() + self.seconds
        while len(received) < nr_bytes:
            if time.monotonic() > deadline:
                raise TimeoutError
            part = connection.recv(min(_CHUNK, nr_bytes - len(received)))
            if not part:
                break
            received += part
        return received


class GatewayServer(ThreadedAssociationServer):
    """Accepts connections. Each connection has a thread that lives as long as its association."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self,
        ae: ApplicationEntity,
        address: tuple[str, int],
        *,
        contexts: list[PresentationContext],
        handlers: list[EventHandlerType],
        setup: Setup,
        tls: ssl.SSLContext | None,
    ) -> None:
        """Bind to the address. Raises OSError."""
        self.setup, self.tls = setup, tls
        self._slots = threading.BoundedSemaphore(ae.maximum_associations + SPARE_CONNECTIONS)
        super().__init__(ae, address, ae.ae_title, contexts, None, handlers, GatewayConnection)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Tell whether the number of connections allows another one. If it does not, the connection is closed."""
        if self._slots.acquire(blocking=False):
            return True
        _LOG.warning("There are too many connections; one is closed", address=client_address[0])
        return False

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection until its association ends."""
        try:
            self.finish_request(request, client_address)
        except Exception as error:  # noqa: BLE001 - a failed connection must not end the server
            _LOG.warning("A connection failed", address=client_address[0], error=_cause(error))
        finally:
            self._slots.release()
            self.shutdown_request(request)

    def service_actions(self) -> None:
        """Do nothing. pynetdicom collects garbage here."""

    def stop(self) -> None:
        """Accept no further connection. `serve_forever` must be running. Associations go on."""
        BaseServer.shutdown(self)  # that of pynetdicom expects a server which its own `start_server` made
        self.server_close()


class GatewayConnection(RequestHandler):
    """One connection: the TLS handshake, then the association until its end."""

    server: GatewayServer

    def handle(self) -> None:
        """Serve the association of this connection."""
        seconds = self.server.ae.network_timeout or BoundedSocket.seconds
        connection = cast(socket.socket, self.request)
        connection.settimeout(seconds)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.server.tls is not None:
            connection = self.request = self.server.tls.wrap_socket(connection, server_side=True)
        association = self._create_association()
        association.dul.socket = bounded = BoundedSocket(association, client_socket=connection)
        bounded.seconds = seconds
        association.dul.daemon = True
        while association.dul.event_queue.qsize() > 1:  # each socket announces the connection once
            association.dul.event_queue.get()
        self.server.setup.begin(association)
        try:
            _run(association)
        finally:
            association.dul.kill_dul()
            _close(connection)
            association.dul.join(seconds)
            self.server.setup.end(association)


def _run(association: Association) -> None:
    """Run an association until it ends.

    An association that waits for its request does not notice that the connection has ended. It would keep its place
    for the whole timeout, and a few checks of the port by a load balancer would take all places.
    """
    association.start()
    while association.is_alive():
        association.join(_WATCH_SECONDS)
        if association.dul.ident is not None and not association.dul.is_alive():
            association.dul.to_user_queue.put(None)  # it ends the wait like the timeout
            association.join()


def _close(connection: socket.socket) -> None:
    """Close a connection. A thread that waits for its bytes ends."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def _cause(error: Exception) -> str:
    """Return what may be logged of the failure of a connection."""
    return str(getattr(error, "reason", None) or type(error).__name__)
