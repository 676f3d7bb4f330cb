"""The request body as a stream: bounded, whole or refused, whatever its transfer encoding."""

from __future__ import annotations

from typing import Final, Protocol

from flask import Request, Response, g
from gunicorn.http.errors import ParseException

from app.errors import InvalidRequest, TooLarge, UnsupportedContent

CHUNK: Final = 1024 * 1024
"""Bytes asked of the server at once."""

DRAINED: Final = 16 * 1024 * 1024
"""Bytes of a refused body still read, so that a client that sends before it listens can hear the answer."""


class BodySource(Protocol):
    """Anything with `read`."""

    def read(self, size: int, /) -> bytes: ...


class Body:
    """The bytes of a request, at most `limit` of them. `length` is Content-Length; None means chunked."""

    def __init__(self, source: BodySource, length: int | None, limit: int) -> None:
        self._source = source
        self._left = length
        self._limit = limit
        self._taken = 0
        self._peeked = b""

    def begin(self) -> None:
        """Raise `TooLarge` when more is announced than may come, `InvalidRequest` when nothing comes at all."""
        if self._left is not None and self._left > self._limit:
            raise TooLarge(self._limit)
        if self._left is None:
            self._peeked = self._take(CHUNK)
        if not (self._left or self._peeked):
            raise InvalidRequest("The request body is missing.")

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, all of them for -1, b"" at the end.

        Raises `TooLarge` past the limit, `InvalidRequest` when the client stops before it has sent what it announced.
        """
        if size < 0:
            return b"".join(iter(lambda: self.read(CHUNK), b""))
        if self._peeked:
            data, self._peeked = self._peeked[:size], self._peeked[size:]
        else:
            data = self._take(size)
        if self._taken > self._limit:
            raise TooLarge(self._limit)
        if not data and size and self._left:
            raise InvalidRequest("The request body ends before its announced length.")
        return data

    def drain(self) -> None:
        """Read on after the answer, a bounded amount; what goes wrong meanwhile no longer matters."""
        until = self._taken + DRAINED
        try:
            while self._taken < until and self._take(CHUNK):
                pass
        except InvalidRequest:
            return

    def _take(self, size: int) -> bytes:
        wanted = size if self._left is None else min(size, self._left)
        if not wanted:
            return b""
        try:
            data = self._source.read(wanted)
        except (OSError, ParseException) as error:  # gunicorn's words for a broken connection or a malformed chunk
            self._left = 0  # where it goes on nobody knows
            raise InvalidRequest("The request body could not be read.") from error
        self._taken += len(data)
        if self._left is not None:
            self._left -= len(data)
        return data


def open_body(request: Request, limit: int) -> Body:
    """Return the body of the request as it comes from the server, past the framework's own buffering.

    Raises `UnsupportedContent` for one that is compressed on its way (RFC 9110 §15.5.16): it is not what its type says.
    """
    g.body = body = _body(request, limit)
    coding = request.headers.get("Content-Encoding", "").strip()
    if coding.lower() not in ("", "identity"):
        raise UnsupportedContent(f"The content encoding '{coding}' is not supported.")
    return body


def drain_after(response: Response, request: Request) -> None:
    """Let what nobody has read of the request's body be drained once the response is on its way.

    A server that hangs up on a client still sending takes the answer away from it.
    """
    response.call_on_close((g.get("body") or _body(request, 0)).drain)


def _body(request: Request, limit: int) -> Body:
    environ = request.environ
    length = request.content_length
    if length is None and not environ.get("wsgi.input_terminated"):
        length = 0
    return Body(environ["wsgi.input"], length, limit)
