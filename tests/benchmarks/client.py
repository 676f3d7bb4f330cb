"""A fast client: it keeps one socket open, sends requests that were encoded before, and does not keep bodies."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from io import BufferedReader
from socket import SocketIO
from threading import Barrier
from typing import Final, Self

from tests.benchmarks.servers import Server

TIMEOUT: Final = 120.0
SCRATCH: Final = 1 << 20
LEAST: Final = 2
"""The smallest number of requests of a client in a lap."""

Wire = tuple[bytes, bytes]
"""A request as it is sent: head and body."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer: `size` is the size of its body in bytes, `body` is the body if the caller asked for it."""

    status: int
    content_type: str
    size: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Sample:
    """One timed exchange: the number of the request, seconds, status, and size of the body in bytes."""

    request: int
    seconds: float
    status: int
    size: int


@dataclass(frozen=True, slots=True)
class Lap:
    """One lap of all clients: the samples of each client, wall time, and CPU time of the clients and of the server."""

    samples: list[list[Sample]]
    seconds: float
    client: float
    server: float


class Connection:
    """One HTTP/1.1 connection. It is opened again when the server closes it after an answer."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._scratch = memoryview(bytearray(SCRATCH))
        self._open()

    def exchange(self, request: Wire, keep: bool = False) -> Response:
        """Send a request and return the answer. Its body is only kept with `keep`."""
        head, body = request
        self._socket.sendall(head)
        if body:
            self._socket.sendall(body)
        return self._answer([] if keep else None)

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._port), TIMEOUT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._stream = BufferedReader(SocketIO(self._socket, "r"), 1 << 16)

    def _answer(self, kept: list[bytes] | None) -> Response:
        status = int(self._line().split(b" ", 2)[1])
        headers: dict[bytes, bytes] = {}
        while line := self._line():
            name, _, value = line.partition(b":")
            headers[name.lower()] = value.strip()
        closing = headers.get(b"connection", b"").lower() == b"close"
        if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
            size = self._chunks(kept)
        elif closing and b"content-length" not in headers:
            size = self._rest(kept)
        else:
            size = self._take(int(headers.get(b"content-length", 0)), kept)
        if closing:
            self.close()
            self._open()
        return Response(status, headers.get(b"content-type", b"").decode("latin-1"), size, b"".join(kept or ()))

    def _line(self) -> bytes:
        line: bytes = self._stream.readline()
        if not line:
            raise ConnectionError("the server closed the connection without an answer")
        return line.rstrip(b"\r\n")

    def _chunks(self, kept: list[bytes] | None) -> int:
        size = 0
        while length := int(self._line().split(b";")[0], 16):
            size += self._take(length, kept)
            self._line()
        while self._line():
            pass
        return size

    def _take(self, length: int, kept: list[bytes] | None) -> int:
        left = length
        while left:
            taken = self._read(left, kept)
            if not taken:
                raise ConnectionError("the server closed the connection in the middle of an answer")
            left -= taken
        return length

    def _rest(self, kept: list[bytes] | None) -> int:
        """Read until the server closes the connection. Orthanc answers a series like this."""
        size = 0
        while taken := self._read(SCRATCH, kept):
            size += taken
        return size

    def _read(self, most: int, kept: list[bytes] | None) -> int:
        taken = self._stream.readinto(self._scratch[: min(most, SCRATCH)])
        if kept is not None:
            kept.append(bytes(self._scratch[:taken]))
        return taken


def lap(server: Server, requests: Sequence[Sequence[Wire]], seconds: float | None) -> Lap:
    """Run all clients at the same time. Each sends its own requests one after another, on an open connection.

    With `seconds` None each request is sent once. Otherwise each client repeats its list of requests until the time is
    over. It always finishes the list, so that both servers get the same mixture.
    """
    start_line = Barrier(len(requests) + 1)
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(len(requests)))
        stack.callback(start_line.abort)  # after an interrupt no client waits for the start
        connections = [stack.enter_context(Connection(server.port)) for _ in requests]
        runs = [
            pool.submit(_run, start_line, connection, mine, seconds)
            for connection, mine in zip(connections, requests, strict=True)
        ]
        server_before, client_before = server.cpu_seconds(), time.process_time()
        start_line.wait()
        start = time.perf_counter()
        samples = [run.result() for run in runs]
        elapsed = time.perf_counter() - start
        client = time.process_time() - client_before
        return Lap(samples, elapsed, client, server.cpu_seconds() - server_before)


def _run(start_line: Barrier, connection: Connection, requests: Sequence[Wire], seconds: float | None) -> list[Sample]:
    start_line.wait()
    samples: list[Sample] = []
    begun = time.perf_counter()
    while True:
        for index, request in enumerate(requests):
            start = time.perf_counter()
            answer = connection.exchange(request)
            samples.append(Sample(index, time.perf_counter() - start, answer.status, answer.size))
        if seconds is None or (time.perf_counter() - begun >= seconds and len(samples) >= LEAST):
            return samples
