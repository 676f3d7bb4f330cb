"""Receives the DIMSE messages of an association with bounded memory (PS3.7 §9, PS3.8 Annex E).

pynetdicom keeps a message in memory until it is complete, whatever its size. Here the dataset of a C-STORE goes to a
file of the spool while it arrives, and other messages have a limit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import structlog
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.pdu_primitives import P_DATA

from app.gateway.file_meta import file_start
from app.gateway.spool import IncomingFile, Spool

_LOG: Final[structlog.stdlib.BoundLogger] = structlog.get_logger(__name__)

COMMAND_LIMIT: Final = 65_536
"""The largest command set, in bytes. A C-STORE request has about 300."""
IDENTIFIER_LIMIT: Final = 1_048_576
"""The largest dataset that is kept in memory, in bytes: the identifier of a query."""
PENDING_LIMIT: Final = 16
"""The requests of an association that may wait. A peer waits for each response (PS3.7 §D.3.3.3)."""

_COMMAND: Final = 1
"""The bit of a message control header that marks a fragment of a command (PS3.8 §E.2)."""
_INVALID_PDU: Final = "Evt19"
"""The event of an invalid PDU (PS3.8 §9.2.3). It aborts the association."""


class _TooLarge(Exception):
    """The peer exceeds a limit of this module."""


@dataclass(slots=True)
class Session:
    """What the gateway knows of an association. Without a `partition` nothing is stored."""

    calling: str = ""
    called: str = ""
    partition: str | None = None
    stored: int = 0
    failed: int = 0
    received_bytes: int = 0
    incoming: set[IncomingFile] = field(default_factory=set)

    def close(self) -> None:
        """Remove the files that were not received completely."""
        for each in tuple(self.incoming):
            each.discard()
        self.incoming.clear()


class BoundedMessages(DIMSEServiceProvider):
    """The DIMSE provider of an association. It writes the datasets of C-STORE requests to files."""

    def __init__(self, association: Association, spool: Spool) -> None:
        super().__init__(association)
        self.session = Session()
        self._spool = spool
        self._command_bytes = 0
        self._dataset_bytes = 0
        self._broken = False

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take the fragments of one PDU. A message that breaks a rule or a limit aborts the association."""
        if self._broken:
            return
        try:
            for context_id, fragment in primitive.presentation_data_value_list:
                self._receive(context_id, fragment)
        except Exception as error:  # noqa: BLE001 - the bytes are from the network, and any fault in them ends here
            self._broken = True
            _LOG.warning(
                "A peer sent an invalid message; the association is aborted",
                calling=self.session.calling,
                error=type(error).__name__,
            )
            self.dul.event_queue.put(_INVALID_PDU)

    def _receive(self, context_id: int, fragment: bytes) -> None:
        self._count(fragment)
        single = P_DATA()
        single.presentation_data_value_list = [[context_id, fragment]]  # type: ignore[list-item] # it must be a list
        super().receive_primitive(single)
        if self.message is None:  # it was complete
            self._command_bytes = self._dataset_bytes = 0
        elif isinstance(self.message, C_STORE_RQ) and not isinstance(self.message.data_set, IncomingFile):
            self.message.data_set = self._incoming_file(context_id, self.message)

    def _count(self, fragment: bytes) -> None:
        if self.msg_queue.qsize() >= PENDING_LIMIT:
            raise _TooLarge
        if fragment[0] & _COMMAND:
            self._command_bytes += len(fragment)
        elif not isinstance(self.message, C_STORE_RQ):
            self._dataset_bytes += len(fragment)
        if self._command_bytes > COMMAND_LIMIT or self._dataset_bytes > IDENTIFIER_LIMIT:
            raise _TooLarge

    def _incoming_file(self, context_id: int, message: C_STORE_RQ) -> IncomingFile:
        command = message.command_set
        context = self.assoc._accepted_cx[context_id]
        incoming = IncomingFile(
            self._spool,
            file_start(
                sop_class=str(command.AffectedSOPClassUID),
                sop_instance=str(command.AffectedSOPInstanceUID),
                transfer_syntax=str(context.transfer_syntax[0]),
            ),
        )
        self.session.incoming.add(incoming)
        return incoming
