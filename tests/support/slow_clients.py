"""Slow clients of an HTTP server, many at once: slow downloads, trickling uploads and idle connections."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from typing import Self

RECEIVE_BUFFER = 4096
"""Bytes that the kernel receives for a slow client. A large buffer would take the answer while the client sleeps."""

PAUSE = 0.25
"""Seconds between two small steps of a slow client."""

FAST = 256 * 1024


@dataclass
class RawConnection:
    """A connection to a server on this machine, without a library between."""

    sock: socket.socket

    @classmethod
    async def opened(cls, port: int) -> Self:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        return cls(sock)

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def receive(self, size: int = FAST) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self.sock, size)

    async def receive_until(self, ending: bytes) -> bytes:
        """Return what the server sends until it ends with these bytes."""
        received = b""
        while not received.endswith(ending):
            data = await self.receive()
            assert data, f"the connection ended after {received!r}"
            received += data
        return received

    async def rest(self) -> bytes:
        """Return what the server sends until it closes the connection."""
        received = bytearray()
        while data := await self.receive():
            received += data
        return bytes(received)


async def exchange(port: int, request: bytes) -> bytes:
    """Return the whole answer to a request that asks for the end of the connection."""
    connection = await RawConnection.opened(port)
    with connection.sock:
        await connection.send(request)
        return await connection.rest()


async def slow_download(port: int, request: bytes, rate: int, until: asyncio.Event) -> bytes:
    """Return the whole answer. It is read at `rate` bytes a second until the event, and then as fast as it comes."""
    connection = await RawConnection.opened(port)
    with connection.sock:
        await connection.send(request)
        received = bytearray()
        while not until.is_set():
            received += await connection.receive(int(rate * PAUSE))
            await asyncio.sleep(PAUSE)
        return bytes(received) + await connection.rest()


async def slow_upload(port: int, head: bytes, body: bytes, rate: int, until: asyncio.Event) -> bytes:
    """Return the answer. The body is sent at `rate` bytes a second until the event, and then at once."""
    connection = await RawConnection.opened(port)
    with connection.sock:
        await connection.send(head)
        step = max(1, int(rate * PAUSE))
        sent = 0
        while not until.is_set() and sent + step < len(body):
            await connection.send(body[sent : sent + step])
            sent += step
            await asyncio.sleep(PAUSE)
        await until.wait()
        await connection.send(body[sent:])
        return await connection.rest()
