"""The request body, as gunicorn gives it to the application."""

from __future__ import annotations

from typing import Any

from app.entry.client_socket import ClientSocket


class SharingReader:
    """Reads parts of the body. The request gives its work slot away while it waits for the client.

    It has the slot again when a part is there. After an error the connection is closed: nobody knows where the next
    request begins.
    """

    def __init__(self, request: Any, client: ClientSocket) -> None:
        self._request = request
        self._reader = request.body.reader
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
