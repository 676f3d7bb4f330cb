"""The stream of a request body: limits, lengths, errors."""

from __future__ import annotations

from io import BytesIO

import pytest
from gunicorn.http.errors import InvalidChunkSize

from app.errors import InvalidRequest, RequestTimeout, TooLarge
from app.web.request.body import CHUNK, DRAINED, Body


class BrokenSource:
    """Raises an error at every read: a broken connection or a malformed chunk."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.reads = 0

    def read(self, size: int, /) -> bytes:
        self.reads += 1
        raise self.error


class EndlessSource:
    """A client that never stops to send."""

    sent = 0

    def read(self, size: int, /) -> bytes:
        self.sent += size
        return bytes(size)


def test_the_announced_bytes_are_read_and_no_more() -> None:
    body = Body(BytesIO(b"12345next request"), 5, 10)
    body.begin()
    assert [body.read(3), body.read(3), body.read(3), body.read()] == [b"123", b"45", b"", b""]


def test_a_chunked_body_is_read_to_its_end() -> None:
    body = Body(BytesIO(b"x" * (CHUNK + 5)), None, 2 * CHUNK)
    body.begin()
    assert body.read() == b"x" * (CHUNK + 5)


@pytest.mark.parametrize("length", [0, None])
def test_an_empty_body_is_refused(length: int | None) -> None:
    with pytest.raises(InvalidRequest, match=r"The request body is missing\."):
        Body(BytesIO(b""), length, 10).begin()


def test_an_announced_length_over_the_limit_is_refused_before_it_is_read() -> None:
    source = BytesIO(b"123456")
    with pytest.raises(TooLarge, match="limit of 5 bytes"):
        Body(source, 6, 5).begin()
    assert source.tell() == 0


def test_a_chunked_body_over_the_limit_is_refused() -> None:
    body = Body(EndlessSource(), None, 2 * CHUNK)
    body.begin()
    with pytest.raises(TooLarge):
        body.read()


def test_a_body_of_exactly_the_limit_is_read() -> None:
    body = Body(BytesIO(b"12345"), None, 5)
    body.begin()
    assert body.read() == b"12345"


def test_a_body_shorter_than_announced_is_refused() -> None:
    body = Body(BytesIO(b"123"), 5, 10)
    body.begin()
    with pytest.raises(InvalidRequest, match="ends before its announced length"):
        body.read()


@pytest.mark.parametrize("error", [ConnectionResetError(), BlockingIOError(), InvalidChunkSize(b"zz")], ids=repr)
@pytest.mark.parametrize("length", [5, None])
def test_a_broken_body_is_a_bad_request_and_is_not_read_again(error: Exception, length: int | None) -> None:
    source = BrokenSource(error)
    body = Body(source, length, 10)
    with pytest.raises(InvalidRequest, match="could not be read"):
        body.read(5)
    body.drain()
    assert source.reads == 1


@pytest.mark.parametrize("length", [5, None])
def test_a_body_that_arrives_too_slowly_is_a_408_and_is_not_read_again(length: int | None) -> None:
    source = BrokenSource(TimeoutError())
    body = Body(source, length, 10)
    with pytest.raises(RequestTimeout, match="too slowly") as raised:
        body.read(5)
    assert raised.value.status == 408
    body.drain()
    assert source.reads == 1


def test_draining_is_bounded() -> None:
    source = EndlessSource()
    Body(source, None, 10).drain()
    assert DRAINED <= source.sent <= DRAINED + CHUNK
