"""Microsoft's .NET client, its Postman collection and clients that are generated from its OpenAPI documents."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from flask.testing import FlaskClient

from tests.api.clients.conftest import CT, PICTURES, STUDY
from tests.support.dicomweb import PartitionClient, items, parts
from tests.support.instances import frame, make_instance
from tests.support.sent_messages import dotnet_multipart, send_chunked
from tests.support.workitems import workitem

DICOM_JSON = "application/dicom+json"
QUOTED_FRAMES = 'multipart/related; type="application/octet-stream"; transfer-syntax="*"'
QUOTED_FILES = 'multipart/related; type="application/dicom"; transfer-syntax="*"'
HOST = {"Host": "pacs.example:8080"}


# --- store and retrieve ---


def test_store_in_chunks_without_accept(clinic: PartitionClient) -> None:
    body, content_type = dotnet_multipart(make_instance(), make_instance())
    answer = send_chunked(clinic, "/studies", body, content_type)
    assert answer.status_code == 200
    assert len(items(answer.get_json(force=True), "00081199")) == 2
    assert answer.headers["Content-Type"] == DICOM_JSON


@pytest.mark.parametrize("version", ["v1", "v2", "v1.0", "v2.0", "V2"])
def test_store_of_nothing(client: FlaskClient, version: str) -> None:
    """.NET writes a multipart body without parts as a boundary, an empty line and the closing boundary."""
    clinic = PartitionClient(client, f"/{version}/partitions/clinic-a")
    body = b"--6c1f2d7e\r\n\r\n--6c1f2d7e--\r\n"
    assert clinic.post(body, 'multipart/related; boundary="6c1f2d7e"').status_code == 204
    assert send_chunked(clinic, "/studies", body, 'multipart/related; boundary="6c1f2d7e"').status_code == 204


def test_calls_without_accept(clinic: PartitionClient, archive: list[bytes], jpeg: str) -> None:
    for path in (
        "/studies", "/series", "/instances", f"/studies/{STUDY}", f"/studies/{STUDY}/series/{CT}", jpeg,
        f"{jpeg}/metadata", f"/studies/{STUDY}/metadata", f"{jpeg}/frames/1", "/workitems",
    ):  # fmt: skip
        assert clinic.get(path).status_code in (200, 204), path


def test_retrieve_with_a_quoted_star(clinic: PartitionClient, archive: list[bytes], jpeg: str, movie: str) -> None:
    assert [part.body for part in parts(clinic.get(jpeg, QUOTED_FILES))] == archive[3:]
    assert len(parts(clinic.get(f"/studies/{STUDY}", QUOTED_FILES))) == 4
    assert clinic.get(jpeg, 'application/dicom; transfer-syntax="*"').data == archive[3]
    for numbers in ("1%2C3", "1%2c3", "1,3"):
        assert [part.body for part in parts(clinic.get(f"{jpeg}/frames/{numbers}", QUOTED_FRAMES))] == PICTURES[::2]
    accept = 'application/octet-stream; transfer-syntax="*"'
    assert clinic.get(f"{movie}/frames/2", accept).data == frame(1, 8, 8)


def test_the_etag_is_sent_back(clinic: PartitionClient, archive: list[bytes]) -> None:
    """The client copies the raw value, with quotes or without."""
    path = f"/studies/{STUDY}/metadata"
    etag = clinic.get(path, DICOM_JSON).headers["ETag"]
    for sent in (etag, etag.strip('"'), f"W/{etag}"):
        answer = clinic.get(path, DICOM_JSON, If_None_Match=sent)
        assert (answer.status_code, answer.data) == (304, b"")


# --- URLs ---


def test_paths_in_any_letter_case(client: FlaskClient, archive: list[bytes]) -> None:
    series = f"/Studies/{STUDY}/SERIES/{CT}"
    for path in (
        "/V2/Partitions/clinic-a/Studies",
        f"/v2/PARTITIONS/clinic-a{series}/Instances",
        f"/v2/partitions/clinic-a{series}/METADATA",
        f"/v2/partitions/clinic-a{series}/instances/2.25.110/Frames/1",
        "/V2/PARTITIONS",
        "/v2/ChangeFeed",
        "/V2/CHANGEFEED/Latest",
        "/v2/ExtendedQueryTags",
        "/Health/Check",
        "/v2/partitions/clinic-a/Instances",
    ):
        assert client.get(path).status_code == 200, path


@pytest.mark.parametrize("settings", ["embedded"], indirect=True)
def test_spellings_of_versions(client: FlaskClient) -> None:
    for spelling in ("v1", "v1.0", "v1.0-prerelease", "v1-prerelease", "v2", "v2.0", "V1", "V1.0-PreRelease", "V2.0"):
        assert client.get(f"/{spelling}/changefeed?limit=1").status_code == 200, spelling
        assert client.get(f"/{spelling}/partitions").status_code == 200, spelling
    for spelling in ("v3", "v1.1", "v2.1", "v2-prerelease", "v2.0.0"):
        answer = client.get(f"/{spelling}/changefeed")
        assert answer.status_code == 400, spelling
        assert answer.get_json()["error"]["code"] == "UnsupportedApiVersion"


# --- search ---


def test_values_of_filters(clinic: PartitionClient, archive: list[bytes]) -> None:
    for query in ("PatientID=P1", "PatientID=%20P1", "PatientID=P1%20", "PatientID=+P1", "PatientID=P1%00"):
        assert clinic.get(f"/studies?{query}").status_code == 200, query
    assert clinic.get("/studies?PatientName=%22Doe%22&FuzzyMatching=true").status_code == 400
    for limit in ("abc", "1_0", "1.0", "", "%D9%A5"):
        answer = clinic.get(f"/studies?limit={limit}")
        assert answer.status_code == 400, limit
        assert answer.text.startswith("The query parameter 'Limit' is invalid. The value '"), limit
        assert answer.text.endswith("' is not valid for Limit."), limit


def test_a_warning_that_the_client_does_not_drop(clinic: PartitionClient, archive: list[bytes]) -> None:
    answer = clinic.get("/instances?limit=1", Host="pacs.example:8080")
    assert answer.headers["Warning"] == '299 pacs.example: "There are additional results that can be requested."'


# --- change feed ---


def test_bounds_of_the_change_feed(client: FlaskClient, archive: list[bytes]) -> None:
    now = datetime.now(UTC)
    past, future = now - timedelta(days=1), now + timedelta(days=1)
    forms = (
        (past.strftime("%Y-%m-%dT%H:%M:%S.0000000%%2B00:00"), future.strftime("%Y-%m-%dT%H:%M:%S.1234567Z")),
        (format_datetime(past, usegmt=True).replace(" ", "%20"), format_datetime(future, usegmt=True)),
        (format_datetime(past, usegmt=True).replace(" ", "+"), ""),
        ("", ""),
        ("", future.strftime("%Y-%m-%dT%H:%M:%SZ")),
    )
    for start, end in forms:
        url = f"/v2/changefeed?offset=0&limit=10&startTime={start}&endTime={end}&includeMetadata=False"
        answer = client.get(url)
        assert answer.status_code == 200, (url, answer.text)
        entries = answer.get_json()
        assert [entry["action"] for entry in entries] == ["Create"] * 4
        assert "metadata" not in entries[0]
    assert client.get("/v2/changefeed?startTime=2024-01-01T00:00:00").status_code == 400


# --- worklist ---

KEYWORDS = {
    "00741200": "ScheduledProcedureStepPriority",
    "00741204": "ProcedureStepLabel",
    "00404005": "ScheduledProcedureStepStartDateTime",
    "00404041": "InputReadinessState",
    "00081195": "TransactionUID",
    "00100010": "PatientName",
}


def with_keywords(dataset: dict[str, object]) -> dict[str, object]:
    return {KEYWORDS.get(tag, tag): element for tag, element in dataset.items()}


def test_a_workitem_with_keywords_as_keys(clinic: PartitionClient) -> None:
    uid, transaction = "2.25.50", "2.25.51"
    body = json.dumps([with_keywords(workitem())]).encode()
    created = send_chunked(clinic, f"/workitems?{uid}", body, DICOM_JSON)
    assert (created.status_code, created.data) == (201, b"")
    assert created.headers["Location"].endswith(f"/v2/partitions/clinic-a/workitems/{uid}")
    found = clinic.get(f"/workitems/{uid}").get_json(force=True)
    assert isinstance(found, dict)
    state = [{
        "TransactionUID": {"vr": "UI", "Value": [transaction]},
        "ProcedureStepState": {"vr": "CS", "Value": ["IN PROGRESS"]},
    }]  # fmt: skip
    path = f"/workitems/{uid}/state"
    claim = send_chunked(clinic, path, json.dumps(state).encode(), DICOM_JSON, "PUT", **HOST)
    assert (claim.status_code, claim.data) == (200, b"")
    refused = send_chunked(clinic, path, json.dumps(state).encode(), DICOM_JSON, "PUT", **HOST)
    text = "The workitem instance can not transition to 'IN PROGRESS' state: C302."
    assert (refused.status_code, refused.get_json(force=True)) == (400, text)
    assert refused.headers["Content-Type"] == DICOM_JSON
    assert refused.headers["Warning"] == f'299 pacs.example: "{text}"'


def test_messages_of_the_worklist(clinic: PartitionClient) -> None:
    send_chunked(clinic, "/workitems?2.25.50", json.dumps([workitem()]).encode(), DICOM_JSON)
    label = json.dumps([{"ProcedureStepLabel": {"vr": "LO", "Value": ["new"]}}]).encode()
    calls = (
        ("/workitems?2.25.50", json.dumps([workitem()]).encode(), 409, False),
        ("/workitems/2.25.50?2.25.9", label, 400, True),
        ("/workitems/2.25.99", label, 404, True),
        ("/workitems/2.25.50/cancelrequest", b"[{}]", 202, False),
        ("/workitems/2.25.50/cancelrequest", b"[{}]", 409, True),
        ("/workitems/2.25.50", label, 409, True),
    )
    for path, body, status, warned in calls:
        answer = clinic.post(body, DICOM_JSON, path, **HOST)
        assert answer.status_code == status, (path, answer.text)
        assert answer.headers["Content-Type"] == DICOM_JSON
        text = answer.get_json(force=True)
        assert isinstance(text, str)
        assert answer.headers.get("Warning") == (f'299 pacs.example: "{text}"' if warned else None), path


# --- bulk update ---


def test_a_bulk_update_with_keywords(clinic: PartitionClient, archive: list[bytes]) -> None:
    update = {
        "studyInstanceUids": [STUDY],
        "changeDataset": {"PatientName": {"vr": "PN", "Value": [{"Alphabetic": "New^Name"}]}},
    }
    for path in ("/studies/$bulkupdate", "/studies/$bulkUpdate", "/Studies/$BULKUPDATE", "/studies/%24bulkUpdate"):
        wrong = send_chunked(clinic, path, b"{}", "application/json; charset=utf-8")
        assert wrong.status_code == 400, path
    answer = send_chunked(
        clinic, "/studies/$bulkupdate", json.dumps(update).encode(), "application/json; charset=utf-8"
    )
    assert answer.status_code == 202, answer.text
    assert answer.headers["Location"] == answer.get_json()["href"]


def test_a_bulk_update_in_version_1_is_no_route(client: FlaskClient) -> None:
    answer = client.post("/v1/partitions/clinic-a/studies/$bulkupdate", json={})
    assert (answer.status_code, answer.data) == (404, b"")
