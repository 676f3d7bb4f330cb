"""Peers of the DICOM network (SCU), made with pynetdicom."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pynetdicom import _config, evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu import A_ASSOCIATE_RJ
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.presentation import build_context

from tests.support.instances import CT_STORAGE, EXPLICIT_LITTLE

VERIFICATION = "1.2.840.10008.1.1"


def requested(
    address: tuple[str, int],
    *files: bytes,
    calling: str = "CT1",
    called: str = "BULKHEAD",
    tls: ssl.SSLContext | None = None,
    contexts: Iterable[tuple[str, str]] = (),
    handlers: Sequence[evt.EventHandlerType] = (),
) -> Association:
    """Ask for an association with contexts for Verification and for the files. It may have been rejected."""
    entity = ApplicationEntity(calling)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = 60
    metas = [pydicom.dcmread(BytesIO(file), stop_before_pixels=True).file_meta for file in files]
    pairs = {(VERIFICATION, "1.2.840.10008.1.2"), *contexts}
    pairs |= {(str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID)) for meta in metas}
    proposed = [build_context(abstract, syntax) for abstract, syntax in sorted(pairs)]
    return entity.associate(
        *address,
        contexts=proposed,
        ae_title=called,
        tls_args=(tls, "localhost") if tls else None,
        evt_handlers=list(handlers),
    )


@contextmanager
def association(address: tuple[str, int], *files: bytes, **arguments: Any) -> Iterator[Association]:
    """Yield an established association, and release it at the end."""
    established = requested(address, *files, **arguments)
    assert established.is_established
    try:
        yield established
    finally:
        if established.is_established:
            established.release()


def sent(address: tuple[str, int], folder: Path, *files: bytes, **arguments: Any) -> list[int | None]:
    """Send files as they are in one association. Return the statuses."""
    with association(address, *files, **arguments) as peer:
        return [status_of_store(peer, folder, file) for file in files]


def status_of_store(peer: Association, folder: Path, file: bytes) -> int | None:
    """Send a file as it is. Return the status, or None without an answer. `folder` is for a temporary file."""
    path = folder / "sent.dcm"
    path.write_bytes(file)
    before, _config.STORE_SEND_CHUNKED_DATASET = _config.STORE_SEND_CHUNKED_DATASET, True
    try:
        answer = peer.send_c_store(path)
    except RuntimeError:  # the association has ended
        return None
    finally:
        _config.STORE_SEND_CHUNKED_DATASET = before
    return int(answer.Status) if "Status" in answer else None


def rejection(address: tuple[str, int], **arguments: Any) -> tuple[int, int, int]:
    """Ask for an association that is rejected. Return the result, the source and the reason of the rejection.

    They are taken from the A-ASSOCIATE-RJ. The association itself sometimes misses it on a busy machine: if it finds
    the connection closed already, it calls itself aborted.
    """
    received: list[A_ASSOCIATE_RJ] = []

    def receive(event: evt.Event) -> None:
        if isinstance(event.pdu, A_ASSOCIATE_RJ):
            received.append(event.pdu)

    assert not requested(address, handlers=[(evt.EVT_PDU_RECV, receive)], **arguments).is_established
    (answer,) = received
    return int(answer.result or 0), int(answer.source or 0), int(answer.reason_diagnostic or 0)


def found(address: tuple[str, int], sop_class: str, identifier: Dataset, **arguments: Any) -> list[tuple[int, Any]]:
    """Send a query. Return the status and the identifier of each response, the final one included."""
    with association(address, contexts=[(sop_class, EXPLICIT_LITTLE)], **arguments) as peer:
        return [(int(status.Status), answer) for status, answer in peer.send_c_find(identifier, sop_class)]


def send_start_of_store(peer: Association, instance: str) -> None:
    """Send a C-STORE request of a CT without the last fragment of its dataset."""
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = CT_STORAGE, instance
    request.DataSet = BytesIO(b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 192")
    message = C_STORE_RQ()
    message.primitive_to_message(request)
    context = next(each for each in peer.accepted_contexts if each.abstract_syntax == CT_STORAGE)
    for primitive in message.encode_msg(int(context.context_id or 0), 16_384):
        for context_id, fragment in primitive.presentation_data_value_list:
            header = fragment[0] if fragment[0] & 1 else 0  # no fragment of the dataset is the last one
            send_fragment(peer, context_id, bytes([header]) + fragment[1:])


def send_fragment(peer: Association, context_id: int, fragment: bytes) -> None:
    """Send one fragment of a message as a PDU of its own."""
    primitive = P_DATA()
    primitive.presentation_data_value_list = [[context_id, fragment]]  # type: ignore[list-item] # it must be a list
    peer.dul.send_pdu(primitive)


def queue_files(spool: Path) -> list[Path]:
    """Return the files in the queue of a spool."""
    return sorted((spool / "queue").iterdir())


@contextmanager
def occupied_port() -> Iterator[int]:
    """Yield a port of 127.0.0.1 on which another program listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])
