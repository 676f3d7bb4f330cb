"""The request body as a stream with a limit, for every transfer encoding."""

from __future__ import annotations

from typing import Final, Protocol

from flask import Request, Response, g
from gunicorn.http.errors import ParseException

from app.errors import InvalidRequest, RequestTimeout, TooLarge
from app.storage.table import deadline
from app.web.request.decoding import DecodedBody, coding_of

CHUNK: Final = 1024 * 1024
"""Bytes that are read from the server at once."""

DRAINED: Final = 16 * 1024 * 1024
"""Bytes of a refused body that are still read. Many clients read the answer only after they have sent the body."""


class BodySource(Protocol):
    """Anything with `read`."""

    def read(self, size: int, /) -> bytes: ...


class Body:
    """The bytes of a request, at most `limit` of them. `length` is the Content-Length; None if it is not known."""

    def __init__(self, source: BodySource, length: int | None, limit: int) -> None:
        self._source = source
        self._remaining = length
        self._limit = limit
        self._received = 0
        self._first_chunk = b""

    @property
    def received(self) -> int:
        """The bytes that were read so far."""
        return self._received

    def begin(self, *, may_be_empty: bool = False) -> None:
        """Raise `TooLarge` for a Content-Length over the limit, `InvalidRequest` if it is empty and may not be."""
        if self._remaining is not None and self._remaining > self._limit:
            raise TooLarge(self._limit)
        if self._remaining is None:
            self._first_chunk = self._receive(CHUNK)
        if not (self._remaining or self._first_chunk or may_be_empty):
            raise InvalidRequest("The request body is missing.")

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, all of them for -1, b"" at the end.

        Raises `TooLarge` past the limit, `InvalidRequest` if the body ends before its announced length, and
        `RequestTimeout` if the client is too slow.
        """
        if size < 0:
            return b"".join(iter(lambda: self.read(CHUNK), b""))
        if self._first_chunk:
            data, self._first_chunk = self._first_chunk[:size], self._first_chunk[size:]
        else:
            data = self._receive(size)
        if self._received > self._limit:
            raise TooLarge(self._limit)
        if not data and size and self._remaining:
            raise InvalidRequest("The request body ends before its announced length.")
        return data

    def drain(self) -> None:
        """Read up to `DRAINED` bytes more, after the answer. Errors no longer matter and are ignored."""
        until = self._received + DRAINED
        try:
            while self._received < until and self._receive(CHUNK):
                pass
        except InvalidRequest:
            return

    def _receive(self, size: int) -> bytes:
        wanted = size if self._remaining is None else min(size, self._remaining)
        if not wanted:
            return b""
        try:
            data = self._source.read(wanted)
        except TimeoutError as error:
            self._remaining = 0
            raise RequestTimeout from error
        except (OSError, ParseException) as error:  # gunicorn's errors for a broken connection and a malformed chunk
            self._remaining = 0  # the position in the stream is unknown from here on
            raise InvalidRequest("The request body could not be read.") from error
        self._received += len(data)
        deadline.renew()
        if self._remaining is not None:
            self._remaining -= len(data)
        return data


def open_body(request: Request, limit: int) -> Body:
    """Return the body of the request as a stream from the server, without the buffering of the framework.

    A body with a content coding is decoded. The limit counts for the bytes before and after that, each for itself.
    Raises `UnsupportedCoding` for a coding that is not supported (RFC 9110 §15.5.16).
    """
    g.body = body = _body(request, limit)
    coding = coding_of(request.headers.get("Content-Encoding", ""))
    return body if coding is None else Body(DecodedBody(body, coding), None, limit)


def drain_after(response: Response, request: Request) -> None:
    """Read the rest of the request body after the answer is sent.

    If the server closed the connection while the client still sends, the client would lose the answer.
    """
    response.call_on_close((g.get("body") or _body(request, 0)).drain)


def _body(request: Request, limit: int) -> Body:
    environ = request.environ
    length = request.content_length
    if length is None and not environ.get("wsgi.input_terminated"):
        length = 0
    return Body(environ["wsgi.input"], length, limit)
