"""The request of a bulk update over HTTP (conformance §12.1 to §12.3)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.errors import IDENTIFIER_RULE
from tests.conftest import Serve
from tests.support.background import work
from tests.support.bulk_update import (
    CHANGES,
    NAME,
    PATIENT_ID,
    STUDY,
    embedded_only,
    post_update,
    update,
    update_body,
)
from tests.support.dicomweb import PartitionClient, comments
from tests.support.instances import (
    make_instance,
)


def test_answer_is_a_reference_to_the_operation(clinic: PartitionClient, study_to_update: bytes) -> None:
    response = post_update(clinic, update_body())
    assert response.status_code == 202
    assert response.headers["Content-Type"] == "application/json"
    reference = response.get_json()
    assert len(reference["id"]) == 32
    assert reference["href"] == f"http://localhost/v2/operations/{reference['id']}"
    assert response.headers["Location"] == reference["href"]
    waiting = clinic.client.get(reference["href"])
    assert (waiting.status_code, waiting.get_json()["status"]) == (202, "notStarted")


@embedded_only
@pytest.mark.parametrize(
    ("prefix", "path"),
    [
        ("/v2/partitions/clinic-a", "/studies/%24bulkUpdate"),
        ("/partitions/clinic-a", "/studies/$bulkUpdate"),
        ("/partitions/clinic-a", "/studies/%24bulkUpdate"),
    ],
)
def test_escaped_dollar_and_path_without_version(
    client: FlaskClient, study_to_update: bytes, prefix: str, path: str
) -> None:
    assert post_update(PartitionClient(client, prefix), update_body(), path).status_code == 202


def test_without_partitions_the_route_is_at_the_base(serve: Serve) -> None:
    caller = PartitionClient(serve(enable_data_partitions=False), "/v2")
    caller.stored(make_instance(study=STUDY))
    assert update(caller)["results"]["instanceUpdated"] == 1


@embedded_only
@pytest.mark.parametrize("version", ["/v1", "/v1.0-prerelease"])
def test_version_1_has_no_bulk_update(client: FlaskClient, study_to_update: bytes, version: str) -> None:
    response = post_update(PartitionClient(client, f"{version}/partitions/clinic-a"), update_body())
    assert (response.status_code, response.data) == (404, b"")


def test_unknown_partition_is_not_created(client: FlaskClient) -> None:
    response = post_update(PartitionClient(client, "/v2/partitions/unknown"), update_body())
    assert response.status_code == 400
    assert "unknown" in response.text
    assert "unknown" not in client.get("/v2/partitions").text


@embedded_only
@pytest.mark.parametrize("kind", ["text/plain", "application/dicom", "multipart/related"])
def test_other_content_type_is_415(clinic: PartitionClient, study_to_update: bytes, kind: str) -> None:
    response = post_update(clinic, update_body(), kind=kind)
    assert (response.status_code, response.data) == (415, b"")


LONG = "x" * 65
SYNTAX = "The syntax of the request body is invalid."


@embedded_only
@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "The request body is missing."),
        (b"{", SYNTAX),
        ([], SYNTAX),
        ({}, "The required field 'StudyInstanceUids' is missing or empty."),
        ({"changeDataset": CHANGES}, "The required field 'StudyInstanceUids' is missing or empty."),
        (update_body() | {"studyInstanceUids": None}, "The required field 'StudyInstanceUids' is missing or empty."),
        (update_body() | {"studyInstanceUids": []}, "The required field 'StudyInstanceUids' is missing or empty."),
        (update_body(*map(str, range(51))), "StudyInstanceUids count exceeded maximum length '50'"),
        (
            update_body("1.2", "1.x"),
            f"Dicom element 'StudyInstanceUid' failed validation for VR 'UI': {IDENTIFIER_RULE}",
        ),
        ({"studyInstanceUids": [STUDY]}, "The required field 'ChangeDataset' is missing or empty."),
        (update_body() | {"changeDataset": {}}, "The required field 'ChangeDataset' is missing or empty."),
        (
            update_body() | {"studyInstanceUids": [5]},
            "The field 'studyInstanceUids' in request body is invalid: It must be an array of strings.",
        ),
        (
            update_body() | {"changeDataset": [CHANGES]},
            "The field 'changeDataset' in request body is invalid: It must be a dataset in DICOM JSON.",
        ),
        (
            update_body(**{"00101001": {"vr": "PN", "Value": [{"Alphabetic": "A"}] * 20_000}}),
            "The field 'changeDataset' in request body is invalid: Its values exceed 200000 bytes.",
        ),
        (
            update_body() | {"changeDataset": {"Nonsense": {}}},
            "The field 'changeDataset.Nonsense' in request body is invalid: It is not a tag of 8 hex digits.",
        ),
    ],
)
def test_invalid_request_is_400(clinic: PartitionClient, study_to_update: bytes, body: Any, text: str) -> None:
    response = post_update(clinic, body)
    assert (response.status_code, response.text) == (400, text)


@embedded_only
@pytest.mark.parametrize(
    ("tag", "element", "comment"),
    [
        ("0020000D", {"vr": "UI", "Value": ["1.2"]}, "(0020,000d) - Updating the tag is not supported"),
        ("0020000d", {"vr": "UI", "Value": ["1.2"]}, "(0020,000d) - Updating the tag is not supported"),
        ("00080020", {"vr": "DA", "Value": ["20240101"]}, "(0008,0020) - Updating the tag is not supported"),
        ("00091001", {"vr": "LO", "Value": ["x"]}, "(0009,1001) - Updating the tag is not supported"),
        (
            "00100030",
            {"vr": "DA", "Value": ["2O240101"]},
            '(0010,0030) - Content "2O240101" does not validate VR DA: '
            "one of the date values does not match the pattern YYYYMMDD",
        ),
        (
            PATIENT_ID,
            {"vr": "LO", "Value": [LONG]},
            f'(0010,0020) - Content "{LONG}" does not validate VR LO: value exceeds maximum length of 64 characters',
        ),
        (PATIENT_ID, {"vr": "LO"}, "(0010,0020) - The value must not be null or empty."),
        (PATIENT_ID, {"vr": "LO", "Value": [None]}, "(0010,0020) - The value must not be null or empty."),
        (PATIENT_ID, {"vr": "LO", "Value": ["  "]}, "(0010,0020) - The value must not be null or empty."),
        (NAME, {"vr": "PN", "Value": [{"Alphabetic": ""}]}, "(0010,0010) - The value must not be null or empty."),
    ],
)
def test_invalid_attribute_is_400_in_dicom_json(
    clinic: PartitionClient, study_to_update: bytes, tag: str, element: dict[str, Any], comment: str
) -> None:
    response = post_update(clinic, update_body(**{tag: element}))
    assert response.status_code == 400
    assert response.headers["Content-Type"] == "application/dicom+json"
    assert comments(json.loads(response.data)) == [f"DICOM100: {comment}"]


@embedded_only
def test_one_comment_for_each_invalid_attribute(clinic: PartitionClient, study_to_update: bytes) -> None:
    bad = {"0020000D": {"vr": "UI", "Value": ["1.2"]}, **CHANGES, "00100040": {"vr": "CS", "Value": ["female"]}}
    response = post_update(clinic, update_body(**bad))
    assert [comment[10:21] for comment in comments(json.loads(response.data))] == ["(0020,000d)", "(0010,0040)"]


@embedded_only
def test_names_in_any_case_comments_and_trailing_commas_are_accepted(
    clinic: PartitionClient, study_to_update: bytes
) -> None:
    body = f'{{"STUDYINSTANCEUIDS": ["{STUDY}",], /* all */ "changedataset": {json.dumps(CHANGES)},}}'
    assert post_update(clinic, body.encode()).status_code == 202


def test_one_update_at_a_time(clinic: PartitionClient, client: FlaskClient, study_to_update: bytes) -> None:
    other = PartitionClient(client, "/v2/partitions/clinic-b")
    other.stored(make_instance(study=STUDY))
    operation = post_update(clinic, update_body()).get_json()["id"]
    refused = post_update(other, update_body())
    text = f"There is already an active update operation with ID '{operation}'."
    assert (refused.status_code, refused.text) == (409, text)
    assert post_update(other, update_body(**{"0020000D": {"vr": "UI"}})).status_code == 400, (
        "what is wrong is said first"
    )
    work(client)
    assert post_update(other, update_body()).status_code == 202


@embedded_only
def test_disabled_operations_are_400(serve: Serve) -> None:
    caller = PartitionClient(serve(disable_operations=True))
    caller.stored(make_instance(study=STUDY))
    response = post_update(caller, update_body())
    text = "Asynchronous operations are temporarily disabled. Please try again later."
    assert (response.status_code, response.text) == (400, text)
