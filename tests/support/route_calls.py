"""A sample request for each route. It names the study, the series, the instance and the workitem of these UIDs."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from tests.support.dicomweb import AS_STORED, DICOM_JSON, related
from tests.support.instances import make_instance
from tests.support.workitems import state, workitem

STUDY, SERIES, INSTANCE, OTHER, TASK, CLAIM = (f"2.25.{i}" for i in range(1, 7))
S = f"/studies/{STUDY}"
SE = f"{S}/series/{SERIES}"
I = f"{SE}/instances/{INSTANCE}"  # noqa: E741  # the letters of conformance §1.2
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

PARTITION_CALLS: dict[str, Call] = {
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
    "GET /statistics": Call("GET", "/statistics", (200,)),
    "GET /workitems": Call("GET", "/workitems", (204,)),
    "GET /workitems/<workitem>": Call("GET", f"/workitems/{TASK}", (404,)),
    "POST /workitems": update(f"/workitems?{TASK}", [workitem()], (201,)),
    "POST /workitems/<workitem>": update(f"/workitems/{TASK}", [{"00741204": {"vr": "LO", "Value": ["x"]}}], (404,)),
    "PUT /workitems/<workitem>/state": update(f"/workitems/{TASK}/state", [state("IN PROGRESS", CLAIM)], (404,)),
    "POST /workitems/<workitem>/cancelrequest": update(f"/workitems/{TASK}/cancelrequest", [{}], (404,)),
}
"""Requests below a partition, by method and path of the route. The body of the export is for the test to make."""

TOKEN = {"name": "CT 3", "roles": ["writer"], "partitions": ["clinic-a"]}
GRANT = {
    "subject": {"issuer": "https://login.example", "claim": "sub", "value": "ann"},
    "role": "reader",
    "partitions": ["clinic-a"],
}

BASE_CALLS: dict[str, Call] = {
    "GET /partitions": Call("GET", "/partitions", ()),
    "GET /changefeed": Call("GET", "/changefeed", ()),
    "GET /changefeed/latest": Call("GET", "/changefeed/latest", ()),
    "GET /extendedquerytags": Call("GET", "/extendedquerytags", ()),
    "POST /extendedquerytags": Call(
        "POST", "/extendedquerytags", (), json.dumps([{"path": "PatientAge", "level": "Study"}]), "application/json"
    ),
    "GET /extendedquerytags/<path>": Call("GET", "/extendedquerytags/PatientAge", ()),
    "PATCH /extendedquerytags/<path>": Call(
        "PATCH", "/extendedquerytags/PatientAge", (), json.dumps({"queryStatus": "Disabled"}), "application/json"
    ),
    "DELETE /extendedquerytags/<path>": Call("DELETE", "/extendedquerytags/PatientAge", ()),
    "GET /extendedquerytags/<path>/errors": Call("GET", "/extendedquerytags/PatientAge/errors", ()),
    "POST /access/tokens": Call("POST", "/access/tokens", (), json.dumps(TOKEN), "application/json"),
    "GET /access/tokens": Call("GET", "/access/tokens", ()),
    "DELETE /access/tokens/<token>": Call("DELETE", f"/access/tokens/{'0' * 14}", ()),
    "POST /access/grants": Call("POST", "/access/grants", (), json.dumps(GRANT), "application/json"),
    "GET /access/grants": Call("GET", "/access/grants", ()),
    "DELETE /access/grants/<grant>": Call("DELETE", f"/access/grants/{'0' * 14}", ()),
    "GET /api.json": Call("GET", "/api.json", ()),
    "GET /api.yaml": Call("GET", "/api.yaml", ()),
    "GET /operations/<operation>": Call("GET", f"/operations/{'0' * 32}", ()),
}
"""Requests without a partition, by method and path of the route."""
