"""How long a request may wait for the data store (conformance §1.4, `storage/table/deadline.py`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from flask import Response

from app.storage.table.deadline import Deadline, within

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class LimitedWaiting:
    """A WSGI application whose requests wait for the data store for at most `seconds`, until their answer begins."""

    def __init__(self, application: WSGIApplication, seconds: float) -> None:
        self._application = application
        self._seconds = seconds

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        with within(Deadline(self._seconds)):
            return self._application(environ, start_response)


def limit_waiting(response: Response, seconds: float) -> None:
    """Let each chunk of a streamed answer wait for the data store for at most `seconds`.

    A file that the server sends by itself reads no table.
    """
    if response.is_streamed and not response.direct_passthrough:
        response.response = _Chunks(response.response, seconds)  # type: ignore[arg-type]  # it has chunks of bytes


class _Chunks:
    """The same chunks. The time begins anew with each, since the one before it was sent."""

    def __init__(self, chunks: Iterable[bytes], seconds: float) -> None:
        self._source = chunks
        self._chunks = iter(chunks)
        self._seconds = seconds

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        with within(Deadline(self._seconds)):
            return next(self._chunks)

    def close(self) -> None:
        if hasattr(self._source, "close"):
            self._source.close()
