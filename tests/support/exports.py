"""Places that exports go to, and what a test does with them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import bootstrap, create_app
from app.settings import Settings
from app.storage.operations.operations import Operation, Operations
from tests.support.archive import HookedTable
from tests.support.dicomweb import PartitionClient

Json = dict[str, Any]
Hook = Callable[[str], None]


class ExportTarget(Protocol):
    """Somewhere to export to; prefix `drop`."""

    destination: Json

    def files(self) -> dict[str, bytes]:
        """What lies there, by its key below the prefix."""
        ...

    def close(self) -> None:
        """Let it take nothing more."""
        ...

    def open(self) -> None:
        """Undo that."""
        ...

    def href(self, operation: str) -> str:
        """The URL of the error log."""
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
    """An archive with a place to export to, both fresh. `hook`, if set, is told of calls to the place and the table."""

    def __init__(self, settings: Settings, engine: bootstrap.Engine, place: ExportTarget) -> None:
        self.settings = settings
        self.place = place
        self.hook: Hook | None = None
        openers = {kind: self._hooked(opener) for kind, opener in engine.openers.items()}
        table = HookedTable(engine.table, self._told)
        self.engine = bootstrap.Engine(table, engine.blobs, engine.queue, openers)
        self.app = create_app(settings, self.engine)
        self.client: FlaskClient = self.app.test_client()
        self.clinic = PartitionClient(self.client)
        self.restart()

    def ask(self, *values: str, prefix: str = "/v2/partitions/clinic-a") -> TestResponse:
        """Ask for an export to the place."""
        source = {"type": "identifiers", "settings": {"values": list(values)}}
        return self.post({"source": source, "destination": self.place.destination}, prefix)

    def post(self, body: object, prefix: str = "/v2/partitions/clinic-a") -> TestResponse:
        """Post any body."""
        return self.client.post(f"{prefix}/export", data=json.dumps(body), content_type="application/json")

    def run(self, *values: str, **where: str) -> Operation:
        """Export to the end."""
        response = self.ask(*values, **where)
        assert response.status_code == 202, response.text
        return self.work(response.get_json()["id"])

    def work(self, operation: str) -> Operation:
        """Let the worker finish an operation."""
        for _ in range(1000):
            if (found := self.operation(operation)).ended:
                return found
            self.step()
        raise AssertionError("The operation does not end.")

    def restart(self) -> None:
        """Start the worker, forgetting the one before."""
        self.step = bootstrap.build_services(self.settings, self.engine).background[0]

    def operation(self, operation: str) -> Operation:
        """An operation as it is kept."""
        hook, self.hook = self.hook, None
        found = Operations(self.engine.table).get(operation)
        self.hook = hook
        assert found
        return found

    def exported(self, operation: str) -> dict[str, bytes]:
        """The files that an operation exported, by `S/Se/I`; nothing else lies beside them but the log."""
        head, log = f"{operation}/results/", f"{operation}/errors.log"
        found = {key: body for key, body in self.place.files().items() if key.startswith(operation) and key != log}
        assert all(key.startswith(head) and key.endswith(".dcm") for key in found), found.keys()
        return {key.removeprefix(head).removesuffix(".dcm"): body for key, body in found.items()}

    def log(self, operation: str) -> list[tuple[str, str]]:
        """The lines of the error log: identifier, error."""
        lines = map(json.loads, self.place.files()[f"{operation}/errors.log"].splitlines())
        return [(line["identifier"], line["error"]) for line in lines]

    def _hooked(self, opener: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
        return lambda target, operation: _Hooked(opener(target, operation), self._told)

    def _told(self, call: str) -> None:
        if self.hook:
            self.hook(call)


class _Hooked:
    """A destination whose calls are announced before and after."""

    def __init__(self, destination: Any, hook: Hook) -> None:
        self._destination = destination
        self._hook = hook
        self.url = destination.url

    def write(self, key: str, body: Any, content_type: str) -> None:
        self._hook(f"write {key}")
        self._destination.write(key, body, content_type)
        self._hook(f"write {key} done")

    def copy(self, blob: str, size: int, key: str, content_type: str) -> None:
        self._hook(f"copy {key}")
        self._destination.copy(blob, size, key, content_type)
        self._hook(f"copy {key} done")


def totals(results: Mapping[str, Any]) -> tuple[int, int]:
    """Exported and skipped."""
    return results["exported"], results["skipped"]
