"""Bytes that are no DICOM, and peers that do not behave, cost nothing but their own connection."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
from pathlib import Path

import pytest

from app.gateway import connections, messages
from app.gateway.gateway import Gateway
from tests.gateway.conftest import StartGateway
from tests.support import dicom_network as network
from tests.support.instances import make_instance
from tests.support.waiting import wait_until

ABORT = b"\x07\x00\x00\x00\x00\x04\x00\x00\x02\x06"


def connected(gateway: Gateway) -> socket.socket:
    return socket.create_connection(gateway.address, timeout=60)


def answer_to(gateway: Gateway, data: bytes) -> bytes:
    """Send bytes and end the sending side. Return what the gateway sends until it closes the connection."""
    with connected(gateway) as connection:
        # The gateway may close the connection first. Then nothing can be sent, and there is no sending side to end.
        with contextlib.suppress(OSError):
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        return rest_of(connection)


def rest_of(connection: socket.socket) -> bytes:
    """Return what the gateway sends until it closes the connection. It may have left bytes of the peer unread.

    Then the system resets the connection, and does not end it in order.
    """
    received = b""
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(4096):
            received += part
    return received


def works(gateway: Gateway) -> bool:
    with network.association(gateway.address) as peer:
        return bool(peer.send_c_echo().Status == 0x0000)


def requested_association() -> bytes:
    """Return an A-ASSOCIATE-RQ for Verification."""

    def item(kind: int, content: bytes) -> bytes:
        return struct.pack(">BBH", kind, 0, len(content)) + content

    context = item(0x30, b"1.2.840.10008.1.1") + item(0x40, b"1.2.840.10008.1.2")
    body = struct.pack(">HH16s16s32s", 1, 0, b"BULKHEAD".ljust(16), b"CT1".ljust(16), b"")
    body += item(0x10, b"1.2.840.10008.3.1.1.1") + item(0x20, b"\x01\0\0\0" + context)
    body += item(0x50, item(0x51, struct.pack(">L", 16_384)) + item(0x52, b"1.2.3"))
    return struct.pack(">BBL", 1, 0, len(body)) + body


@pytest.mark.parametrize("kind", [1, 4], ids=["association request", "data"])
def test_a_pdu_of_4_gib_is_not_read(start: StartGateway, kind: int) -> None:
    gateway = start()
    assert answer_to(gateway, struct.pack(">BBL", kind, 0, 0xFFFFFFFF) + bytes(1000)) == ABORT
    assert works(gateway)


def test_random_bytes_end_their_connection_alone(start: StartGateway) -> None:
    gateway, chance = start(idle_seconds=1.0), random.Random(20260)
    request = requested_association()
    for number in range(24):
        data = bytearray(request)
        if number % 3 == 0:
            data = bytearray(chance.randbytes(chance.randrange(1, 300)))
        elif number % 3 == 1:
            for _ in range(8):
                data[chance.randrange(len(data))] = chance.randrange(256)
        else:
            data += b"\x04\0" + struct.pack(">L", 40) + chance.randbytes(40)
        answer_to(gateway, bytes(data))
    assert works(gateway)


def test_each_beginning_of_a_request_ends_its_connection_alone(start: StartGateway) -> None:
    gateway, request = start(), requested_association()
    for length in range(0, len(request), 17):
        answer_to(gateway, request[:length])
    assert works(gateway)


def test_a_peer_that_stops_within_a_pdu_is_disconnected(start: StartGateway) -> None:
    gateway = start(idle_seconds=0.2)
    with connected(gateway) as connection:
        connection.sendall(requested_association()[:40])
        assert rest_of(connection) == b""


def test_a_peer_that_sends_a_pdu_byte_by_byte_is_disconnected(start: StartGateway) -> None:
    gateway = start(idle_seconds=0.3)
    with connected(gateway) as connection:
        connection.settimeout(0.05)
        closed = False
        for byte in requested_association()[:100]:
            try:
                connection.send(bytes([byte]))
                closed = connection.recv(10) == b""
            except TimeoutError:
                continue
            except ConnectionError:
                closed = True
            if closed:
                break
        assert closed


def test_a_silent_association_is_aborted(start: StartGateway) -> None:
    gateway = start()
    with network.association(gateway.address) as peer:
        gateway._entity.network_timeout = 0.2  # only now: a busy machine may need longer for the association
        wait_until(lambda: peer.is_aborted, seconds=30)  # after 60 seconds the peer itself gives up


@pytest.mark.parametrize(
    ("limit", "fragment"),
    [("COMMAND_LIMIT", b"\x01" + bytes(600)), ("IDENTIFIER_LIMIT", b"\x00" + bytes(600))],
    ids=["command", "identifier"],
)
def test_a_message_that_grows_without_end_aborts(
    start: StartGateway, monkeypatch: pytest.MonkeyPatch, limit: str, fragment: bytes
) -> None:
    monkeypatch.setattr(messages, limit, 1000)
    gateway = start()
    with network.association(gateway.address) as peer:
        context = peer.accepted_contexts[0].context_id or 0
        for _ in range(3):
            network.send_fragment(peer, context, fragment)
        wait_until(lambda: peer.is_aborted, seconds=30)  # after 60 seconds the peer itself gives up
    assert works(gateway)


@pytest.mark.parametrize(
    "fragment", [b"", b"\x03", b"\x03garbage", b"\x02" + bytes(10)], ids=["empty", "no command", "garbage", "dataset"]
)
def test_a_fragment_that_is_no_message_aborts(start: StartGateway, fragment: bytes) -> None:
    gateway = start()
    with network.association(gateway.address) as peer:
        pdu = struct.pack(">BBLLB", 4, 0, len(fragment) + 5, len(fragment) + 1, peer.accepted_contexts[0].context_id)
        peer.dul.socket.send(pdu + fragment)
        wait_until(lambda: not peer.is_established)
    assert works(gateway)


def test_an_instance_in_a_context_that_was_not_accepted_aborts(start: StartGateway, spool_folder: Path) -> None:
    gateway = start()
    with network.association(gateway.address, make_instance()) as peer:
        for context in peer.accepted_contexts:
            context._context_id = 99
        network.send_start_of_store(peer, "1.2.3")
        wait_until(lambda: not peer.is_established)
    assert list((spool_folder / "incoming").iterdir()) == []


def test_associations_above_the_maximum_are_rejected_as_transient(start: StartGateway) -> None:
    gateway = start(associations=1)
    with network.association(gateway.address):
        assert network.rejection(gateway.address) == (2, 3, 2)
    wait_until(lambda: gateway.associations == 0)
    assert works(gateway)


def test_connections_without_an_association_are_bounded(start: StartGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SPARE_CONNECTIONS", 1)
    gateway = start(associations=1)
    silent = [connected(gateway) for _ in range(2)]
    wait_until(lambda: gateway.associations == 2)
    with connected(gateway) as third:
        assert rest_of(third) == b""
    for connection in silent:
        connection.close()
    wait_until(lambda: gateway.associations == 0)
    assert works(gateway)
