"""Log lines have no data of patients and no UIDs; audit lines have UIDs alone (conformance §13.2, §13.5)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from flask.testing import FlaskClient

from app import logs
from app.web.routes.table import ROUTES
from app.web.routing.route import PARTITION_PREFIX, Route, Scope
from tests.conftest import Serve
from tests.support.background import work
from tests.support.dicomweb import DICOM_JSON, related
from tests.support.instances import make_instance
from tests.support.restored_logging import restored_logging
from tests.support.workitems import name, text, workitem

NAME, NEW_NAME, PATIENT_ID, ACCESSION, DESCRIPTION = "Xanthippe^Qq", "Neu^Yvonne", "PID-77311", "ACC-991", "Knee pain"
PATIENT: Final = ("Xanthippe", "Yvonne", PATIENT_ID, ACCESSION, DESCRIPTION)
STUDY, SERIES, INSTANCE, WORKITEM = "2.25.88811", "2.25.88822", "2.25.88833", "2.25.88844"
UIDS: Final = (STUDY, SERIES, INSTANCE, WORKITEM)

VALUES = {
    "<study>": STUDY, "<series>": SERIES, "<instance>": INSTANCE, "<workitem>": WORKITEM, "<frames>": "1",
    "<operation>": "0" * 32, "<path>": "PatientName", "<path:element>": "7FE00010",
    "<token>": "0" * 32, "<grant>": "0" * 32,
}  # fmt: skip

TERMS = f"PatientName={NAME}&PatientID={PATIENT_ID}&StudyInstanceUID={STUDY}&AccessionNumber={ACCESSION}"
"""A query string. Routes that do not know a name refuse it, and the refusal must not be logged either."""

WADO = f"requestType=WADO&studyUID={STUDY}&seriesUID={SERIES}&objectUID={INSTANCE}"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    with restored_logging():
        yield


def bodies() -> dict[tuple[str, str], tuple[Any, str]]:
    """Return valid bodies with data of the patient, by method and path."""
    instance = make_instance(
        study=STUDY, series=SERIES, instance=INSTANCE, patient_id=PATIENT_ID, patient_name=NAME,
        AccessionNumber=ACCESSION, StudyDescription=DESCRIPTION,
    )  # fmt: skip
    stored = (related(instance, instance[:300]), 'multipart/related; type="application/dicom"; boundary=b1')
    item = workitem(T00100010=name(NAME), T00100020=text("LO", PATIENT_ID), T00741204=text("LO", DESCRIPTION))
    update = {"studyInstanceUids": [STUDY], "changeDataset": {"00100010": name(NEW_NAME)}}
    export = {
        "source": {"type": "identifiers", "settings": {"values": [STUDY]}},
        "destination": {"type": "file", "settings": {"folder": "a"}},
    }
    tag = [{"path": "PatientAge", "level": "Study"}]
    token = {"name": NAME, "roles": ["reader"], "partitions": ["clinic-a"]}
    return {
        ("POST", "/studies"): stored,
        ("POST", "/studies/<study>"): stored,
        ("POST", "/studies/$bulkUpdate"): (json.dumps(update), "application/json"),
        ("POST", "/export"): (json.dumps(export), "application/json"),
        ("POST", "/workitems"): (json.dumps([item]), DICOM_JSON),
        ("POST", "/extendedquerytags"): (json.dumps(tag), "application/json"),
        ("POST", "/access/tokens"): (json.dumps(token), "application/json"),
    }


def calls(route: Route, given: dict[tuple[str, str], tuple[Any, str]]) -> Iterator[dict[str, Any]]:
    """Yield the arguments of requests to a route: a valid one, one with search terms, one with a name as a UID."""
    prefix = {Scope.PARTITION: PARTITION_PREFIX, Scope.BELOW_PARTITION: PARTITION_PREFIX}.get(route.scope, "")
    for template in route.paths:
        body, content_type = given.get((route.method, template), (None, None))
        if route.body and body is None:
            content_type = route.body.media_types[0]
            body = json.dumps([{"00100010": name(NAME)}])
        path = prefix.replace("<partition>", "clinic-a") + template
        for parameter, value in VALUES.items():
            path = path.replace(parameter, value)
        named = path.replace(STUDY, "Xanthippe%5EQq").replace(WORKITEM, "Xanthippe%5EQq")
        query = WADO if template in ("", "/wado") else WORKITEM if template == "/workitems" else ""
        for each in (f"{path}?{query}", f"{path}?{TERMS}", f"{named}?{query}"):
            yield {"path": each, "method": route.method, "data": body, "content_type": content_type}


def answer_everything(client: FlaskClient) -> set[int]:
    """Call all routes in version 2, those that delete last. Return the statuses of the answers."""
    given = bodies()
    order = {"POST": 0, "DELETE": 2}
    statuses = set()
    for route in sorted(ROUTES, key=lambda route: order.get(route.method, 1)):
        if route.scope is Scope.UNVERSIONED:
            continue
        for call in calls(route, given):
            headers = {"X-MS-AZUREDICOM-AUDIT-SITE": "ward 3", "Authorization": f"Bearer {NAME}"}
            path = "/v2" + call.pop("path")
            statuses.add(client.open(path, headers=headers, **call).status_code)
        if route.method == "POST":
            work(client)
    return statuses


@pytest.mark.parametrize("settings", ["embedded"], indirect=True)
def test_no_log_line_has_data_of_a_patient(
    serve: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.configure("debug", "json")
    audit = tmp_path / "audit.log"
    client = serve(audit=str(audit))
    statuses = answer_everything(client)
    assert {200, 201, 202, 204, 400, 404, 409} <= statuses
    assert 500 not in statuses
    # The message of this error quotes the patient.
    search = client.application.extensions["bulkhead"].search

    def fail(*_: object, **__: object) -> None:
        raise ValueError(NAME + STUDY)

    monkeypatch.setattr(type(search), "__call__", fail)
    assert client.get(f"/v2/partitions/clinic-a/studies?{TERMS}").status_code == 500
    logged = capsys.readouterr().err
    assert logged.count('"route"') > 150
    assert [each for each in (*PATIENT, *UIDS) if each in logged] == []
    written = audit.read_text()
    assert [each for each in PATIENT if each in written] == []
    assert [each for each in UIDS if each not in written] == []
