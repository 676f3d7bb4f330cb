"""What the gateway does when an association begins, when an instance arrives, and when it ends."""

from __future__ import annotations

from typing import Final, cast

import structlog
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import EVT_ABORTED, EVT_ACCEPTED, EVT_C_STORE, EVT_REQUESTED, Event, EventHandlerType
from pynetdicom.pdu_primitives import A_ASSOCIATE

from app.dicom.encoding.uids import is_uid
from app.gateway.admission import Admission, Refusal
from app.gateway.messages import BoundedMessages, Session
from app.gateway.spool import IncomingFile, Spool
from app.gateway.statuses import Status
from app.gateway.storage import Storage

_LOG: Final[structlog.stdlib.BoundLogger] = structlog.get_logger(__name__)

_PERMANENT: Final = 1
_SERVICE_USER: Final = 1
"""Result and source of a rejection (PS3.8 Table 9-21)."""


class Associations:
    """Admits associations and takes their instances."""

    def __init__(self, *, admission: Admission, spool: Spool, storage: Storage) -> None:
        self._admission, self._spool, self._storage = admission, spool, storage

    @property
    def handlers(self) -> list[EventHandlerType]:
        """The handlers for pynetdicom."""
        return [
            (EVT_REQUESTED, self._requested),
            (EVT_ACCEPTED, self._accepted),
            (EVT_ABORTED, self._aborted),
            (EVT_C_STORE, self._store),
        ]

    def begin(self, association: Association) -> None:
        """Give an association its bounded messages."""
        association.dimse = BoundedMessages(association, self._spool)

    def end(self, association: Association) -> None:
        """Remove unfinished files, and log what the association did."""
        session = session_of(association)
        session.close()
        if session.partition is not None:
            _LOG.info(
                "An association ended",
                calling=session.calling,
                called=session.called,
                partition=session.partition,
                stored=session.stored,
                failed=session.failed,
                bytes=session.received_bytes,
                aborted=association.is_aborted,
            )

    def _requested(self, event: Event) -> None:
        """Admit or reject an association. If this fails, the session has no partition, and nothing is stored."""
        association, request = event.assoc, cast(A_ASSOCIATE, event.assoc.requestor.primitive)
        calling, called = str(request.calling_ae_title or ""), str(request.called_ae_title or "")
        address = str(association.requestor.address)
        partition = self._admission.partition_of(calling=calling, called=called, address=address)
        session = session_of(association)
        session.calling, session.called = calling.strip(), called.strip()
        if isinstance(partition, Refusal):
            _LOG.warning(
                "An association is rejected",
                calling=session.calling,
                called=session.called,
                address=address,
                reason=partition.name.lower(),
            )
            association.acse.send_reject(_PERMANENT, _SERVICE_USER, partition.value)
            association.kill()
            return
        session.partition = partition

    def _accepted(self, event: Event) -> None:
        session = session_of(event.assoc)
        _LOG.info("An association began", calling=session.calling, called=session.called, partition=session.partition)

    def _aborted(self, event: Event) -> None:
        event.assoc.is_aborted = True

    def _store(self, event: Event) -> int:
        """Take one instance, and return the status of the response."""
        session, incoming = session_of(event.assoc), cast(C_STORE, event.request).DataSet
        if not isinstance(incoming, IncomingFile):
            return Status.CANNOT_UNDERSTAND
        try:
            status = self._refusal(session, incoming, event) or self._stored(session, incoming)
        finally:
            incoming.discard()
            session.incoming.discard(incoming)
        if status is Status.SUCCESS:
            session.stored += 1
        else:
            session.failed += 1
            _LOG.warning("An instance is not accepted", calling=session.calling, status=f"0x{status:04X}")
        return status

    def _stored(self, session: Session, incoming: IncomingFile) -> Status:
        session.received_bytes += incoming.dataset_size
        return self._storage.store(incoming, session.partition or "")

    def _refusal(self, session: Session, incoming: IncomingFile, event: Event) -> Status | None:
        """Return the status of an instance that the gateway itself does not accept."""
        request = cast(C_STORE, event.request)
        if session.partition is None:
            return Status.NOT_AUTHORIZED
        if request.AffectedSOPClassUID != event.context.abstract_syntax:
            return Status.NO_SUCH_SOP_CLASS
        if incoming.dataset_size == 0 or not is_uid(str(request.AffectedSOPInstanceUID)):
            return Status.CANNOT_UNDERSTAND
        return None


def session_of(association: Association) -> Session:
    """Return what the gateway knows of an association."""
    messages = association.dimse
    return messages.session if isinstance(messages, BoundedMessages) else Session()
