"""A gateway in this process, and a server for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from flask import Flask

from app import create_app
from app.client.connection import ArchiveClient
from app.gateway.admission import Admission, PartitionBy
from app.gateway.gateway import Gateway, GatewaySettings
from app.gateway.http_sender import HttpSender
from app.gateway.outcomes import Sender
from app.gateway.queries import Search
from app.gateway.spool import MIB, Spool
from app.settings import Settings
from tests.conftest import QUIET

StartGateway = Callable[..., Gateway]


@pytest.fixture
def archive(tmp_path: Path) -> Flask:
    """An empty server."""
    return create_app(Settings(data_dir=tmp_path / "archive", **QUIET))


@pytest.fixture
def client(archive: Flask) -> ArchiveClient:
    """Calls the server, without a network in between."""
    return ArchiveClient("http://archive", "clinic-a", transport=httpx.WSGITransport(app=archive))


@pytest.fixture
def sender(client: ArchiveClient) -> HttpSender:
    """Sends to the server."""
    return HttpSender(client)


@pytest.fixture
def spool_folder(tmp_path: Path) -> Path:
    """The folder of the spool."""
    return tmp_path / "spool"


@pytest.fixture
def spool(spool_folder: Path) -> Spool:
    """A spool of 64 MiB."""
    return Spool(spool_folder, limit=64 * MIB, minimum_free=0)


@pytest.fixture
def start(spool: Spool, request: pytest.FixtureRequest) -> Iterator[StartGateway]:
    """Return a function that starts a gateway for clinic-a on a free port. Arguments replace its parts and settings.

    The server is made only for a gateway without another sender.
    """
    started: list[Gateway] = []

    def begin(
        *,
        admission: Admission | None = None,
        spool: Spool = spool,
        sender: Sender | None = None,
        search: Search | None = None,
        **settings: object,
    ) -> Gateway:
        rules = admission or Admission(
            titles=frozenset({"BULKHEAD"}), partition_by=PartitionBy.FIXED, partition="clinic-a"
        )
        values: dict[str, object] = {"title": "BULKHEAD", "host": "127.0.0.1", "port": 0, "threads": 2, **settings}
        target = sender or request.getfixturevalue("sender")
        gateway = Gateway(GatewaySettings(**values), admission=rules, spool=spool, sender=target, search=search)  # type: ignore[arg-type] # each test passes fields of the settings
        gateway.start()
        started.append(gateway)
        return gateway

    yield begin
    for gateway in started:
        gateway.stop(0)
