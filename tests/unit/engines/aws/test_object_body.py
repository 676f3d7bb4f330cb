"""Reads of S3 objects over connections that break, from a server that simulates these faults."""

from __future__ import annotations

import base64
import io
import random
import socket
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.httpchecksum import StreamingChecksumBody
from botocore.response import StreamingBody

from app.engines.aws import clients
from app.engines.aws.object_body import EMPTY_READS, open_object
from app.engines.aws.s3 import S3Blobs
from app.errors import BlobMissing, StorageUnavailable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONTENT = random.Random(1).randbytes(2_500_000)
MIB = 1024 * 1024


@dataclass
class FaultyObject:
    """One object, and how the answers to the next requests for it break off."""

    content: bytes = CONTENT
    etag: str = '"1"'
    breaks: list[int | None] = field(default_factory=list)
    """For each request: how many bytes of its body arrive before the connection ends. None: all of them."""
    breaks_always_after: int | None = None
    """The same for the requests after those."""
    resets: bool = False
    """Whether a connection ends with a reset, not with an orderly close."""
    ignores_ranges: bool = False
    after_the_first_answer: dict[str, Any] = field(default_factory=dict)
    """Fields to set when the first answer has ended, as another writer would."""
    ranges: list[str | None] = field(default_factory=list)
    """What each request asked for."""


class Handler(BaseHTTPRequestHandler):
    stored: FaultyObject
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        stored = self.stored
        stored.ranges.append(asked := self.headers["Range"])
        if stored.content == b"deleted":
            self._refuse(404, "NoSuchKey")
        elif self.headers["If-Match"] not in (None, stored.etag):
            self._refuse(412, "PreconditionFailed")
        elif asked is None or stored.ignores_ranges:
            self._send(200, stored.content, {})
        else:
            low, high = asked.removeprefix("bytes=").split("-")
            end = min(int(high) + 1 if high else len(stored.content), len(stored.content))
            self._send(
                206,
                stored.content[int(low) : end],
                {"Content-Range": f"bytes {low}-{end - 1}/{len(stored.content)}"},
            )
        for name, value in stored.after_the_first_answer.items():
            setattr(stored, name, value)

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        breaks_after = self.stored.breaks.pop(0) if self.stored.breaks else self.stored.breaks_always_after
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "ETag": self.stored.etag, **headers}.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body if breaks_after is None else body[:breaks_after])
        self.wfile.flush()
        if breaks_after is not None:
            self.close_connection = True
            if self.stored.resets:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()

    def _refuse(self, status: int, name: str) -> None:
        body = f"<Error><Code>{name}</Code></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def faulty() -> FaultyObject:
    return FaultyObject()


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)


@pytest.fixture
def client(faulty: FaultyObject, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Client]:
    """A client of a server that serves the faulty object under every key."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("ObjectHandler", (Handler,), {"stored": faulty}))
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a reset closes the handler's own socket
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{server.server_port}")
    yield clients.s3()
    server.shutdown()
    server.server_close()
    thread.join()


def read(client: S3Client, start: int = 0, length: int | None = None, size: int = -1) -> bytes:
    with S3Blobs(client, "images").open("k", start, length) as stream:
        return stream.read() if size < 0 else b"".join(iter(lambda: stream.read(size), b""))


@pytest.mark.parametrize("resets", [False, True])
@pytest.mark.parametrize("size", [-1, 65_536, 3 * MIB])
@pytest.mark.parametrize("breaks", [[0], [1], [MIB], [len(CONTENT) - 1], [700_000, 0, 900_000, 1]])
def test_a_body_that_breaks_off_is_resumed(
    client: S3Client, faulty: FaultyObject, breaks: list[int | None], size: int, resets: bool
) -> None:
    faulty.breaks, faulty.resets = list(breaks), resets
    assert read(client, size=size) == CONTENT
    assert len(faulty.ranges) == 1 + len(breaks)


def test_a_resumption_asks_for_what_is_missing(client: S3Client, faulty: FaultyObject) -> None:
    faulty.breaks = [1000]
    assert read(client, size=100) == CONTENT
    assert faulty.ranges == [None, f"bytes=1000-{len(CONTENT) - 1}"]


@pytest.mark.parametrize(("start", "length"), [(5, None), (1_000_000, None), (7, 1_200_000), (2_400_000, 999_999)])
def test_ranges_are_resumed_within_their_bounds(
    client: S3Client, faulty: FaultyObject, start: int, length: int | None
) -> None:
    faulty.breaks = [50_000, 0, 1]
    assert read(client, start, length, 65_536) == CONTENT[start:][:length]


def test_each_read_returns_all_that_was_asked_for(client: S3Client, faulty: FaultyObject) -> None:
    faulty.breaks = [10, 10, 10]
    with open_object(client, "images", "k") as stream:
        assert stream.read(25) == CONTENT[:25]
        buffer = bytearray(30)
        assert stream.readinto(buffer) == 30
        assert bytes(buffer) == CONTENT[25:55]


def test_resumptions_without_progress_are_bounded(client: S3Client, faulty: FaultyObject) -> None:
    faulty.breaks, faulty.breaks_always_after = [1000], 0
    with open_object(client, "images", "k") as stream:
        assert stream.read(1000) == CONTENT[:1000]
        with pytest.raises(StorageUnavailable):
            stream.read(1)
    assert len(faulty.ranges) == EMPTY_READS.attempts


def test_resumptions_with_progress_are_not_bounded(client: S3Client, faulty: FaultyObject) -> None:
    faulty.content, faulty.breaks_always_after = CONTENT[:1000], 10
    assert read(client, size=10) == CONTENT[:1000]


def test_the_bytes_of_two_objects_are_never_joined(client: S3Client, faulty: FaultyObject) -> None:
    faulty.breaks = [1000]
    faulty.after_the_first_answer = {"content": CONTENT[::-1], "etag": '"2"'}
    with pytest.raises(StorageUnavailable) as caught:
        read(client)
    assert "PreconditionFailed" in str(caught.value.__cause__)


def test_an_object_that_was_removed_in_between(client: S3Client, faulty: FaultyObject) -> None:
    faulty.breaks, faulty.after_the_first_answer = [1000], {"content": b"deleted"}
    with pytest.raises(BlobMissing):
        read(client)


def test_a_server_without_etags_is_not_asked_again(client: S3Client, faulty: FaultyObject) -> None:
    faulty.breaks, faulty.etag = [1000], ""
    with pytest.raises(StorageUnavailable):
        read(client)
    assert len(faulty.ranges) == 1


@pytest.mark.parametrize("start", [0, 5])
def test_a_server_that_ignores_ranges(client: S3Client, faulty: FaultyObject, start: int) -> None:
    faulty.breaks, faulty.ignores_ranges = [1000], True
    with pytest.raises(StorageUnavailable):
        read(client, start)


class Answers:
    """A client that gives these bodies; the checksum of the whole is that of `CONTENT`."""

    def __init__(self, *bodies: bytes) -> None:
        self._bodies = list(bodies)

    def get_object(self, Range: str = "", **_: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        raw, expected = io.BytesIO(self._bodies.pop(0)), base64.b64encode(zlib.crc32(CONTENT).to_bytes(4)).decode()
        if Range:
            return {"ContentRange": Range.replace("=", " "), "Body": StreamingBody(raw, None)}  # type: ignore[arg-type]  # as the SDK does
        checksum: Any = _Crc32()
        body = StreamingChecksumBody(raw, len(CONTENT), checksum, expected)
        return {"ContentLength": len(CONTENT), "ETag": '"1"', "ChecksumCRC32": expected, "Body": body}


class _Crc32:
    """What botocore computes a checksum with."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, chunk: bytes) -> None:
        self._value = zlib.crc32(chunk, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4)

    def b64digest(self) -> str:
        return base64.b64encode(self.digest()).decode()


@pytest.mark.parametrize("cut", [len(CONTENT), 1_000_000])
@pytest.mark.parametrize("size", [-1, 65_536])
def test_the_checksum_of_the_whole_is_verified(cut: int, size: int) -> None:
    def read_all(content: bytes) -> bytes:
        client = cast("S3Client", Answers(*filter(None, (content[:cut], content[cut:]))))
        stream = open_object(client, "images", "k")
        return stream.read() if size < 0 else b"".join(iter(lambda: stream.read(size), b""))

    assert read_all(CONTENT) == CONTENT
    with pytest.raises(StorageUnavailable):
        read_all(CONTENT[:-1] + b"?")
    with pytest.raises(StorageUnavailable):
        read_all(b"?" + CONTENT[1:])
