"""Outages of the data store that begin and end: at the ports, or in the engine below them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from botocore.exceptions import EndpointConnectionError

from app.engines.embedded.sqlite import SqliteTable
from tests.support.faults import FOR_EVER, Rule, fail
from tests.support.faulty_engine import Faults


class Outage(Protocol):
    """A part of the data store that fails between `begin` and `end`."""

    def begin(self) -> None: ...

    def end(self) -> None: ...


class PortOutage:
    """Every call of these operations fails before it takes effect."""

    def __init__(self, faults: Faults, operations: Sequence[str]) -> None:
        self._faults = faults
        self._operations = operations

    def begin(self) -> None:
        self._faults.add(Rule(fail(), operation=self._operations, times=FOR_EVER))

    def end(self) -> None:
        self._faults.clear()


class UnreadablePath:
    """A file or a folder of the embedded engine that cannot be opened: its place has a link to itself.

    A `table` closes its connections, because an open file can still be read.
    """

    def __init__(self, path: Path, table: SqliteTable | None = None) -> None:
        self._path = path
        self._aside = path.with_name("aside")
        self._table = table

    def begin(self) -> None:
        if self._table:
            self._table.close()
        self._path.rename(self._aside)
        self._path.symlink_to(self._path)

    def end(self) -> None:
        self._path.unlink()
        self._aside.rename(self._path)


class UnreachableService:
    """A service of AWS to which no connection can be made. `client` is the client of boto3 that the engine uses."""

    def __init__(self, client: Any, service: str) -> None:
        self._client = client
        self._event = f"before-send.{service}"

    def begin(self) -> None:
        self._client.meta.events.register_first(self._event, self._refuse)

    def end(self) -> None:
        self._client.meta.events.unregister(self._event, self._refuse)

    def _refuse(self, request: Any, **_: object) -> None:
        raise EndpointConnectionError(endpoint_url=request.url)
