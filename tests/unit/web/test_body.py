"""The request body: whole or refused."""

from __future__ import annotations

from io import BytesIO

import pytest
from gunicorn.http.errors import InvalidChunkSize

from app.errors import InvalidRequest, TooLarge
from app.web.body import CHUNK, DRAINED, Body


class Broken:
    """A connection that breaks, or says what is no chunk."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.asked = 0

    def read(self, size: int, /) -> bytes:
        self.asked += 1
        raise self.error


class Endless:
    """A client that never stops."""

    given = 0

    def read(self, size: int, /) -> bytes:
        self.given += size
        return bytes(size)


def test_what_was_announced_is_read_and_no_more() -> None:
    body = Body(BytesIO(b"12345next request"), 5, 10)
    body.begin()
    assert [body.read(3), body.read(3), body.read(3), body.read()] == [b"123", b"45", b"", b""]


def test_without_an_announcement_all_is_read() -> None:
    body = Body(BytesIO(b"x" * (CHUNK + 5)), None, 2 * CHUNK)
    body.begin()
    assert body.read() == b"x" * (CHUNK + 5)


@pytest.mark.parametrize("length", [0, None])
def test_no_body(length: int | None) -> None:
    with pytest.raises(InvalidRequest, match=r"The request body is missing\."):
        Body(BytesIO(b""), length, 10).begin()


def test_too_much_announced_is_refused_before_it_is_read() -> None:
    source = BytesIO(b"123456")
    with pytest.raises(TooLarge, match="limit of 5 bytes"):
        Body(source, 6, 5).begin()
    assert source.tell() == 0


def test_too_much_unannounced_is_refused_when_it_comes() -> None:
    body = Body(Endless(), None, 2 * CHUNK)
    body.begin()
    with pytest.raises(TooLarge):
        body.read()


def test_exactly_the_limit_is_let_in() -> None:
    body = Body(BytesIO(b"12345"), None, 5)
    body.begin()
    assert body.read() == b"12345"


def test_less_than_announced_is_refused() -> None:
    body = Body(BytesIO(b"123"), 5, 10)
    body.begin()
    with pytest.raises(InvalidRequest, match="ends before its announced length"):
        body.read()


@pytest.mark.parametrize("error", [ConnectionResetError(), BlockingIOError(), InvalidChunkSize(b"zz")], ids=repr)
@pytest.mark.parametrize("length", [5, None])
def test_a_broken_body_is_the_clients_fault_and_not_waited_for_again(error: Exception, length: int | None) -> None:
    source = Broken(error)
    body = Body(source, length, 10)
    with pytest.raises(InvalidRequest, match="could not be read"):
        body.read(5)
    body.drain()
    assert source.asked == 1


def test_draining_is_bounded() -> None:
    source = Endless()
    Body(source, None, 10).drain()
    assert DRAINED <= source.given <= DRAINED + CHUNK
