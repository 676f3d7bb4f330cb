"""The gunicorn worker: how long it waits for clients, and how it answers a malformed request."""

from __future__ import annotations

import logging
import socket
import struct
from http.client import HTTPResponse
from types import SimpleNamespace

import pytest
from gunicorn.http import errors
from gunicorn.workers.gthread import ThreadWorker

from app.entry.keepalive import KeepAliveWorker, limit_silence


def test_the_connection_of_a_silent_client_is_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        limit_silence(listener, 7)
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
            accepted.setblocking(True)  # as gunicorn does, which must not undo it
            waits = accepted.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.calcsize("ll"))
            assert struct.unpack("ll", waits)[0] == 7
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 7000


@pytest.mark.parametrize(
    ("given", "answered"), [((1, 9), (1, 1)), ((1, 2), (1, 1)), ((1, 1), (1, 1)), ((1, 0), (1, 0))]
)
def test_a_later_minor_version_is_answered_as_http_1_1(
    given: tuple[int, int], answered: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = []
    monkeypatch.setattr(ThreadWorker, "handle_request", lambda _, request, __: versions.append(request.version))
    worker = KeepAliveWorker.__new__(KeepAliveWorker)
    worker.handle_request(SimpleNamespace(version=given), SimpleNamespace(is_http2=False))
    assert versions == [answered]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InvalidHTTPVersion("Jane HTTP/1.1"), 400),
        (errors.InvalidHeaderName("Doe^Jane"), 400),
        (errors.LimitRequestLine(9000, 8190), 414),
        (errors.LimitRequestHeaders("Jane"), 431),
        (errors.ExpectationFailed("Jane"), 417),
        (ValueError("Doe^Jane"), 500),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_malformed_request_is_refused_in_plain_text_and_not_quoted_in_the_log(
    error: Exception, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    worker = KeepAliveWorker.__new__(KeepAliveWorker)
    worker.log = logging.getLogger("gunicorn.error")  # type: ignore[assignment]  # it has the same methods
    ours, theirs = socket.socketpair()
    with ours, theirs:
        worker.handle_error(None, ours, ("127.0.0.1", 1), error)
        ours.close()
        with HTTPResponse(theirs) as response:
            response.begin()
            text = response.read().decode()
    assert response.status == status
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert (text == "") == (status == 500)
    assert len(caplog.records) == 1
    assert "Jane" not in caplog.records[0].getMessage()
