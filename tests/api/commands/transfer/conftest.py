"""`bulkhead store` and `bulkhead fetch` on a server in the process of the test, whose requests are kept."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result
from flask.testing import FlaskClient

from app.entry import cli
from app.settings.client import CLIENT_VARIABLES

Run = Callable[..., Result]


class Service(httpx.BaseTransport):
    """The service as a transport. It keeps the requests. `before` is called with each, and may answer in its place."""

    def __init__(self, application: Any) -> None:
        self.move(application)
        self.requests: list[httpx.Request] = []
        self.before: Callable[[httpx.Request], httpx.Response | None] = lambda _request: None
        self._lock = threading.Lock()

    def move(self, application: Any) -> None:
        """Let another application answer from now on."""
        self._transport = httpx.WSGITransport(application, raise_app_exceptions=True)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        with self._lock:
            self.requests.append(request)
            answer = self.before(request)
        return answer or self._transport.handle_request(request)

    def paths(self, method: str) -> list[str]:
        """Return the paths of the requests with this method."""
        return [request.url.path for request in self.requests if request.method == method]


@pytest.fixture
def service(client: FlaskClient) -> Service:
    return Service(client.application)


@pytest.fixture
def bulkhead(service: Service, tmp_path: Path) -> Run:
    """Run `bulkhead` with these arguments against the service. Its state is in `tmp_path/state`."""

    def run(*arguments: object, **environment: str) -> Result:
        given = dict.fromkeys(CLIENT_VARIABLES, "") | {"XDG_STATE_HOME": str(tmp_path / "state")} | environment
        return CliRunner().invoke(cli.main, [str(each) for each in arguments], env=given, obj=service)

    return run
