"""Calls for tests of bulk updates over HTTP, and the study that they update."""

from __future__ import annotations

import json
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.support.background import work
from tests.support.dicomweb import AS_STORED, PartitionClient, parts

STUDY, SERIES, INSTANCE = "2.25.1101", "2.25.1102", "2.25.1103"
OTHER = "2.25.1104"
"""Another study."""

PATH = f"/studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}"
LEVELS = {"study": f"/studies/{STUDY}", "series": f"/studies/{STUDY}/series/{SERIES}", "instance": PATH}
NAME, PATIENT_ID = "00100010", "00100020"
CHANGES = {
    NAME: {"vr": "PN", "Value": [{"Alphabetic": "Smith^John"}]},
    PATIENT_ID: {"vr": "LO", "Value": ["MRN-7"]},
    "00104000": {"vr": "LT", "Value": ["A comment"]},
}
ORIGINAL = {"msdicom_request_original": "true"}

embedded_only = pytest.mark.parametrize("settings", ["embedded"], indirect=True)
"""For tests whose result does not depend on the engine."""


def post_update(
    caller: PartitionClient, body: Any, path: str = "/studies/$bulkUpdate", kind: str = "application/json"
) -> TestResponse:
    return caller.post(body if isinstance(body, bytes) else json.dumps(body).encode(), kind, path)


def update_body(*studies: str, **changes: Any) -> dict[str, Any]:
    """Return the body of a request. By default `CHANGES` in `STUDY`."""
    return {"studyInstanceUids": list(studies or (STUDY,)), "changeDataset": changes or CHANGES}


def update(caller: PartitionClient, *studies: str, **changes: Any) -> dict[str, Any]:
    """Run a bulk update to its end, and return its operation as JSON."""
    response = post_update(caller, update_body(*studies, **changes))
    assert response.status_code == 202, response.text
    work(caller.client)
    answer = caller.client.get("/v2/operations/" + response.get_json()["id"])
    assert answer.status_code == 200
    operation: dict[str, Any] = answer.get_json()
    return operation


def metadata(caller: PartitionClient, path: str, **headers: str) -> list[dict[str, Any]]:
    response = caller.get(f"{path}/metadata", **headers)
    assert response.status_code == 200
    documents: list[dict[str, Any]] = json.loads(response.data)
    return documents


def etag(caller: PartitionClient, path: str, **headers: str) -> str:
    return caller.get(f"{path}/metadata", **headers).headers["ETag"]


def current_file(caller: PartitionClient, **headers: str) -> bytes:
    """Return the file of the instance at `PATH`."""
    (part,) = parts(caller.get(PATH, AS_STORED, **headers))
    return part.body
