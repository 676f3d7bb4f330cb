"""Slow clients of the real HTTP server: they do not hold up others. It has two work slots and threads for ten requests.

The test with many clients of the real service is in tests/integration.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.slow_clients import RawConnection, exchange, slow_download, slow_upload

FILE = bytes(range(256)) * 40_000
"""More than the kernel takes for a client that does not read."""

CLOSE = b"Host: a\r\nConnection: close\r\n"
SECONDS = 60


@dataclass
class Server:
    """A running server: its port and its process."""

    port: int
    process: subprocess.Popen[str]


Start = Callable[..., Server]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    file = tmp_path_factory.mktemp("served") / "file"
    file.write_bytes(FILE)
    servers: list[Server] = []

    def started(threads: int, open_requests: int) -> Server:
        command = [sys.executable, "-m", "tests.support.bare_application"]
        arguments = [str(threads), str(open_requests), str(file)]
        process = subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        servers.append(Server(int(process.stdout.readline()), process))
        return servers[-1]

    yield started
    for server in servers:
        server.process.terminate()
        server.process.communicate()


@pytest.fixture(scope="module")
def server(start: Start) -> Server:
    """A server that the tests share."""
    return start(2, 10)


def get(path: str, headers: bytes = CLOSE) -> bytes:
    return f"GET {path} HTTP/1.1\r\n".encode() + headers + b"\r\n"


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 100))


async def answered(port: int, request: bytes) -> bytes:
    """Return the body of a quick answer. Fails if there is none in a time that only a held slot explains."""
    answer = await asyncio.wait_for(exchange(port, request), SECONDS)
    assert answer.startswith(b"HTTP/1.1 200 ")
    return answer.partition(b"\r\n\r\n")[2]


async def asked(port: int, path: str, times: int) -> None:
    """Wait until the application was asked so many times for a path."""
    while int(await answered(port, get(f"/health/asked?{path}"))) < times:
        await asyncio.sleep(0.01)


def unchunked(body: bytes) -> bytes:
    """Return the content of a body in the chunked coding."""
    content = bytearray()
    while body:
        size, _, body = body.partition(b"\r\n")
        content += body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]
    return bytes(content)


def test_slow_downloads_and_uploads_and_idle_connections_hold_up_nobody(start: Start) -> None:
    server = start(2, 24)  # more threads than clients, so that none is refused

    async def scenario() -> None:
        end = asyncio.Event()
        idle = [await RawConnection.opened(server.port) for _ in range(30)]
        head = b"POST /upload HTTP/1.1\r\nContent-Length: 3000\r\n" + CLOSE + b"\r\n"
        bodies = [bytes([number]) * 3000 for number in range(4)]
        downloads = [
            asyncio.create_task(slow_download(server.port, get(path), 2000, end))
            for path in ("/file", "/stream", "/file", "/stream")
        ]
        uploads = [asyncio.create_task(slow_upload(server.port, head, body, 100, end)) for body in bodies]
        await asyncio.sleep(0.2)
        for path in ("/health/check", "/quick", "/quick"):
            assert await answered(server.port, get(path)) == path.encode()
        end.set()
        for download in await asyncio.gather(*downloads):
            assert unchunked(download.partition(b"\r\n\r\n")[2]) == FILE
        for upload, body in zip(await asyncio.gather(*uploads), bodies, strict=True):
            assert upload.endswith(b"\r\n\r\n" + body)
        for connection in idle:  # they are still served
            await connection.send(get("/quick"))
            assert (await connection.rest()).endswith(b"/quick")
            connection.sock.close()

    run(scenario())


def test_work_in_all_slots_holds_up_no_health_check(server: Server) -> None:
    async def scenario() -> None:
        held = [asyncio.create_task(answered(server.port, get("/hold"))) for _ in range(2)]
        await asked(server.port, "/hold", 2)
        waiting = asyncio.create_task(answered(server.port, get("/quick")))
        assert await answered(server.port, get("/health/check")) == b"/health/check"
        assert not waiting.done()
        await answered(server.port, get("/health/release"))
        assert await asyncio.gather(*held, waiting) == [b"/hold", b"/hold", b"/quick"]

    run(scenario())


async def full(server: Server) -> list[RawConnection]:
    """Return half uploads that hold all threads of the server."""
    return [await half_upload(server) for _ in range(10)]


async def half_upload(server: Server) -> RawConnection:
    """Return a connection that has a thread and has sent the first half of a request.

    It waits while a thread still serves a client of an earlier test.
    """
    head = b"POST /upload HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 10\r\n" + CLOSE + b"\r\n"
    while True:
        connection = await RawConnection.opened(server.port)
        await connection.send(head)
        if await connection.receive() == b"HTTP/1.1 100 Continue\r\n\r\n":
            await connection.send(b"12345")
            return connection
        connection.sock.close()
        await asyncio.sleep(0.01)


async def refused(port: int) -> bytes:
    """Return the answer to a request for which there is no thread."""
    answer = await asyncio.wait_for(exchange(port, get("/quick")), SECONDS)
    assert answer.startswith(b"HTTP/1.1 503 ")
    return answer


async def second_half(connection: RawConnection) -> None:
    with connection.sock:
        await connection.send(b"67890")
        answer = await connection.rest()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n1234567890")


def test_too_many_open_requests_are_refused_early_and_liveness_is_answered(server: Server) -> None:
    async def scenario() -> None:
        uploads = await full(server)
        answer = await refused(server.port)
        assert b"\r\nRetry-After: 5\r\n" in answer
        assert b"\r\nConnection: close\r\n" in answer
        assert answer.endswith(b"\r\n\r\nThe server is overloaded. Please try again later.")
        assert await answered(server.port, get("/health/live")) == b'{"status":"Healthy"}'
        for upload in uploads:
            await second_half(upload)
        assert await answered(server.port, get("/quick")) == b"/quick"

    run(scenario())


def test_a_refused_client_that_still_sends_can_read_the_answer(server: Server) -> None:
    async def scenario() -> None:
        uploads = await full(server)
        await refused(server.port)
        length = 4 * len(FILE)
        head = f"POST /upload HTTP/1.1\r\nContent-Length: {length}\r\n\r\n".encode()
        answer = await asyncio.wait_for(exchange(server.port, head + bytes(length)), SECONDS)
        assert answer.startswith(b"HTTP/1.1 503 ")
        for upload in uploads:
            await second_half(upload)

    run(scenario())


def test_clients_that_reset_their_connection_after_the_answer_do_not_end_the_process(server: Server) -> None:
    async def scenario() -> None:
        for _ in range(3):
            connection = await RawConnection.opened(server.port)
            with connection.sock:
                await connection.send(get("/reset"))
                await connection.rest()
                connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert await answered(server.port, get("/health/asked?/reset")) == b"3"

    run(scenario())


def test_requests_of_one_connection_are_answered_one_after_another(server: Server) -> None:
    keep = b"Host: a\r\n"

    async def scenario() -> None:
        connection = await RawConnection.opened(server.port)
        with connection.sock:
            for path, pause in (("/1", 0.0), ("/2", 0.1), ("/3", 0.0)):  # a longer pause than the thread waits
                await connection.send(get(path, keep))
                await connection.receive_until(b"\r\n\r\n" + path.encode())
                await asyncio.sleep(pause)
            request = get("/in+two+parts", keep)
            await connection.send(request[:20])
            await asyncio.sleep(0.1)
            await connection.send(request[20:])
            await connection.receive_until(b"/in+two+parts")
            await connection.send(get("/4", keep) + get("/5", CLOSE))
            both = await connection.rest()
        assert both.count(b"HTTP/1.1 200 ") == 2
        assert both.endswith(b"\r\n\r\n/5")

    run(scenario())


def test_http_1_0_and_expectations(server: Server) -> None:
    async def scenario() -> None:
        answer = await exchange(server.port, b"GET /stream HTTP/1.0\r\n\r\n")
        assert answer.startswith(b"HTTP/1.0 200 ")
        assert answer.partition(b"\r\n\r\n")[2] == FILE
        connection = await RawConnection.opened(server.port)
        with connection.sock:
            head = b"POST /upload HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n"
            await connection.send(head + CLOSE + b"\r\n")
            assert await connection.receive() == b"HTTP/1.1 100 Continue\r\n\r\n"
            await connection.send(b"12345")
            assert (await connection.rest()).endswith(b"\r\n\r\n12345")

    run(scenario())


def test_a_malformed_request_is_refused_at_once(server: Server) -> None:
    async def scenario() -> None:
        answer = await asyncio.wait_for(exchange(server.port, b"GET / HTTP/1.1\n\n"), SECONDS)
        assert answer.startswith(b"HTTP/1.1 400 ")

    run(scenario())


def test_a_server_that_stops_completes_what_is_open(start: Start) -> None:
    server = start(1, 4)

    async def scenario() -> None:
        idle = await RawConnection.opened(server.port)
        upload = await half_upload(server)
        await asked(server.port, "/upload", 1)
        server.process.terminate()
        await asyncio.sleep(0.1)
        await idle.send(get("/quick", b"Host: a\r\n"))
        assert (await idle.rest()).endswith(b"/quick")  # the server closes the connection
        await second_half(upload)

    run(scenario())
    assert server.process.wait(SECONDS) == 0


@pytest.mark.parametrize("length", [b"", b"?100"], ids=["chunked", "with a length"])
def test_an_answer_that_fails_in_the_middle_breaks_the_connection(server: Server, length: bytes) -> None:
    """The client sees that bytes are missing: the last chunk, or bytes of the announced length."""

    async def scenario() -> None:
        connection = await RawConnection.opened(server.port)
        with connection.sock:
            await connection.send(b"GET /broken" + length + b" HTTP/1.1\r\nHost: a\r\n\r\n")
            head, _, body = (await connection.rest()).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert body == (b"begun" if length else b"5\r\nbegun\r\n")

    run(scenario())
