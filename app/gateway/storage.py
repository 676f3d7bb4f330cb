"""Where a received instance goes before the peer gets its acknowledgement."""

from __future__ import annotations

from typing import Final, Protocol

import structlog

from app.gateway.delivery import Delivery
from app.gateway.outcomes import Sender, Verdict
from app.gateway.spool import IncomingFile, Spool
from app.gateway.statuses import Status

_LOG: Final[structlog.stdlib.BoundLogger] = structlog.get_logger(__name__)

_STATUSES: Final = {
    Verdict.STORED: Status.SUCCESS,
    Verdict.REFUSED: Status.CANNOT_UNDERSTAND,
    Verdict.UNAUTHORIZED: Status.NOT_AUTHORIZED,
    Verdict.LATER: Status.OUT_OF_RESOURCES,
}


class Storage(Protocol):
    """Takes received instances."""

    def store(self, incoming: IncomingFile, partition: str) -> Status:
        """Take a file that was received completely, and return the status for the peer."""
        ...


class SpooledStorage:
    """Acknowledges an instance when it is durable in the spool. It is sent to the server afterwards."""

    def __init__(self, spool: Spool, delivery: Delivery) -> None:
        self._spool, self._delivery = spool, delivery

    def store(self, incoming: IncomingFile, partition: str) -> Status:
        """Put the file into the queue. A failure of the disk is `OUT_OF_RESOURCES`, and nothing is acknowledged."""
        try:
            queued = self._spool.keep(incoming, partition)
        except OSError as error:
            _LOG.error("The spool cannot take an instance", error=type(error).__name__, spool_bytes=self._spool.held)
            return Status.OUT_OF_RESOURCES
        self._delivery.add(queued)
        return Status.SUCCESS


class ServerStorage:
    """Acknowledges an instance when the server has stored it. The spool keeps nothing."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def store(self, incoming: IncomingFile, partition: str) -> Status:
        """Send the file to the server and wait for its answer."""
        try:
            incoming.finish(durable=False)
        except OSError as error:
            _LOG.error("The spool cannot take an instance", error=type(error).__name__)
            return Status.OUT_OF_RESOURCES
        outcome = self._sender.send(partition, incoming.path)
        if outcome.verdict is not Verdict.STORED:
            _LOG.warning("The server did not store an instance", partition=partition, reason=outcome.reason)
        return _STATUSES[outcome.verdict]
