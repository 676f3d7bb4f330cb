"""The request body that gunicorn gives to the application."""

from __future__ import annotations

from typing import Any

from app.entry.client_socket import ClientSocket


def share_slot(request: Any, client: ClientSocket) -> None:
    """Let a request of gunicorn give its work slot away while it waits for its body. It resumes with each part."""
    reader = request.body.reader
    if getattr(reader, "length", None) != 0:  # most requests have no body
        request.body.reader = _SharingReader(request, reader, client)


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
