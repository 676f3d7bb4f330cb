"""The request body that gunicorn gives to the application: what a read returns, and what stays for the next request."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.errors import ChunkMissingTerminator
from gunicorn.http.unreader import SocketUnreader

from app.entry.client_socket import ClientSocket
from app.entry.request_body import share_slot


@pytest.fixture
def ends() -> Iterator[tuple[ClientSocket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with theirs, ClientSocket(ours) as client:
        yield client, theirs


class Request:
    """What `share_slot` uses of a request of gunicorn. `already` is what gunicorn received behind the head."""

    def __init__(self, client: ClientSocket, already: bytes, length: int | None) -> None:
        self.unreader = SocketUnreader(client)
        self.unreader.unread(already)
        limits: Any = SimpleNamespace()
        if length is None:
            self.body = Body(ChunkedReader(limits, self.unreader))
        else:
            self.body = Body(LengthReader(self.unreader, length))
        self.closes = False

    def force_close(self) -> None:
        self.closes = True


@pytest.mark.parametrize("already", [b"", b"ab", b"abcdef", b"abcdefGET"])
def test_a_body_of_known_length_ends_before_the_next_request(
    ends: tuple[ClientSocket, socket.socket], already: bytes
) -> None:
    client, theirs = ends
    theirs.sendall(b"abcdefGET /next"[len(already) :])
    request = Request(client, already, 6)
    share_slot(request, client)
    pieces = list(iter(lambda: request.body.read(4), b""))
    assert b"".join(pieces) == b"abcdef"
    assert max(map(len, pieces)) <= 4
    assert request.body.read() == b""
    assert request.unreader.read(9) == b"GET /next"
    assert not request.closes


def test_the_whole_rest_and_lines_can_be_read(ends: tuple[ClientSocket, socket.socket]) -> None:
    client, theirs = ends
    theirs.sendall(b"one\ntwo\nthree")
    request = Request(client, b"", 13)
    share_slot(request, client)
    assert request.body.readline() == b"one\n"
    assert request.body.read(2) == b"tw"
    assert request.body.read(0) == b""
    assert request.body.read() == b"o\nthree"


def test_a_body_that_ends_early_ends_for_the_reader(ends: tuple[ClientSocket, socket.socket]) -> None:
    client, theirs = ends
    theirs.sendall(b"abc")
    theirs.shutdown(socket.SHUT_WR)
    request = Request(client, b"", 6)
    share_slot(request, client)
    assert [request.body.read(10), request.body.read(10)] == [b"abc", b""]


def test_a_malformed_chunk_closes_the_connection(ends: tuple[ClientSocket, socket.socket]) -> None:
    client, theirs = ends
    theirs.sendall(b"3\r\nabcXX\r\n")
    request = Request(client, b"", None)
    share_slot(request, client)
    with pytest.raises(ChunkMissingTerminator):
        request.body.read(10)
    assert request.closes


def test_a_chunked_body_is_read(ends: tuple[ClientSocket, socket.socket]) -> None:
    client, theirs = ends
    theirs.sendall(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    request = Request(client, b"", None)
    share_slot(request, client)
    assert [request.body.read(4), request.body.read(4), request.body.read(4)] == [b"abcd", b"e", b""]
