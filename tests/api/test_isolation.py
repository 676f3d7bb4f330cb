"""Isolation: no call in one partition reads, finds, counts, exports, changes or deletes data of another partition.

`CALLS` has a call for every partition route of the route table. A test compares the two.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from werkzeug.test import TestResponse

from app import bootstrap
from app.engines.aws import clients
from app.settings import Settings
from app.web.routes.table import ROUTES
from app.web.routing.route import Scope
from tests.support.background import work
from tests.support.dicomweb import AS_STORED, DICOM_JSON, PartitionClient, related
from tests.support.exports import Bucket, Exporter, ExportTarget, Folder
from tests.support.instances import make_instance
from tests.support.workitems import state, workitem
from tests.support.worklist import WorklistClient

STUDY, SERIES, INSTANCE, OTHER, TASK, CLAIM = (f"2.25.{i}" for i in range(1, 7))
S = f"/studies/{STUDY}"
SE = f"{S}/series/{SERIES}"
I = f"{SE}/instances/{INSTANCE}"  # noqa: E741  # the letters of conformance §1.2
HERE, THERE = "/v2/partitions/clinic-a", "/v2/partitions/clinic-b"
WADO = f"requestType=WADO&studyUID={STUDY}&seriesUID={SERIES}&objectUID={INSTANCE}"
FORM = 'multipart/related; type="application/dicom"; boundary=b1'


class Call(NamedTuple):
    """A request below a partition. `unknown` are the statuses in a partition that has none of the named objects."""

    method: str
    path: str
    unknown: tuple[int, ...]
    body: Any = None
    content_type: str | None = None
    accept: str | None = None


def file(patient: str, **uids: str) -> bytes:
    return make_instance(**({"study": STUDY, "series": SERIES, "instance": INSTANCE} | uids), patient_id=patient)


def stored(path: str, **uids: str) -> Call:
    return Call("POST", path, (200,), related(file("NEW", **uids)), FORM)


def update(path: str, body: Any, unknown: tuple[int, ...]) -> Call:
    return Call("PUT" if path.endswith("state") else "POST", path, unknown, json.dumps(body), DICOM_JSON)


CHANGES = {"studyInstanceUids": [STUDY], "changeDataset": {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "New"}]}}}

CALLS: dict[str, Call] = {
    "GET /studies": Call("GET", f"/studies?StudyInstanceUID={STUDY}", (204,)),
    "GET /series": Call("GET", "/series?PatientID=A*", (204,)),
    "GET /instances": Call("GET", f"/instances?SOPInstanceUID={INSTANCE}", (204,)),
    "GET /studies/<study>/series": Call("GET", f"{S}/series", (204,)),
    "GET /studies/<study>/instances": Call("GET", f"{S}/instances", (204,)),
    "GET /studies/<study>/series/<series>/instances": Call("GET", f"{SE}/instances", (204,)),
    "GET /studies/<study>": Call("GET", S, (404,), accept=AS_STORED),
    "GET /studies/<study>/series/<series>": Call("GET", SE, (404,), accept=AS_STORED),
    "GET /studies/<study>/series/<series>/instances/<instance>": Call("GET", I, (404,), accept=AS_STORED),
    "GET /studies/<study>/metadata": Call("GET", f"{S}/metadata", (404,)),
    "GET /studies/<study>/series/<series>/metadata": Call("GET", f"{SE}/metadata", (404,)),
    "GET /studies/<study>/series/<series>/instances/<instance>/metadata": Call("GET", f"{I}/metadata", (404,)),
    "GET /studies/<study>/bulkdata": Call("GET", f"{S}/bulkdata", (404,)),
    "GET /studies/<study>/series/<series>/bulkdata": Call("GET", f"{SE}/bulkdata", (404,)),
    "GET /studies/<study>/series/<series>/instances/<instance>/bulkdata": Call("GET", f"{I}/bulkdata", (404,)),
    "GET /studies/<study>/pixeldata": Call("GET", f"{S}/pixeldata", (404,)),
    "GET /studies/<study>/series/<series>/pixeldata": Call("GET", f"{SE}/pixeldata", (404,)),
    "GET /studies/<study>/series/<series>/instances/<instance>/pixeldata": Call("GET", f"{I}/pixeldata", (404,)),
    "GET /studies/<study>/series/<series>/instances/<instance>/bulkdata/<path:element>": Call(
        "GET", f"{I}/bulkdata/7FE00010", (404,)
    ),
    "GET /studies/<study>/series/<series>/instances/<instance>/frames": Call("GET", f"{I}/frames", (400, 404)),
    "GET /studies/<study>/series/<series>/instances/<instance>/frames/<frames>": Call("GET", f"{I}/frames/1", (404,)),
    "GET /studies/<study>/series/<series>/instances/<instance>/rendered": Call(
        "GET", f"{I}/rendered", (404,), accept="image/jpeg"
    ),
    "GET /studies/<study>/series/<series>/instances/<instance>/frames/<frames>/rendered": Call(
        "GET", f"{I}/frames/1/rendered", (404,), accept="image/jpeg"
    ),
    "GET /studies/<study>/rendered": Call("GET", f"{S}/rendered", (404,)),
    "GET /studies/<study>/series/<series>/rendered": Call("GET", f"{SE}/rendered", (404,)),
    "GET /studies/<study>/thumbnail": Call("GET", f"{S}/thumbnail", (404,)),
    "GET /studies/<study>/series/<series>/thumbnail": Call("GET", f"{SE}/thumbnail", (404,)),
    "GET /studies/<study>/series/<series>/instances/<instance>/thumbnail": Call("GET", f"{I}/thumbnail", (404,)),
    "GET /studies/<study>/series/<series>/instances/<instance>/frames/<frames>/thumbnail": Call(
        "GET", f"{I}/frames/1/thumbnail", (404,)
    ),
    "GET ": Call("GET", f"?{WADO}", (404,)),
    "GET /wado": Call("GET", f"/wado?{WADO}&contentType=application/dicom", (404,)),
    "POST /studies": stored("/studies"),
    "POST /studies/<study>": stored(S),
    "DELETE /studies/<study>": Call("DELETE", S, (404,)),
    "DELETE /studies/<study>/series/<series>": Call("DELETE", SE, (404,)),
    "DELETE /studies/<study>/series/<series>/instances/<instance>": Call("DELETE", I, (404,)),
    "POST /studies/$bulkUpdate": Call("POST", "/studies/$bulkUpdate", (202,), json.dumps(CHANGES), "application/json"),
    "POST /export": Call("POST", "/export", (202,), "export", "application/json"),
    "GET /workitems": Call("GET", "/workitems", (204,)),
    "GET /workitems/<workitem>": Call("GET", f"/workitems/{TASK}", (404,)),
    "POST /workitems": update(f"/workitems?{TASK}", [workitem()], (201,)),
    "POST /workitems/<workitem>": update(f"/workitems/{TASK}", [{"00741204": {"vr": "LO", "Value": ["x"]}}], (404,)),
    "PUT /workitems/<workitem>/state": update(f"/workitems/{TASK}/state", [state("IN PROGRESS", CLAIM)], (404,)),
    "POST /workitems/<workitem>/cancelrequest": update(f"/workitems/{TASK}/cancelrequest", [{}], (404,)),
}

every_call = pytest.mark.parametrize(
    ("settings", "name"),
    [("embedded", name) for name in CALLS] + [("moto", name) for name in CALLS if not name.startswith("GET")],
    indirect=["settings"],
)
"""Calls that write run on both engines, calls that read on one: the engines share the code that reads."""

READS = [call for name, call in CALLS.items() if name.startswith("GET")]


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
    assert {f"{route.method} {path}" for route in routes for path in route.paths} == set(CALLS)


@every_call
def test_a_call_elsewhere_neither_finds_nor_changes_the_data_here(archive: PartitionedArchive, name: str) -> None:
    archive.fill(THERE, "B-1", study=OTHER, series=f"{OTHER}.1", instance=f"{OTHER}.2")
    before = archive.all_answers(HERE)
    response = archive.send(THERE, CALLS[name])
    assert response.status_code in CALLS[name].unknown
    assert b"A-1" not in response.data
    assert archive.all_answers(HERE) == before


@every_call
def test_equal_uids_in_two_partitions_are_different_objects(archive: PartitionedArchive, name: str) -> None:
    archive.fill(THERE, "B-1")
    archive.add(THERE)
    before = archive.all_answers(HERE)
    assert before != archive.all_answers(THERE)
    response = archive.send(THERE, CALLS[name])
    assert b"A-1" not in response.data
    assert archive.all_answers(HERE) == before


def test_an_export_contains_the_files_of_its_partition_only(archive: PartitionedArchive) -> None:
    archive.fill(THERE, "B-1")
    archive.send(THERE, CALLS["POST /export"])
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
