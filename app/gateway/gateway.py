"""The gateway: the listening port, the spool and the delivery to the server, started and stopped together."""

from __future__ import annotations

import ssl
import threading
import time
from dataclasses import dataclass
from typing import Final

import structlog
from pynetdicom import _config
from pynetdicom.ae import ApplicationEntity
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined] # pynetdicom makes its names at run time

from app.dicom.encoding.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from app.errors import BulkheadError
from app.gateway.admission import Admission
from app.gateway.associations import Associations
from app.gateway.connections import GatewayServer
from app.gateway.delivery import Delivery
from app.gateway.outcomes import Sender
from app.gateway.queries import Queries, Search
from app.gateway.query_keys import PATIENT_ROOT, STUDY_ROOT
from app.gateway.spool import Spool
from app.gateway.storage import ServerStorage, SpooledStorage

_LOG: Final[structlog.stdlib.BoundLogger] = structlog.get_logger(__name__)

_ASSOCIATION_SECONDS: Final = 30
"""The time for an association request, and for the end of an association (PS3.8 §9.1.5)."""
_ABORT_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.1


class PortUnusable(BulkheadError):
    """The gateway cannot listen on its address. The message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """Where a gateway listens, and its limits. Times are in seconds."""

    title: str
    host: str = "0.0.0.0"  # noqa: S104 - modalities are other machines
    port: int = 11112
    tls: ssl.SSLContext | None = None
    associations: int = 20
    pdu_bytes: int = 131_072
    idle_seconds: float = 60.0
    threads: int = 4
    wait_for_server: bool = False


class Gateway:
    """A DICOM application entity that stores what it receives on a Bulkhead server."""

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        admission: Admission,
        spool: Spool,
        sender: Sender,
        search: Search | None = None,
    ) -> None:
        """Without a `search` the gateway answers no queries."""
        self._settings, self._spool = settings, spool
        self._delivery = Delivery(spool, sender, threads=settings.threads)
        storage = ServerStorage(sender) if settings.wait_for_server else SpooledStorage(spool, self._delivery)
        self._associations = Associations(admission=admission, spool=spool, storage=storage)
        self._handlers = [*self._associations.handlers, *(Queries(search).handlers if search else ())]
        self._entity = _entity(settings, with_queries=search is not None)
        self._server: GatewayServer | None = None
        self._logged: dict[str, int] = {}

    @property
    def address(self) -> tuple[str, int]:
        """The address that the gateway listens on."""
        host, port = self._listening.server_address[:2]
        return str(host), int(port)

    @property
    def associations(self) -> int:
        """The number of connections that have an association, or may get one."""
        return len(self._listening.active_associations)

    def start(self) -> None:
        """Open the spool, deliver what it holds, and accept associations. Raises `SpoolUnusable`, `PortUnusable`."""
        self._spool.open()
        try:
            self._server = GatewayServer(
                self._entity,
                (self._settings.host, self._settings.port),
                contexts=self._entity.supported_contexts,
                handlers=self._handlers,
                setup=self._associations,
                tls=self._settings.tls,
            )
        except OSError as error:
            self._spool.close()
            where = f"{self._settings.host}:{self._settings.port}"
            raise PortUnusable(f"The gateway cannot listen on {where}: {error.strerror or error}.") from error
        self._delivery.start()
        threading.Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), name="listening", daemon=True
        ).start()

    def stop(self, seconds: float) -> None:
        """Accept nothing more, and wait up to `seconds` for the associations and for what is being sent.

        Then associations are aborted. What the server does not have yet stays in the spool.
        """
        deadline = time.monotonic() + seconds
        self._listening.stop()
        while self.associations and time.monotonic() < deadline:
            time.sleep(0.05)
        for association in self._listening.active_associations:
            threading.Thread(target=association.abort, daemon=True).start()
        aborted = time.monotonic() + _ABORT_SECONDS
        while self.associations and time.monotonic() < aborted:
            time.sleep(0.05)
        self._delivery.stop(max(1.0, deadline - time.monotonic()))
        self._spool.close()

    def log_status(self) -> None:
        """Log the counts since the start, and what waits, unless nothing changed since the last line."""
        status = {"associations": self.associations, "spool_bytes": self._spool.held, **self._delivery.counts}
        if status != self._logged:
            self._logged = status
            _LOG.info("Status of the gateway", **status)

    @property
    def _listening(self) -> GatewayServer:
        if self._server is None:
            raise RuntimeError("The gateway is not started.")
        return self._server


def _entity(settings: GatewaySettings, *, with_queries: bool) -> ApplicationEntity:
    """Return the application entity. Every storage SOP class is accepted, also private and unknown ones."""
    _config.UNRESTRICTED_STORAGE_SERVICE = True
    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False
    entity = ApplicationEntity(settings.title)
    entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    entity.maximum_associations = settings.associations
    entity.maximum_pdu_size = settings.pdu_bytes
    entity.acse_timeout = entity.dimse_timeout = _ASSOCIATION_SECONDS
    entity.network_timeout = settings.idle_seconds
    for sop_class in (Verification, *((PATIENT_ROOT, STUDY_ROOT) if with_queries else ())):
        entity.add_supported_context(sop_class)
    return entity
