"""The commands that call a server, on a server in the process of the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result
from flask.testing import FlaskClient

from app import logs
from app.entry import cli
from app.settings import Settings
from app.settings.client import CLIENT_VARIABLES
from tests.conftest import QUIET
from tests.support.restored_logging import restored_logging

Command = Callable[..., Result]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an empty archive. The commands do not know the engine."""
    return Settings(data_dir=tmp_path / "archive", **QUIET)


@pytest.fixture(autouse=True)
def quiet_log() -> Iterator[None]:
    """The log of the server is not part of the output of a command."""
    with restored_logging():
        logs.configure("error", "json")
        yield


@pytest.fixture
def bulkhead(client: FlaskClient) -> Command:
    """Return a function that runs a command in the partition clinic-a of the server."""
    return command_on(client)


def command_on(client: FlaskClient, **variables: str) -> Command:
    """Return a function that runs a command on a server, with these variables."""
    given = dict.fromkeys(CLIENT_VARIABLES, "") | {"BULKHEAD_PARTITION": "clinic-a"} | variables

    def run(*arguments: str, text: str | None = None) -> Result:
        transport = httpx.WSGITransport(app=client.application)
        return CliRunner().invoke(cli.main, arguments, env=given, obj=transport, input=text)

    return run
