"""conformance §12 through HTTP."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.dicom.editing.rewrite import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from app.errors import IDENTIFIER_RULE
from app.services.operations import runner as service
from app.services.update import task
from app.storage.index import sweep
from app.storage.records.rows import StudyRow
from app.storage.table import clock
from app.storage.updates import version_changes
from app.storage.updates.study_versions import StudyVersions, VerifiedStudy
from tests.conftest import Serve
from tests.support.background import work
from tests.support.dicomweb import AS_STORED, PartitionClient, comments, parts, value
from tests.support.instances import (
    DEFLATED_LITTLE,
    EXPLICIT_BIG,
    IMPLICIT_LITTLE,
    encapsulated,
    frame,
    make_instance,
    read,
)

STUDY, SERIES, INSTANCE = "2.25.1101", "2.25.1102", "2.25.1103"
OTHER = "2.25.1104"
PATH = f"/studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}"
LEVELS = {"study": f"/studies/{STUDY}", "series": f"/studies/{STUDY}/series/{SERIES}", "instance": PATH}
NAME, PATIENT_ID = "00100010", "00100020"
CHANGES = {
    NAME: {"vr": "PN", "Value": [{"Alphabetic": "Smith^John"}]},
    PATIENT_ID: {"vr": "LO", "Value": ["MRN-7"]},
    "00104000": {"vr": "LT", "Value": ["A comment"]},
}
local = pytest.mark.parametrize("settings", ["embedded"], indirect=True)
"""For what no engine has a part in."""

TAGGED = {"PatientAge": "study", "OtherPatientNames": "series", "Occupation": "instance"}
ORIGINAL = {"msdicom_request_original": "true"}


def post(
    caller: PartitionClient, body: Any, path: str = "/studies/$bulkUpdate", kind: str = "application/json"
) -> TestResponse:
    return caller.post(body if isinstance(body, bytes) else json.dumps(body).encode(), kind, path)


def asked(*studies: str, **changes: Any) -> dict[str, Any]:
    return {"studyInstanceUids": list(studies or (STUDY,)), "changeDataset": changes or CHANGES}


def update(caller: PartitionClient, *studies: str, **changes: Any) -> dict[str, Any]:
    """Ask for an update, let it be done, and return what the operation says."""
    response = post(caller, asked(*studies, **changes))
    assert response.status_code == 202, response.text
    work(caller.client)
    answer = caller.client.get("/v2/operations/" + response.get_json()["id"])
    assert answer.status_code == 200
    told: dict[str, Any] = answer.get_json()
    return told


def metadata(caller: PartitionClient, path: str, **headers: str) -> list[dict[str, Any]]:
    response = caller.get(f"{path}/metadata", **headers)
    assert response.status_code == 200
    found: list[dict[str, Any]] = json.loads(response.data)
    return found


def etag(caller: PartitionClient, path: str, **headers: str) -> str:
    return caller.get(f"{path}/metadata", **headers).headers["ETag"]


def file(caller: PartitionClient, **headers: str) -> bytes:
    (part,) = parts(caller.get(PATH, AS_STORED, **headers))
    return part.body


@pytest.fixture
def stored(clinic: PartitionClient) -> bytes:
    """Three instances in two series of one study, and one of another study; the bytes of the first."""
    first = make_instance(study=STUDY, series=SERIES, instance=INSTANCE, PatientComments=None)
    more = [make_instance(study=STUDY, series=series) for series in (SERIES, "2.25.1105")]
    clinic.stored(first, *more, make_instance(study=OTHER))
    return first


# --- asking -----------------------------------------------------------------------------------------------------------


def test_the_answer_is_a_reference(clinic: PartitionClient, stored: bytes) -> None:
    response = post(clinic, asked())
    assert response.status_code == 202
    assert response.headers["Content-Type"] == "application/json"
    reference = response.get_json()
    assert len(reference["id"]) == 32
    assert reference["href"] == f"http://localhost/v2/operations/{reference['id']}"
    assert response.headers["Location"] == reference["href"]
    waiting = clinic.client.get(reference["href"])
    assert (waiting.status_code, waiting.get_json()["status"]) == (202, "notStarted")


@local
@pytest.mark.parametrize(
    ("prefix", "path"),
    [
        ("/v2/partitions/clinic-a", "/studies/%24bulkUpdate"),
        ("/partitions/clinic-a", "/studies/$bulkUpdate"),
        ("/partitions/clinic-a", "/studies/%24bulkUpdate"),
    ],
)
def test_the_dollar_may_be_escaped_and_the_version_left_out(
    client: FlaskClient, stored: bytes, prefix: str, path: str
) -> None:
    assert post(PartitionClient(client, prefix), asked(), path).status_code == 202


def test_without_partitions_it_is_at_the_base(serve: Serve) -> None:
    caller = PartitionClient(serve(enable_data_partitions=False), "/v2")
    caller.stored(make_instance(study=STUDY))
    assert update(caller)["results"]["instanceUpdated"] == 1


@local
@pytest.mark.parametrize("version", ["/v1", "/v1.0-prerelease"])
def test_in_version_1_it_is_not(client: FlaskClient, stored: bytes, version: str) -> None:
    response = post(PartitionClient(client, f"{version}/partitions/clinic-a"), asked())
    assert (response.status_code, response.data) == (404, b"")


def test_no_partition_is_made(client: FlaskClient) -> None:
    response = post(PartitionClient(client, "/v2/partitions/unknown"), asked())
    assert response.status_code == 400
    assert "unknown" in response.text
    assert "unknown" not in client.get("/v2/partitions").text


@local
@pytest.mark.parametrize("kind", ["text/plain", "application/dicom", "multipart/related"])
def test_another_content_type_is_415(clinic: PartitionClient, stored: bytes, kind: str) -> None:
    response = post(clinic, asked(), kind=kind)
    assert (response.status_code, response.data) == (415, b"")


LONG = "x" * 65
SYNTAX = "The syntax of the request body is invalid."


@local
@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "The request body is missing."),
        (b"{", SYNTAX),
        ([], SYNTAX),
        ({}, "The required field 'StudyInstanceUids' is missing or empty."),
        ({"changeDataset": CHANGES}, "The required field 'StudyInstanceUids' is missing or empty."),
        (asked() | {"studyInstanceUids": None}, "The required field 'StudyInstanceUids' is missing or empty."),
        (asked() | {"studyInstanceUids": []}, "The required field 'StudyInstanceUids' is missing or empty."),
        (asked(*map(str, range(51))), "StudyInstanceUids count exceeded maximum length '50'"),
        (asked("1.2", "1.x"), f"Dicom element 'StudyInstanceUid' failed validation for VR 'UI': {IDENTIFIER_RULE}"),
        ({"studyInstanceUids": [STUDY]}, "The required field 'ChangeDataset' is missing or empty."),
        (asked() | {"changeDataset": {}}, "The required field 'ChangeDataset' is missing or empty."),
        (
            asked() | {"studyInstanceUids": [5]},
            "The field 'studyInstanceUids' in request body is invalid: It must be an array of strings.",
        ),
        (
            asked() | {"changeDataset": [CHANGES]},
            "The field 'changeDataset' in request body is invalid: It must be a dataset in DICOM JSON.",
        ),
        (
            asked(**{"00101001": {"vr": "PN", "Value": [{"Alphabetic": "A"}] * 20_000}}),
            "The field 'changeDataset' in request body is invalid: Its values exceed 200000 bytes.",
        ),
        (
            asked() | {"changeDataset": {"Nonsense": {}}},
            "The field 'changeDataset.Nonsense' in request body is invalid: It is not a tag of 8 hex digits.",
        ),
    ],
)
def test_a_bad_request_is_400(clinic: PartitionClient, stored: bytes, body: Any, text: str) -> None:
    response = post(clinic, body)
    assert (response.status_code, response.text) == (400, text)


@local
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
def test_a_bad_attribute_is_400_in_dicom_json(
    clinic: PartitionClient, stored: bytes, tag: str, element: dict[str, Any], comment: str
) -> None:
    response = post(clinic, asked(**{tag: element}))
    assert response.status_code == 400
    assert response.headers["Content-Type"] == "application/dicom+json"
    assert comments(json.loads(response.data)) == [f"DICOM100: {comment}"]


@local
def test_there_is_one_comment_for_each_bad_attribute(clinic: PartitionClient, stored: bytes) -> None:
    bad = {"0020000D": {"vr": "UI", "Value": ["1.2"]}, **CHANGES, "00100040": {"vr": "CS", "Value": ["female"]}}
    response = post(clinic, asked(**bad))
    assert [comment[10:21] for comment in comments(json.loads(response.data))] == ["(0020,000d)", "(0010,0040)"]


@local
def test_names_in_any_case_comments_and_commas_are_taken(clinic: PartitionClient, stored: bytes) -> None:
    body = f'{{"STUDYINSTANCEUIDS": ["{STUDY}",], /* all */ "changedataset": {json.dumps(CHANGES)},}}'
    assert post(clinic, body.encode()).status_code == 202


def test_one_update_at_a_time(clinic: PartitionClient, client: FlaskClient, stored: bytes) -> None:
    other = PartitionClient(client, "/v2/partitions/clinic-b")
    other.stored(make_instance(study=STUDY))
    operation = post(clinic, asked()).get_json()["id"]
    refused = post(other, asked())
    text = f"There is already an active update operation with ID '{operation}'."
    assert (refused.status_code, refused.text) == (409, text)
    assert post(other, asked(**{"0020000D": {"vr": "UI"}})).status_code == 400, "what is wrong is said first"
    work(client)
    assert post(other, asked()).status_code == 202


@local
def test_switched_off_it_is_400(serve: Serve) -> None:
    caller = PartitionClient(serve(disable_operations=True))
    caller.stored(make_instance(study=STUDY))
    response = post(caller, asked())
    text = "Asynchronous operations are temporarily disabled. Please try again later."
    assert (response.status_code, response.text) == (400, text)


# --- what changes -----------------------------------------------------------------------------------------------------


def test_the_files_hold_the_new_values_and_all_else(clinic: PartitionClient, stored: bytes) -> None:
    update(clinic)
    before, after = read(stored), read(file(clinic))
    assert (str(after.PatientName), after.PatientID, after.PatientComments) == ("Smith^John", "MRN-7", "A comment")
    assert after.file_meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert after.file_meta.ImplementationVersionName == IMPLEMENTATION_VERSION_NAME
    for name in ("PatientName", "PatientID", "PatientComments"):
        before.pop(name, None)
        after.pop(name)
    assert before == after


@local
@pytest.mark.parametrize("number", [".123456789012345", "100000000000000.", 154 / 2.2046])
def test_a_number_of_any_length_is_written(clinic: PartitionClient, stored: bytes, number: str | float) -> None:
    """As text it is within 16 characters; as a number, which it is on its way, it may take more."""
    update(clinic, **{"00101030": {"vr": "DS", "Value": [number]}, PATIENT_ID: {"vr": "LO", "Value": ["MRN-7"]}})
    dataset = read(file(clinic))
    assert dataset.PatientID == "MRN-7"
    assert float(dataset.PatientWeight) == pytest.approx(float(number), rel=1e-12)


def test_the_metadata_hold_the_new_values_and_all_else(clinic: PartitionClient, stored: bytes) -> None:
    before = metadata(clinic, PATH)[0]
    update(clinic)
    assert metadata(clinic, PATH)[0] == before | CHANGES
    assert all(document[PATIENT_ID] == CHANGES[PATIENT_ID] for document in metadata(clinic, LEVELS["study"]))
    assert len(metadata(clinic, LEVELS["series"])) == 2


def test_the_operation_tells_what_was_done(clinic: PartitionClient, stored: bytes) -> None:
    told = update(clinic, STUDY, "2.25.404", OTHER, STUDY)
    assert (told["type"], told["status"], told["percentComplete"]) == ("update", "succeeded", 100)
    assert told["results"] == {"studyProcessed": 3, "studyUpdated": 2, "studyFailed": 0, "instanceUpdated": 4}
    assert "resources" not in told


def test_only_the_studies_asked_for_in_the_partition(
    clinic: PartitionClient, client: FlaskClient, stored: bytes
) -> None:
    elsewhere = PartitionClient(client, "/v2/partitions/clinic-b")
    elsewhere.stored(stored)
    update(clinic)
    assert metadata(clinic, f"/studies/{OTHER}")[0][PATIENT_ID]["Value"] == ["P1"]
    assert metadata(elsewhere, PATH)[0][PATIENT_ID]["Value"] == ["P1"]
    assert file(elsewhere) == stored


def test_searches_find_the_new_values(clinic: PartitionClient, stored: bytes) -> None:
    attributes = {
        **CHANGES,
        "00100030": {"vr": "DA", "Value": ["19800229"]},
        "00080090": {"vr": "PN", "Value": [{"Alphabetic": "House^Gregory"}]},
        "00081030": {"vr": "LO", "Value": ["Brain"]},
        "00080050": {"vr": "SH", "Value": ["A-77"]},
    }
    update(clinic, **attributes)
    for query in (
        "PatientID=MRN-7",
        "PatientName=Smith*",
        "PatientName=john&fuzzymatching=true",
        "PatientBirthDate=19800101-19801231",
        "ReferringPhysicianName=House^Gregory",
        "StudyDescription=Brain",
        "AccessionNumber=A-77",
    ):
        (found,) = json.loads(clinic.get(f"/studies?{query}&includefield=00201208").data)
        assert value(found, "0020000D") == STUDY
        assert value(found, "00201208") == 3
        assert {tag: found[tag] for tag in attributes if tag in found} == {
            tag: attributes[tag] for tag in attributes if tag in found
        }
    assert len(json.loads(clinic.get("/instances?PatientID=MRN-7").data)) == 3
    for query in ("PatientID=P1", "PatientName=Doe*", "PatientName=doe&fuzzymatching=true"):
        (left,) = json.loads(clinic.get(f"/studies?{query}").data)
        assert value(left, "0020000D") == OTHER


def test_etags_change_at_every_level(clinic: PartitionClient, stored: bytes) -> None:
    before = {level: etag(clinic, path) for level, path in LEVELS.items()}
    update(clinic)
    after = {level: etag(clinic, path) for level, path in LEVELS.items()}
    assert not set(before.values()) & set(after.values())
    assert [each.rpartition("-")[2] for each in after.values()][:2] == ['3"', '2"']
    given = {"If_None_Match": before["study"]}
    assert clinic.get(LEVELS["study"] + "/metadata", **given).status_code == 200


def test_the_feed_has_an_update_for_each_instance(clinic: PartitionClient, client: FlaskClient, stored: bytes) -> None:
    update(clinic)
    entries = client.get("/v2/changefeed").get_json()
    assert [(each["action"], each["state"]) for each in entries] == [
        ("Create", "Replaced"),
        ("Create", "Replaced"),
        ("Create", "Replaced"),
        ("Create", "Current"),
        *[("Update", "Current")] * 3,
    ]
    assert {each["metadata"][PATIENT_ID]["Value"][0] for each in entries if each["studyInstanceUid"] == STUDY} == {
        "MRN-7"
    }
    by_number = client.get("/v1/changefeed?limit=100").get_json()
    assert [each["action"] for each in by_number] == ["Create"] * 4 + ["Update"] * 3


@pytest.mark.parametrize("syntax", [IMPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED_LITTLE])
def test_frames_stay(clinic: PartitionClient, syntax: str) -> None:
    made = make_instance(study=STUDY, series=SERIES, instance=INSTANCE, transfer_syntax=syntax, frames=3)
    clinic.stored(made)
    before = clinic.get(PATH + "/frames/2,3", 'multipart/related; type="application/octet-stream"; transfer-syntax=*')
    update(clinic)
    update(clinic, **{PATIENT_ID: {"vr": "LO", "Value": ["a much longer identifier than before"]}})
    after = clinic.get(PATH + "/frames/2,3", 'multipart/related; type="application/octet-stream"; transfer-syntax=*')
    assert parts(after) == parts(before)
    if syntax != EXPLICIT_BIG:
        assert parts(after)[0].body == frame(1, 4, 4)
    assert read(file(clinic)).file_meta.TransferSyntaxUID == syntax


def test_compressed_frames_stay(clinic: PartitionClient) -> None:
    made = encapsulated(
        [[b"one!", b"more"], [b"two!"]],
        study=STUDY,
        series=SERIES,
        instance=INSTANCE,
        SpecificCharacterSet="ISO_IR 100",
    )
    clinic.stored(made)
    update(clinic, **{NAME: {"vr": "PN", "Value": [{"Alphabetic": "大^史"}]}})
    found = clinic.get(PATH + "/frames/1,2", 'multipart/related; type="application/octet-stream"; transfer-syntax=*')
    assert [part.body for part in parts(found)] == [b"one!more", b"two!"]


@local
def test_text_is_converted_where_the_new_value_asks_for_it(clinic: PartitionClient) -> None:
    made = make_instance(
        study=STUDY, series=SERIES, instance=INSTANCE, SpecificCharacterSet="ISO_IR 100", InstitutionName="Hôpital"
    )
    clinic.stored(made)
    update(clinic, **{NAME: {"vr": "PN", "Value": [{"Alphabetic": "Jäger^Jörg"}]}})
    assert read(file(clinic)).SpecificCharacterSet == "ISO_IR 100"
    name = {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}
    update(clinic, **{NAME: {"vr": "PN", "Value": [name]}})
    found = read(file(clinic))
    assert (found.SpecificCharacterSet, found.InstitutionName) == ("ISO_IR 192", "Hôpital")
    assert str(found.PatientName) == "Yamada^Tarou=山田^太郎"
    (document,) = metadata(clinic, PATH)
    assert document["00080005"]["Value"] == ["ISO_IR 192"]
    assert document[NAME]["Value"] == [name]
    assert document["00080080"]["Value"] == ["Hôpital"]


# --- the original -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["true", "TRUE", "True, false", " true "])
@pytest.mark.parametrize("level", LEVELS)
def test_the_original_is_kept(clinic: PartitionClient, stored: bytes, level: str, header: str) -> None:
    before = etag(clinic, LEVELS[level])
    update(clinic)
    update(clinic, **{PATIENT_ID: {"vr": "LO", "Value": ["MRN-8"]}})
    given = {"msdicom_request_original": header}
    bodies = [part.body for part in parts(clinic.get(LEVELS[level], AS_STORED, **given))]
    assert stored in bodies
    assert {read(body).PatientID for body in bodies} == {"P1"}
    assert {document[PATIENT_ID]["Value"][0] for document in metadata(clinic, LEVELS[level], **given)} == {"P1"}
    current = etag(clinic, LEVELS[level])
    assert etag(clinic, LEVELS[level], **given) == current[:-1] + '-o"'
    assert before != current
    not_changed = clinic.get(LEVELS[level] + "/metadata", If_None_Match=current[:-1] + '-o"', **given)
    assert not_changed.status_code == 304


@local
@pytest.mark.parametrize("header", ["false", "1", "yes", "", "false, true"])
def test_else_the_current_version_is_given(clinic: PartitionClient, stored: bytes, header: str) -> None:
    update(clinic)
    assert read(file(clinic, msdicom_request_original=header)).PatientID == "MRN-7"
    assert metadata(clinic, PATH, msdicom_request_original=header)[0][PATIENT_ID]["Value"] == ["MRN-7"]


def test_what_was_never_updated_is_its_own_original(clinic: PartitionClient, stored: bytes) -> None:
    assert file(clinic, **ORIGINAL) == stored
    assert etag(clinic, PATH, **ORIGINAL) == etag(clinic, PATH)[:-1] + '-o"'


# --- beside others ----------------------------------------------------------------------------------------------------


def test_a_new_instance_overwrites_the_index_again(clinic: PartitionClient, stored: bytes) -> None:
    update(clinic)
    clinic.stored(make_instance(study=STUDY, series=SERIES, patient_id="P9"))
    (found,) = json.loads(clinic.get("/studies?PatientID=P9").data)
    assert value(found, "0020000D") == STUDY
    assert sorted(document[PATIENT_ID]["Value"][0] for document in metadata(clinic, LEVELS["study"])) == [
        *["MRN-7"] * 3,
        "P9",
    ]


def test_an_updated_instance_is_a_duplicate(clinic: PartitionClient, stored: bytes) -> None:
    update(clinic)
    response = clinic.store(stored)
    assert response.status_code == 409
    assert value(json.loads(response.data)["00081198"]["Value"][0], "00081197") == 45070


@pytest.mark.parametrize("level", LEVELS)
def test_a_deletion_removes_both_versions(
    serve: Serve, engine: Any, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    monkeypatch.setattr(version_changes, "READERS_SECONDS", 0)
    monkeypatch.setattr(sweep, "TIDY_SECONDS", 0)
    caller = PartitionClient(serve(delete_delay_seconds=0))
    put: list[str] = []
    store = engine.blobs.put
    monkeypatch.setattr(type(engine.blobs), "put", lambda self, key, body: put.append(key) or store(key, body))
    caller.stored(make_instance(study=STUDY, series=SERIES, instance=INSTANCE))
    update(caller)
    update(caller)
    assert [exists(engine, key) for key in put] == [True, False, True]
    caller.delete(LEVELS[level])
    work(caller.client)
    assert [exists(engine, key) for key in put] == [False] * 3
    caller.stored(make_instance(study=STUDY, series=SERIES, instance=INSTANCE))
    assert update(caller)["results"]["instanceUpdated"] == 1


def exists(engine: Any, key: str) -> bool:
    from app.errors import BlobMissing

    try:
        engine.blobs.open(key).close()
    except BlobMissing:
        return False
    return True


def test_a_failing_instance_fails_its_study_alone(
    clinic: PartitionClient, client: FlaskClient, stored: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = [(f"2.25.12{n}", f"2.25.13{n}") for n in range(7)]
    clinic.stored(*(make_instance(study="2.25.12", series=s, instance=i) for s, i in failing))
    before = {path: etag(clinic, path) for path in ("/studies/2.25.12", f"/studies/{OTHER}")}
    services = client.application.extensions["bulkhead"]
    partition = services.partitions.resolve("clinic-a", create=False)
    rows = services.retrieve.instances(partition, "2.25.12")
    services.retrieve._files._blobs.delete([row.blob for row in rows])
    monkeypatch.setattr(task, "BATCH", 50)
    told = update(clinic, STUDY, "2.25.12", OTHER)
    assert told["status"] == "failed"
    assert told["percentComplete"] == 100
    counts = {"studyProcessed": 3, "studyUpdated": 2, "studyFailed": 1, "instanceUpdated": 4}
    errors = told["results"].pop("errors")
    assert told["results"] == counts
    assert errors[0] == "Failed to update instances for study 2.25.12"
    assert len(errors) == 7
    for (series, instance), line in zip(failing, errors[1:6], strict=False):
        place = f"SeriesInstanceUID: {series}, SOPInstanceUID: {instance}"
        assert line.endswith(f"PartitionKey: clinic-a, StudyInstanceUID: 2.25.12, {place}")
    assert errors[6].startswith("There are more instances failed")
    assert etag(clinic, "/studies/2.25.12") == before["/studies/2.25.12"]
    assert etag(clinic, f"/studies/{OTHER}") != before[f"/studies/{OTHER}"]
    (found,) = json.loads(clinic.get("/studies?PatientID=P1").data)
    assert value(found, "0020000D") == "2.25.12"
    assert post(clinic, asked()).status_code == 202, "the next one may come"


def test_a_study_that_gets_nowhere_fails_alone(clinic: PartitionClient, client: FlaskClient, stored: bytes) -> None:
    """Whatever its steps stumble over, it is taken back, and the next ones are updated."""
    clinic.stored(*(make_instance(study="2.25.12", series="2.25.13") for _ in range(3)))
    before = etag(clinic, "/studies/2.25.12")
    moved: list[int] = []
    verify = StudyVersions.verify

    def stumble(self: StudyVersions, study: StudyRow, limit: int) -> VerifiedStudy:
        if study.study == "2.25.12":
            raise RuntimeError("a defect")
        return verify(self, study, limit)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "time", SimpleNamespace(time=lambda: time.time() + sum(moved)))
        patch.setattr(service, "SCAN_SECONDS", 0)
        patch.setattr(StudyVersions, "verify", stumble)
        operation = post(clinic, asked(STUDY, "2.25.12", OTHER)).get_json()["id"]
        for _ in range(1 + service.MAX_ATTEMPTS):
            with pytest.raises(RuntimeError):
                work(client)
            moved.append(600)
        work(client)
    told = client.get(f"/v2/operations/{operation}").get_json()
    assert told["status"] == "failed"
    counts = {"studyProcessed": 3, "studyUpdated": 2, "studyFailed": 1, "instanceUpdated": 4}
    assert told["results"] == counts | {"errors": ["Failed to update instances for study 2.25.12"]}
    assert etag(clinic, "/studies/2.25.12") == before
    (found,) = json.loads(clinic.get("/studies?PatientID=P1").data)
    assert value(found, "0020000D") == "2.25.12"
    assert update(clinic, "2.25.12")["results"]["instanceUpdated"] == 3


def test_extended_query_tags_find_the_new_values_at_every_level(clinic: PartitionClient, client: FlaskClient) -> None:
    tags = [{"path": tag, "level": level} for tag, level in TAGGED.items()]
    assert client.post("/v2/extendedquerytags", json=tags).status_code == 202
    old = {"PatientAge": "030Y", "OtherPatientNames": "Old^Name", "Occupation": "Carpenter"}
    clinic.stored(
        make_instance(study=STUDY, **old), make_instance(study=STUDY, **old), make_instance(study=OTHER, **old)
    )
    work(client)
    changed = {
        "00101010": {"vr": "AS", "Value": ["044Y"]},
        "00101001": {"vr": "PN", "Value": [{"Alphabetic": "New^Name"}]},
        "00102180": {"vr": "SH", "Value": ["Baker"]},
    }
    update(clinic, **changed)
    for (tag, level), new in zip(TAGGED.items(), ("044Y", "New^Name", "Baker"), strict=True):
        resource = {"study": "studies", "series": "series", "instance": "instances"}[level]
        found = json.loads(clinic.get(f"/{resource}?{tag}={new}").data)
        assert {value(each, "0020000D") for each in found} == {STUDY}
        left = json.loads(clinic.get(f"/{resource}?{tag}={old[tag]}").data)
        assert {value(each, "0020000D") for each in left} == {OTHER}
