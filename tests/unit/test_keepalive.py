"""The gunicorn worker: how it answers a malformed request, and what it answers when too much is asked."""

from __future__ import annotations

import errno
import logging
import selectors
import socket
from http.client import HTTPResponse
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from gunicorn.http import errors
from gunicorn.workers.gthread import ThreadWorker

from app.entry.client_socket import ClientSocket
from app.entry.keepalive import KeepAliveWorker
from app.entry.own_answers import Overloaded, live_answer
from app.entry.waiting_connections import Wait, WaitingConnections
from app.entry.work_slots import ProcessSlots


@pytest.mark.parametrize(
    ("given", "answered"), [((1, 9), (1, 1)), ((1, 2), (1, 1)), ((1, 1), (1, 1)), ((1, 0), (1, 0))]
)
def test_a_later_minor_version_is_answered_as_http_1_1(
    given: tuple[int, int], answered: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = []
    monkeypatch.setattr(ThreadWorker, "handle_request", lambda _, request, __: versions.append(request.version))
    worker = KeepAliveWorker.__new__(KeepAliveWorker)
    worker.slots = ProcessSlots(1)
    ours, theirs = socket.socketpair()
    request = SimpleNamespace(version=given, path="/", body=SimpleNamespace(reader=None))
    with theirs, ClientSocket(ours) as client:
        worker.handle_request(request, SimpleNamespace(is_http2=False, sock=client))
    assert versions == [answered]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InvalidHTTPVersion("Jane HTTP/1.1"), 400),
        (errors.InvalidHeaderName("Doe^Jane"), 400),
        (errors.LimitRequestLine(9000, 8190), 414),
        (errors.LimitRequestHeaders("Jane"), 431),
        (errors.ExpectationFailed("Jane"), 417),
        (Overloaded("Jane"), 503),
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
    (line,) = lines_of_the_server(caplog)
    assert "Jane" not in line.getMessage()
    assert response.headers["Retry-After"] == ("5" if status == 503 else None)


def test_a_client_that_does_not_wait_for_its_refusal_makes_no_error(caplog: pytest.LogCaptureFixture) -> None:
    worker = KeepAliveWorker.__new__(KeepAliveWorker)
    worker.log = logging.getLogger("gunicorn.error")  # type: ignore[assignment]  # it has the same methods
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours:
        worker.handle_error(None, ours, ("127.0.0.1", 1), errors.InvalidRequestLine("x"))
    assert [each.levelname for each in lines_of_the_server(caplog)] == ["WARNING"]


def lines_of_the_server(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return what the server logged. Threads of earlier tests may log as well."""
    return [each for each in caplog.records if each.name == "gunicorn.error"]


@pytest.mark.parametrize(
    ("head", "is_live"),
    [
        (b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n", True),
        (b"HEAD /Health/Live?probe=1 HTTP/1.0\r\n\r\n", True),
        (b"GET /health/check HTTP/1.1\r\n\r\n", False),
        (b"POST /health/live HTTP/1.1\r\n\r\n", False),
        (b"GET /v2/partitions/health/live HTTP/1.1\r\n\r\n", False),
        (b"", False),
    ],
)
def test_only_the_route_of_liveness_is_answered_without_a_thread(head: bytes, is_live: bool) -> None:
    answer = live_answer(head)
    assert (answer is not None) == is_live
    if answer:
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\nConnection: close\r\n" in answer
        assert answer.endswith(b"}") == head.startswith(b"GET")


def test_a_line_about_the_next_request_has_not_the_id_of_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A malformed request has no id. Its line must not have the id of the request before it."""
    bound = []
    monkeypatch.setattr(ThreadWorker, "handle", lambda *_: bound.append(structlog.contextvars.get_contextvars()))
    structlog.contextvars.bind_contextvars(request_id="abc")
    KeepAliveWorker.__new__(KeepAliveWorker).handle(None)
    assert bound == [{}]


class FullPoller(selectors.SelectSelector):
    """A poller of a system that watches no more connections."""

    def register(self, *_: Any) -> selectors.SelectorKey:
        raise OSError(errno.ENOSPC, "no space")


@pytest.mark.parametrize("kept", [True, False])
def test_a_connection_that_cannot_be_watched_is_closed_and_the_worker_goes_on(kept: bool) -> None:
    worker = KeepAliveWorker.__new__(KeepAliveWorker)
    worker.log = logging.getLogger("gunicorn.error")  # type: ignore[assignment]  # it has the same methods
    worker.nr_conns = 1
    worker.waiting = WaitingConnections(FullPoller(), dict.fromkeys(Wait, 1.0), worker.readable)
    ours, theirs = socket.socketpair()
    with theirs, ClientSocket(ours) as client:
        parser = SimpleNamespace(unreader=SimpleNamespace(buf=BytesIO()))
        worker.finish(SimpleNamespace(sock=client, parser=parser, close=client.close), kept)
        assert theirs.recv(1) == b""
    assert worker.nr_conns == 0
