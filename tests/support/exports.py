"""Exports in tests: the destinations, and an archive that exports to one of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import bootstrap, create_app
from app.settings import Settings
from app.storage.operations.destinations import Destination, Opener
from app.storage.operations.operations import Operation, Operations
from tests.support.dicomweb import PartitionClient
from tests.support.faulty_engine import Faults, FaultyTable

Json = dict[str, Any]


class ExportTarget(Protocol):
    """A destination of exports, with the prefix `drop`."""

    destination: Json

    def files(self) -> dict[str, bytes]:
        """Return the files of the destination, by key below the prefix."""
        ...

    def close(self) -> None:
        """Let every write to the destination fail from now on."""
        ...

    def open(self) -> None:
        """Let writes succeed again. The files are as before."""
        ...

    def href(self, operation: str) -> str:
        """Return the URL of the error log."""
        ...


class Bucket:
    """A bucket of the mocked account."""

    def __init__(self, s3: Any) -> None:
        self.s3 = s3
        self.destination = {"type": "s3", "settings": {"bucketName": "research-drop", "prefix": "drop"}}
        s3.create_bucket(Bucket="research-drop")

    def files(self) -> dict[str, bytes]:
        keys = [each["Key"] for each in self.s3.list_objects_v2(Bucket="research-drop").get("Contents", ())]
        bodies = [self.s3.get_object(Bucket="research-drop", Key=key)["Body"].read() for key in keys]
        return {key.removeprefix("drop/"): body for key, body in zip(keys, bodies, strict=True)}

    def close(self) -> None:
        self.kept = self.files()
        for key in self.kept:
            self.s3.delete_object(Bucket="research-drop", Key=f"drop/{key}")
        self.s3.delete_bucket(Bucket="research-drop")

    def open(self) -> None:
        self.s3.create_bucket(Bucket="research-drop")
        for key, body in self.kept.items():
            self.s3.put_object(Bucket="research-drop", Key=f"drop/{key}", Body=body)

    def href(self, operation: str) -> str:
        return f"https://research-drop.s3.amazonaws.com/drop/{operation}/errors.log"


class Folder:
    """A folder below the export folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.destination = {"type": "file", "settings": {"prefix": "drop"}}

    def files(self) -> dict[str, bytes]:
        drop = self.root / "drop"
        return {str(each.relative_to(drop)): each.read_bytes() for each in drop.rglob("*") if each.is_file()}

    def close(self) -> None:
        self.aside = self.root.with_name("aside")
        self.root.rename(self.aside)

    def open(self) -> None:
        self.aside.rename(self.root)

    def href(self, operation: str) -> str:
        return f"drop/{operation}/errors.log"


class Exporter:
    """A fresh archive with a fresh destination.

    The table and the destination are under the rules of `faults`. The operations of the destination are
    destination.write and destination.copy.
    """

    def __init__(self, settings: Settings, engine: bootstrap.Engine, place: ExportTarget) -> None:
        self.settings = settings
        self.place = place
        self.faults = Faults()
        openers = {kind: self._faulty(opener) for kind, opener in engine.openers.items()}
        self._table = engine.table
        self.engine = replace(
            engine, table=FaultyTable(engine.table, self.faults), openers=openers, writes_at_once=False
        )
        self.app = create_app(settings, self.engine)
        self.client: FlaskClient = self.app.test_client()
        self.clinic = PartitionClient(self.client)
        self.restart()

    def ask(self, *values: str, prefix: str = "/v2/partitions/clinic-a") -> TestResponse:
        """Request an export to the destination."""
        source = {"type": "identifiers", "settings": {"values": list(values)}}
        return self.post({"source": source, "destination": self.place.destination}, prefix)

    def post(self, body: object, prefix: str = "/v2/partitions/clinic-a") -> TestResponse:
        """Post a body to the export resource."""
        return self.client.post(f"{prefix}/export", data=json.dumps(body), content_type="application/json")

    def run(self, *values: str, **where: str) -> Operation:
        """Request an export and do its work to the end."""
        response = self.ask(*values, **where)
        assert response.status_code == 202, response.text
        return self.work(response.get_json()["id"])

    def work(self, operation: str) -> Operation:
        """Do background work until the operation has ended."""
        for _ in range(1000):
            if (found := self.operation(operation)).ended:
                return found
            self.step()
        raise AssertionError("The operation does not end.")

    def restart(self) -> None:
        """Replace the worker by a new one, as after a restart."""
        self.step = bootstrap.build_services(self.settings, self.engine).background[0]

    def operation(self, operation: str) -> Operation:
        """Return the stored operation."""
        found = Operations(self._table).get(operation)
        assert found
        return found

    def exported(self, operation: str) -> dict[str, bytes]:
        """Return the files of an operation by `study/series/instance`. Assert that only the log is beside them."""
        head, log = f"{operation}/results/", f"{operation}/errors.log"
        found = {key: body for key, body in self.place.files().items() if key.startswith(operation) and key != log}
        assert all(key.startswith(head) and key.endswith(".dcm") for key in found), found.keys()
        return {key.removeprefix(head).removesuffix(".dcm"): body for key, body in found.items()}

    def log(self, operation: str) -> list[tuple[str, str]]:
        """Return the lines of the error log: identifier, error."""
        lines = map(json.loads, self.place.files()[f"{operation}/errors.log"].splitlines())
        return [(line["identifier"], line["error"]) for line in lines]

    def _faulty(self, opener: Opener) -> Opener:
        return lambda target, operation: _FaultyDestination(opener(target, operation), self.faults)


class _FaultyDestination:
    """A `Destination` under the rules of `Faults`."""

    def __init__(self, destination: Destination, faults: Faults) -> None:
        self._destination = destination
        self._faults = faults

    def write(self, key: str, body: BinaryIO, content_type: str) -> None:
        self._faults.around("destination.write", (key,), lambda: self._destination.write(key, body, content_type))

    def copy(self, blob: str, size: int, key: str, content_type: str) -> None:
        copy = self._destination.copy
        self._faults.around("destination.copy", (key,), lambda: copy(blob, size, key, content_type))

    def url(self, key: str) -> str:
        return self._destination.url(key)


def totals(results: Mapping[str, Any]) -> tuple[int, int]:
    """Return the numbers of exported and of skipped instances."""
    return results["exported"], results["skipped"]
