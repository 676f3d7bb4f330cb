"""The request body that gunicorn gives to the application."""

from __future__ import annotations

from typing import Any, Final

from gunicorn.http.body import Body, LengthReader

from app.entry.client_socket import ClientSocket

_READ_AT_ONCE: Final = 1024 * 1024
"""Bytes that one read returns at most."""


def share_slot(request: Any, client: ClientSocket) -> None:
    """Let a request of gunicorn give its work slot away while it waits for its body. It resumes with each part."""
    reader: Any = request.body.reader
    if getattr(reader, "length", None) == 0:  # most requests have no body
        return
    if isinstance(reader, LengthReader):
        reader = _ReceivingReader(request.unreader, reader.length, client)
    shared: Any = _SharingReader(request, reader, client)
    request.body = _PromptBody(shared)


class _PromptBody(Body):
    """A body whose reads return what one read of its reader returns. gunicorn's own body copies it.

    After an error of the reader the connection is closed (`_SharingReader`), so the rest of the body is never read as a
    request.
    """

    def read(self, size: int | None = None) -> bytes:
        """Return at most `size` bytes, b"" at the end. Return the whole rest without a size."""
        if size is None or size < 0 or self.buf.tell():  # `readline` has put bytes into the buffer
            return super().read(size)
        data: bytes = self.reader.read(min(size, _READ_AT_ONCE))
        return data


class _ReceivingReader:
    """Reads a body of known length from the client. gunicorn's own reader copies it."""

    def __init__(self, unreader: Any, length: int, client: ClientSocket) -> None:
        """Take the first bytes of the body from `unreader`. The bytes after the body stay there."""
        received = unreader.buf.getvalue() and unreader.read()
        self._first, rest = received[:length], received[length:]
        unreader.unread(rest)
        self._remaining = length
        self._client = client

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes, b"" at the end of the body or of the stream."""
        size = min(size, self._remaining)
        data: bytes = self._first[:size]
        if data:
            self._first = self._first[size:]
        elif size:
            data = self._client.receive(size)
        self._remaining -= len(data)
        return data


class _SharingReader:
    """Reads parts of the body. After an error the connection is closed: nobody knows where the next request begins."""

    def __init__(self, request: Any, reader: Any, client: ClientSocket) -> None:
        self._request = request
        self._reader = reader
        self._client = client

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, b"" at the end."""
        try:
            data: bytes = self._reader.read(size)
        except Exception:
            self._request.force_close()
            raise
        finally:
            self._client.resume()
        return data
