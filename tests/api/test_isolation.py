"""Isolation: no call in one partition reads, finds, counts, exports, changes or deletes data of another partition.

`PARTITION_CALLS` has a call for every partition route of the route table. A test compares the two.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

from app import bootstrap
from app.engines.aws import clients
from app.settings import Settings
from app.web.routes.table import ROUTES
from app.web.routing.route import Scope
from tests.support.background import work
from tests.support.dicomweb import PartitionClient
from tests.support.exports import Bucket, Exporter, ExportTarget, Folder
from tests.support.route_calls import OTHER, PARTITION_CALLS, STUDY, TASK, Call, S, file
from tests.support.worklist import WorklistClient

HERE, THERE = "/v2/partitions/clinic-a", "/v2/partitions/clinic-b"

every_call = pytest.mark.parametrize(
    ("settings", "name"),
    [("embedded", name) for name in PARTITION_CALLS]
    + [("moto", name) for name in PARTITION_CALLS if not name.startswith("GET")],
    indirect=["settings"],
)
"""Calls that write run on both engines, calls that read on one: the engines share the code that reads."""

READS = [call for name, call in PARTITION_CALLS.items() if name.startswith("GET")]


class PartitionedArchive:
    """A service with two partitions."""

    def __init__(self, exporter: Exporter) -> None:
        self.exporter = exporter
        self.client = exporter.client

    def send(self, prefix: str, call: Call) -> TestResponse:
        body = call.body
        if body == "export":
            source = {"type": "identifiers", "settings": {"values": [STUDY]}}
            body = json.dumps({"source": source, "destination": self.exporter.place.destination})
        headers = {"Accept": call.accept} if call.accept else {}
        response = self.client.open(
            prefix + call.path, method=call.method, data=body, content_type=call.content_type, headers=headers
        )
        assert response.status_code < 500, response.text
        work(self.client)
        return response

    def all_answers(self, prefix: str) -> list[tuple[int, bytes, str | None]]:
        """The answer to every call that reads."""
        found = [self.send(prefix, call) for call in READS]
        boundary = [each.headers.get("Content-Type", "").partition("boundary=")[2].encode() for each in found]
        return [
            (each.status_code, each.data.replace(mark, b"") if mark else each.data, each.headers.get("ETag"))
            for each, mark in zip(found, boundary, strict=True)
        ]

    def fill(self, prefix: str, patient: str, **uids: str) -> None:
        PartitionClient(self.client, prefix).stored(file(patient, **uids))

    def add(self, prefix: str, task: str = TASK) -> None:
        assert WorklistClient(self.client, prefix).add(task).status_code == 201


@pytest.fixture
def archive(settings: Settings, engine: bootstrap.Engine, tmp_path: Path) -> PartitionedArchive:
    """An archive with a study and a workitem in clinic-a."""
    place: ExportTarget
    if settings.engine == "aws":
        place = Bucket(clients.s3())
    else:
        settings = dataclasses.replace(settings, export_dir=tmp_path / "exports")
        engine = bootstrap.build_engine(settings)
        place = Folder(tmp_path / "exports")
    made = PartitionedArchive(Exporter(settings, engine, place))
    made.fill(HERE, "A-1")
    made.add(HERE)
    return made


def test_every_partition_route_of_the_table_has_a_call() -> None:
    routes = [route for route in ROUTES if route.scope is Scope.PARTITION]
    assert {f"{route.method} {path}" for route in routes for path in route.paths} == set(PARTITION_CALLS)


@every_call
def test_a_call_elsewhere_neither_finds_nor_changes_the_data_here(archive: PartitionedArchive, name: str) -> None:
    archive.fill(THERE, "B-1", study=OTHER, series=f"{OTHER}.1", instance=f"{OTHER}.2")
    before = archive.all_answers(HERE)
    response = archive.send(THERE, PARTITION_CALLS[name])
    assert response.status_code in PARTITION_CALLS[name].unknown
    assert b"A-1" not in response.data
    assert archive.all_answers(HERE) == before


@every_call
def test_equal_uids_in_two_partitions_are_different_objects(archive: PartitionedArchive, name: str) -> None:
    archive.fill(THERE, "B-1")
    archive.add(THERE)
    before = archive.all_answers(HERE)
    assert before != archive.all_answers(THERE)
    response = archive.send(THERE, PARTITION_CALLS[name])
    assert b"A-1" not in response.data
    assert archive.all_answers(HERE) == before


def test_an_export_contains_the_files_of_its_partition_only(archive: PartitionedArchive) -> None:
    archive.fill(THERE, "B-1")
    archive.send(THERE, PARTITION_CALLS["POST /export"])
    exported = [body for key, body in archive.exporter.place.files().items() if key.endswith(".dcm")]
    assert exported == [file("B-1")]


def test_a_delete_elsewhere_changes_nothing_here(archive: PartitionedArchive) -> None:
    archive.fill(THERE, "B-1")
    before = archive.all_answers(HERE)
    assert PartitionClient(archive.client, THERE).delete(S).status_code == 204
    assert archive.all_answers(HERE) == before
    archive.fill(THERE, "B-2")
    assert archive.all_answers(HERE) == before


@pytest.mark.parametrize("name", ["CLINIC-A", "Clinic-a"])
def test_the_letter_case_of_a_partition_name_does_not_count(archive: PartitionedArchive, name: str) -> None:
    found = archive.all_answers(f"/v2/partitions/{name}")
    assert found == archive.all_answers(HERE)


@pytest.mark.parametrize("name", ["clinic", "clinic-a2", "clinic-", "a", "1", "2"])
def test_a_partition_with_a_similar_name_is_another_one(archive: PartitionedArchive, name: str) -> None:
    archive.fill(f"/v2/partitions/{name}", "B-1", study=OTHER)
    assert b"A-1" not in b"".join(data for _, data, _ in archive.all_answers(f"/v2/partitions/{name}"))
