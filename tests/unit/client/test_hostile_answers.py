"""Answers that no Bulkhead gives: each ends in a `ClientError` with one line, and in bounded memory."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from threading import Event
from typing import Any

import httpx
import pytest

from app.client import answers
from app.client.attempts import Attempts
from app.client.connection import ArchiveClient
from app.client.errors import Refused, UnexpectedAnswer
from app.client.fetch.download import Downloader, DownloadFailed
from app.client.identifiers import Identifier
from app.client.pages import pages

INSTANCE = Identifier(("1.2", "1.2.3", "1.2.3.4"))
CONTROL = "\x9b"
"""The character that begins a command to a terminal (ECMA-48 §8.3.16)."""


class Endless(httpx.SyncByteStream):
    """A body that never ends. `taken` counts its bytes that were read."""

    def __init__(self) -> None:
        self.taken = 0

    def __iter__(self) -> Iterator[bytes]:
        while self.taken < 1 << 26:
            self.taken += 1 << 16
            yield bytes(1 << 16)


def client(status: int, **given: Any) -> ArchiveClient:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status, **given)

    return ArchiveClient("http://127.0.0.1", "p", attempts=Attempts(number=1), transport=httpx.MockTransport(answer))


def encoded(content: bytes, coding: str = "gzip") -> dict[str, Any]:
    """Return what a response with an encoded body has. MockTransport would decode a body in bytes at once."""
    return {"headers": {"Content-Encoding": coding}, "stream": httpx.ByteStream(content)}


def test_a_body_that_cannot_be_decoded() -> None:
    with pytest.raises(UnexpectedAnswer, match="cannot be decoded"):
        client(200, **encoded(b"no gzip")).json("/studies")


@pytest.mark.parametrize("is_compressed", [False, True])
def test_an_answer_without_end_is_not_read(monkeypatch: pytest.MonkeyPatch, is_compressed: bool) -> None:
    monkeypatch.setattr(answers, "LONGEST_ANSWER_BYTES", 1 << 20)
    endless = Endless()
    given = encoded(zlib.compress(bytes(1 << 24)), "deflate") if is_compressed else {"stream": endless}
    with pytest.raises(UnexpectedAnswer, match="1048576 bytes"):
        client(200, **given).json("/studies")
    assert endless.taken < 1 << 22


def test_an_error_without_end_is_not_read() -> None:
    endless = Endless()
    with pytest.raises(Refused):
        client(400, stream=endless).json("/studies")
    assert endless.taken < 1 << 20


@pytest.mark.parametrize("charset", ["rot13", "base64", "utf-16"])
def test_a_charset_that_is_no_charset(charset: str) -> None:
    given = {"headers": {"Content-Type": f"text/plain; charset={charset}"}, "content": b"Not that."}
    with pytest.raises(Refused, match=r"Not that\."):
        client(400, **given).json("/studies")


@pytest.mark.parametrize("status", [302, 500])
def test_no_text_of_a_server_controls_the_terminal(status: int) -> None:
    headers = [(b"Location", f"http://a/{CONTROL}31m".encode()), (b"Content-Type", b"text/html")]
    extensions = {"reason_phrase": f"{CONTROL}31m".encode("latin-1")}
    with pytest.raises((UnexpectedAnswer, Refused)) as caught:
        client(status, headers=headers, extensions=extensions).json("/studies")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("listed", [[1], [None], [{"0020000D": 5}], [{"0020000D": {"Value": 5}}], {"a": 1}])
def test_a_search_that_gives_no_datasets(listed: Any) -> None:
    with pytest.raises(UnexpectedAnswer, match="no list of objects"):
        list(pages(client(200, json=listed), "/studies"))


@pytest.mark.parametrize("digest", [b"sha-256=:a:", b"sha-256=:\xff:"])
def test_a_digest_that_is_none_is_ignored(digest: bytes) -> None:
    downloader = Downloader(client(200, headers=[(b"Repr-Digest", digest)], content=b"abc"), "*", Event())
    assert downloader.download(INSTANCE, io.BytesIO()) == 3


@pytest.mark.parametrize(("status", "given"), [(200, encoded(b"no gzip")), (206, {"content": b"a"}), (204, {})])
def test_a_download_that_is_no_whole_file(status: int, given: dict[str, Any]) -> None:
    with pytest.raises(DownloadFailed):
        Downloader(client(status, **given), "*", Event()).download(INSTANCE, io.BytesIO())


def test_a_length_that_is_no_length() -> None:
    headers = {"Content-Length": "9" * 5000}
    assert Downloader(client(200, headers=headers, content=b""), "*", Event()).stored_size(INSTANCE) is None
