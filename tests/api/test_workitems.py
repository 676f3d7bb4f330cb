"""conformance §7 through HTTP, on both engines: add, retrieve, update, and who may change what when."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import Any

import pytest
import structlog
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.conftest import Serve
from tests.support.dicomweb import DICOM_JSON
from tests.support.faults import FOR_EVER, Rule, contention, run
from tests.support.faulty_engine import Faults
from tests.support.workitems import CODE, COMPLETE, PERFORMED, sequence, state, text, workitem
from tests.support.worklist import WorklistClient

U, T, OTHER = "2.25.601", "2.25.699", "2.25.698"
UNKNOWN = "2.25.404"
INCONSISTENT = "The submitted request is inconsistent with the current state of the Workitem."
MISSING = "The workitem instance is not found."
TEXT = "text/plain; charset=utf-8"


@pytest.fixture
def worklist(client: FlaskClient) -> WorklistClient:
    return WorklistClient(client)


def says(response: TestResponse, status: int, message: str, *, warns: bool = False) -> None:
    """Assert that the answer is this message, as a JSON string, and whether it is repeated in a Warning."""
    assert (response.status_code, response.get_json()) == (status, message)
    assert response.headers["Content-Type"] == DICOM_JSON
    assert response.headers.get("Warning") == (f'299 localhost: "{message}"' if warns else None)


# --- add ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["", "/v1", "/v2", "/v1.0-prerelease"])
@pytest.mark.parametrize("query", [U, f"{U}=", f"workitem={U}", f"Workitem={U}"])
def test_add_in_a_partition(client: FlaskClient, version: str, query: str) -> None:
    worklist = WorklistClient(client, f"{version}/partitions/Clinic-A")
    response = worklist.send("POST", f"?{query}", [workitem()])
    assert (response.status_code, response.data) == (201, b"")
    place = f"http://localhost{version}/partitions/Clinic-A/workitems/{U}"
    assert response.headers["Location"] == response.headers["Content-Location"] == place
    assert worklist.state_of(U) == "SCHEDULED"
    names = [each["partitionName"] for each in client.get("/v2/partitions").get_json()]
    assert names == ["Microsoft.Default", "Clinic-A"]


@pytest.mark.parametrize("query", ["", "?", "?workitem="])
def test_the_uid_may_be_in_the_dataset_alone(worklist: WorklistClient, query: str) -> None:
    """Microsoft's client creates a workitem like this if the program gives it no UID."""
    response = worklist.send("POST", query, [workitem(T00080018=text("UI", U))])
    assert (response.status_code, response.headers["Location"].rpartition("/")[2]) == (201, U)
    assert worklist.found() == [U]
    several = worklist.send("POST", query, [workitem(T00080018=text("UI", "2.25.1", "2.25.2"))])
    assert (several.status_code, "WorkitemInstanceUid" in several.text) == (400, True)


def test_links_have_the_first_spelling(client: FlaskClient, worklist: WorklistClient) -> None:
    worklist.add("2.25.1")
    response = WorklistClient(client, "/v2/partitions/CLINIC-A").add("2.25.2")
    assert response.headers["Location"] == "http://localhost/v2/partitions/clinic-a/workitems/2.25.2"


def test_the_base_form(serve: Serve) -> None:
    worklist = WorklistClient(serve(enable_data_partitions=False), "/v2")
    response = worklist.add(U)
    assert response.status_code == 201
    assert response.headers["Location"] == f"http://localhost/v2/workitems/{U}"
    assert worklist.found() == [U]
    worklist.brought_to("2.25.2", "COMPLETED", T)
    response = WorklistClient(worklist.client).get()
    assert (response.status_code, response.text) == (400, "Data partitions capability is disabled.")


CALLS: list[tuple[str, str, str, Any]] = [
    ("POST", "", f"?{U}", workitem()),
    ("GET", "", "", None),
    ("GET", f"/{U}", "", None),
    ("POST", f"/{U}", "", {}),
    ("PUT", f"/{U}/state", "", {}),
    ("POST", f"/{U}/cancelrequest", "", {}),
]


@pytest.mark.parametrize(("method", "path", "query", "dataset"), CALLS)
def test_partitions_are_named_known_and_well_spelt(
    client: FlaskClient, method: str, path: str, query: str, dataset: Any
) -> None:
    def call(prefix: str) -> TestResponse:
        return WorklistClient(client, prefix).send(method, path + query, [dataset])

    missing, invalid, unknown = call("/v2"), call("/v2/partitions/a b"), call("/v2/partitions/nobody")
    assert (missing.status_code, missing.text) == (400, "PartitionName value is missing in the route segment.")
    assert (invalid.status_code, invalid.text) == (400, "The specified PartitionName is invalid.")
    if method == "POST" and not path:
        assert unknown.status_code == 201
    else:
        assert (unknown.status_code, unknown.text) == (400, "Specified PartitionName nobody doesn't exist.")


def test_one_worklist_a_partition(client: FlaskClient) -> None:
    here, there = WorklistClient(client), WorklistClient(client, "/v2/partitions/clinic-b")
    here.add(U)
    there.add(U, workitem(T00100020=text("LO", "other")))
    here.change_state(U, "IN PROGRESS", T)
    assert there.state_of(U) == "SCHEDULED"
    assert there.found("PatientID=other") == [U]
    assert here.found("PatientID=other") == []
    assert there.found("ProcedureStepState=IN PROGRESS") == []
    there.add("2.25.2")
    says(here.get("/2.25.2"), 404, MISSING)


def test_a_duplicate_is_409(worklist: WorklistClient) -> None:
    worklist.add(U)
    response = worklist.add(U, workitem(T00100020=text("LO", "other")))
    says(response, 409, "The workitem instance already exists. Try creating using a different UID.")
    assert worklist.dataset(U)["00100020"] == text("LO", "P9")


def test_a_creation_that_others_keep_from_ending_is_503(worklist: WorklistClient, faults: Faults) -> None:
    worklist.get()
    worklist.add("2.25.1")

    faults.add(Rule(contention(), operation="table.write", times=FOR_EVER))
    response = worklist.add(U)
    assert (response.status_code, response.text) == (503, "The data store operation failed.")


def test_an_attribute_rule_is_400(worklist: WorklistClient) -> None:
    says(worklist.add(U, workitem(T00741200=None)), 400, "The required tag '(0074,1200)' is missing.")
    other = "SOPInstanceUID in the payload does not match the workitem query parameter."
    says(worklist.add(U, workitem(T00080018=text("UI", "2.25.1"))), 400, other)
    says(worklist.get(f"/{U}"), 404, MISSING)


@pytest.mark.parametrize("query", ["", "?", "?abc", "?workitem=", "?workitem=2.25.x", "?" + "1" * 65, "?2.25.1.", "?="])
def test_a_bad_uid_is_400_and_makes_no_partition(client: FlaskClient, worklist: WorklistClient, query: str) -> None:
    response = worklist.send("POST", query, [workitem()])
    assert response.status_code == 400
    assert response.text.startswith("Dicom element 'WorkitemInstanceUid' failed validation for VR 'UI'")
    assert len(client.get("/v2/partitions").get_json()) == 1


def test_what_is_refused_before_a_partition_is_made(client: FlaskClient, worklist: WorklistClient) -> None:
    wrong = worklist.send("POST", f"?{U}", [workitem()], Content_Type="application/xml")
    assert (wrong.status_code, wrong.data) == (415, b"")
    unacceptable = worklist.send("POST", f"?{U}", [workitem()], Accept="image/jpeg")
    assert (unacceptable.status_code, unacceptable.data) == (406, b"")
    assert worklist.send("POST", f"?{U}", b"").status_code == 400
    assert worklist.send("POST", f"?{U}", b"[]").status_code == 400
    assert len(client.get("/v2/partitions").get_json()) == 1
    assert worklist.add(U, {}).status_code == 400  # in Microsoft's order the partition is there by now
    assert len(client.get("/v2/partitions").get_json()) == 2


# --- bodies -------------------------------------------------------------------------------------------------------

BODIES = [call for call in CALLS if call[0] != "GET"]


@pytest.mark.parametrize(("method", "path", "query", "_"), BODIES)
@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b"[7]", b"null", b"\xff"])
def test_a_body_that_holds_no_dataset_is_400(
    worklist: WorklistClient, method: str, path: str, query: str, _: Any, body: bytes
) -> None:
    worklist.add("2.25.1")
    response = worklist.send(method, path + query, body)
    assert (response.status_code, response.text) == (400, "The syntax of the request body is invalid.")
    assert response.headers["Content-Type"] == TEXT


@pytest.mark.parametrize(("method", "path", "query", "dataset"), BODIES)
def test_what_bodies_are_refused_for(
    worklist: WorklistClient, method: str, path: str, query: str, dataset: Any
) -> None:
    worklist.add("2.25.1")

    def call(body: Any, **headers: str) -> tuple[int, str]:
        response = worklist.send(method, path + query, body, **headers)
        return response.status_code, response.text

    assert call(b"") == (400, "The request body is missing.")
    assert call([dataset], Content_Type="text/plain") == (415, "")
    assert call(b" " * (4 * 1024 * 1024 + 1))[0] == 413
    field = "The field '00100020' in request body is invalid: its vr is 'SH', not 'LO'."
    assert call([{"00100020": {"vr": "SH"}}]) == (400, field)
    assert call(b'[{"0040A370":{"vr":"SQ","Value":' * 100 + b"[]" + b"}}]" * 100)[0] == 400
    assert call([{'bad\r\n"\\x': {}}])[0] == 400


def test_bodies_as_other_clients_write_them(worklist: WorklistClient) -> None:
    """Comments, trailing commas, a byte order mark, keywords, lower-case tags, null for no value (conformance §1.6)."""
    dataset = workitem(T00081195={"vr": "UI", "Value": None}, T00100020=None, PatientID=text("LO", "P9"))
    dataset["0040a370"] = dataset.pop("0040A370")
    body = json.dumps([dataset])
    response = worklist.send("POST", f"?{U}", b"\xef\xbb\xbf" + f"// new\n{body[:-2]},}} /* one */,]".encode())
    assert response.status_code == 201
    assert worklist.found("PatientID=P9") == [U]
    assert worklist.send("PUT", f"/{U}/state", json.dumps([state("IN PROGRESS", T)])[:-1].encode() + b",]").text == ""


def test_a_name_that_is_given_twice_is_400(worklist: WorklistClient) -> None:
    body = json.dumps([workitem()])[:-2] + ',"00100020":{"vr":"LO","Value":["other"]}}]'
    response = worklist.send("POST", f"?{U}", body.encode())
    message = "The field '00100020' in request body is invalid: It is given twice."
    assert (response.status_code, response.text) == (400, message)
    response = worklist.add(U, workitem(PatientID=text("LO", "other")))
    message = "The field '00100020' in request body is invalid: it is given twice."
    assert (response.status_code, response.text) == (400, message)


def test_returned_attributes_are_in_the_order_of_tags(worklist: WorklistClient) -> None:
    """PS3.18 §F.2.2; in items too."""
    item = {tag: CODE[tag] for tag in sorted(CODE, reverse=True)}
    worklist.add(U, dict(reversed(workitem(T00404025=sequence(item)).items())))
    worklist.cancel(U, {"00741238": text("LT", "Patient left"), "0074100C": text("LO", "x"), "0074100A": {"vr": "UR"}})
    for dataset in (worklist.dataset(U), worklist.get("?includefield=all").get_json(force=True)[0]):
        progress = dataset["00741002"]["Value"][0]
        for each in (dataset, dataset["00404025"]["Value"][0], progress, progress["00741008"]["Value"][0]):
            assert list(each) == sorted(each)


def test_only_the_first_dataset_counts(worklist: WorklistClient) -> None:
    assert worklist.send("POST", f"?{U}", [workitem(), {"x": 1}]).status_code == 201


# --- retrieve -----------------------------------------------------------------------------------------------------


def test_retrieve_is_one_object(worklist: WorklistClient) -> None:
    worklist.add(U, workitem(T00404025=sequence(CODE)))
    response = worklist.get(f"/{U}", Accept=DICOM_JSON)
    assert response.headers["Content-Type"] == DICOM_JSON
    dataset = response.get_json(force=True)
    assert dataset["00404025"] == sequence(CODE)
    assert dataset["00080018"] == text("UI", U)
    assert dataset["00741202"] == text("LO", "worklist")
    assert "00081195" not in dataset


def test_what_a_retrieve_is_refused_for(worklist: WorklistClient) -> None:
    worklist.add(U)
    says(worklist.get(f"/{UNKNOWN}"), 404, MISSING)
    assert worklist.get(f"/{U}", Accept="image/png").status_code == 406
    assert worklist.get(f"/{U}", Accept="image/png, application/json;q=0.1").status_code == 200
    bad = worklist.get("/2.25.x")
    assert bad.status_code == 400
    assert "WorkitemInstanceUid" in bad.text


# --- update -------------------------------------------------------------------------------------------------------


def test_update_what_is_scheduled(worklist: WorklistClient) -> None:
    worklist.add(U)
    before = worklist.dataset(U)
    response = worklist.update(U, {"00741204": text("LO", "Other"), "00404025": sequence(CODE)})
    assert (response.status_code, response.data) == (200, b"")
    assert response.headers["Content-Location"] == f"http://localhost/v2/partitions/clinic-a/workitems/{U}"
    after = worklist.dataset(U)
    assert after["00741204"] == text("LO", "Other")
    assert after["00404025"] == sequence(CODE)
    assert after["00404010"]["Value"] > before["00404010"]["Value"]
    assert worklist.found("ScheduledStationNameCodeSequence.CodeValue=CTREAD") == [U]


@pytest.mark.parametrize("query", [T, f"transaction-uid={T}", f"Transaction-UID={T}"])
def test_update_what_is_claimed(worklist: WorklistClient, query: str) -> None:
    worklist.brought_to(U, "IN PROGRESS", T)
    assert worklist.update(U, {"00741204": text("LO", "Other")}, query).status_code == 200
    assert worklist.dataset(U)["00741204"] == text("LO", "Other")


NOT_CLAIMED = "The target URI did not reference a claimed Workitem."


@pytest.mark.parametrize(
    ("state", "transaction", "status", "message"),
    [
        ("SCHEDULED", T, 400, "Invalid TransactionUID for the specified Workitem Instance UID."),
        ("IN PROGRESS", "", 400, NOT_CLAIMED),
        ("IN PROGRESS", OTHER, 400, NOT_CLAIMED),
        ("COMPLETED", T, 400, f"{INCONSISTENT} The UPS is already COMPLETED."),
        ("CANCELED", T, 409, f"{INCONSISTENT} The UPS is already in the requested state of CANCELED."),
    ],
)
def test_when_an_update_is_refused(
    worklist: WorklistClient, state: str, transaction: str, status: int, message: str
) -> None:
    worklist.brought_to(U, state, T)
    before = worklist.dataset(U)
    says(worklist.update(U, {"00741204": text("LO", "Other")}, transaction), status, message, warns=True)
    assert worklist.dataset(U) == before


def test_what_an_update_is_refused_for(worklist: WorklistClient) -> None:
    worklist.add(U)
    lock = worklist.update(U, {"00081195": text("UI", T)})
    says(lock, 400, "The attribute with tag '(0008,1195)' cannot be present.", warns=True)
    says(worklist.update(UNKNOWN, {}), 404, MISSING, warns=True)
    bad = worklist.update(U, {}, "transaction-uid=abc")
    assert (bad.status_code, "abc" in bad.text) == (400, False)
    assert bad.headers["Warning"].startswith("299 localhost: \"Dicom element 'TransactionUid'")


def test_an_update_that_another_writer_overtakes_is_409(worklist: WorklistClient, faults: Faults) -> None:
    worklist.add(U)
    first: list[TestResponse] = []
    update = run(lambda: first.append(worklist.update(U, {"00741204": text("LO", "First")})))
    faults.add(Rule(update, operation="table.write"))
    says(worklist.update(U, {"00741204": text("LO", "Second")}), 409, INCONSISTENT, warns=True)
    assert first[0].status_code == 200
    assert worklist.dataset(U)["00741204"] == text("LO", "First")


def test_a_workitem_that_others_keep_writing_is_busy(worklist: WorklistClient, faults: Faults) -> None:
    worklist.add(U)

    faults.add(Rule(contention(), operation="table.write", times=FOR_EVER))
    busy = "The workitem instance is currently being updated. Please try again later."
    says(worklist.update(U, {"00741204": text("LO", "Other")}), 400, busy, warns=True)


# --- state --------------------------------------------------------------------------------------------------------

MATRIX = {
    "IN PROGRESS": {"SCHEDULED": "ok", "IN PROGRESS": "C302", "COMPLETED": "C300", "CANCELED": "C300"},
    "COMPLETED": {"SCHEDULED": "C301", "IN PROGRESS": "ok", "COMPLETED": "B306", "CANCELED": "C300"},
    "CANCELED": {"SCHEDULED": "C301", "IN PROGRESS": "ok", "COMPLETED": "C300", "CANCELED": "B304"},
}
CELLS = [(asked, current, code) for asked, row in MATRIX.items() for current, code in row.items()]


@pytest.mark.parametrize("transaction", [T, OTHER])
@pytest.mark.parametrize(("asked", "current", "code"), CELLS)
def test_every_cell_of_the_matrix(
    worklist: WorklistClient, asked: str, current: str, code: str, transaction: str
) -> None:
    worklist.brought_to(U, current, T)
    before = worklist.dataset(U)
    response = worklist.change_state(U, asked, transaction)
    if current != "SCHEDULED" and transaction != T:
        code = "C301"
    if code == "ok":
        assert (response.status_code, response.data) == (200, b"")
        assert "Warning" not in response.headers
        assert worklist.dataset(U) == before | {"00741000": text("CS", asked)}
        return
    refused = f"The workitem instance can not transition to '{asked}' state: {code}."
    final = f"The workitem instance is already in the final state '{asked}'. {code}."
    says(response, 200 if code[0] == "B" else 400, final if code[0] == "B" else refused, warns=True)
    assert worklist.dataset(U) == before


def test_complete_in_the_order_that_the_standard_wants(worklist: WorklistClient) -> None:
    worklist.add(U)
    assert worklist.change_state(U, "IN PROGRESS", T).status_code == 200
    missing = "The required tag '(0074,1216)' is missing."
    says(worklist.change_state(U, "COMPLETED", T), 400, missing, warns=True)
    assert worklist.state_of(U) == "IN PROGRESS"
    assert worklist.update(U, PERFORMED, T).status_code == 200
    assert worklist.change_state(U, "COMPLETED", T).status_code == 200
    assert worklist.found("ProcedureStepState=COMPLETED") == [U]
    assert worklist.found("ProcedureStepState=IN PROGRESS") == []


def test_what_a_state_change_is_refused_for(worklist: WorklistClient) -> None:
    worklist.add(U)
    says(worklist.change_state(UNKNOWN, "IN PROGRESS", T), 404, MISSING, warns=True)
    says(
        worklist.send("PUT", f"/{U}/state", [{"00741000": text("CS", "COMPLETED")}]),
        400,
        "The required tag '(0008,1195)' is missing.",
        warns=True,
    )
    unknown = "ProcedureStepState must be one of IN PROGRESS, COMPLETED, CANCELED."
    says(worklist.change_state(U, "SCHEDULED", T), 400, unknown, warns=True)
    assert worklist.change_state(U, "IN PROGRESS", "abc").status_code == 400
    nulls = {"00741000": text("CS", "IN PROGRESS"), "00081195": {"vr": "UI", "Value": [None, T]}}
    assert worklist.send("PUT", f"/{U}/state", [nulls]).status_code == 400
    assert worklist.state_of(U) == "SCHEDULED"


# --- cancellation -------------------------------------------------------------------------------------------------


def test_cancel_what_is_scheduled(worklist: WorklistClient) -> None:
    worklist.add(U)
    response = worklist.cancel(U, {"00741238": text("LT", "Patient left"), "0074100E": sequence(CODE)})
    says(response, 202, "The workitem instance has been cancelled.")
    dataset = worklist.dataset(U)
    (progress,) = dataset["00741002"]["Value"]
    assert dataset["00741000"] == text("CS", "CANCELED")
    assert (progress["00741238"], progress["0074100E"]) == (text("LT", "Patient left"), sequence(CODE))
    assert progress["00404052"]["Value"]
    assert worklist.found("ProcedureStepState=CANCELED") == [U]
    for asked in MATRIX:  # its lock was never held
        code = f"The workitem instance can not transition to '{asked}' state: C301."
        says(worklist.change_state(U, asked, T), 400, code, warns=True)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("IN PROGRESS", "The workitem instance can not transition to 'Canceled' state: C312."),
        ("COMPLETED", "The workitem instance can not transition to 'Canceled' state: C311."),
        ("CANCELED", "The UPS is already in the requested state of CANCELED."),
    ],
)
def test_when_a_cancellation_is_refused(worklist: WorklistClient, state: str, message: str) -> None:
    worklist.brought_to(U, state, T)
    says(worklist.cancel(U), 409, message, warns=True)
    assert worklist.state_of(U) == state


def test_cancel_what_is_not_there(worklist: WorklistClient) -> None:
    worklist.add(U)
    says(worklist.cancel(UNKNOWN), 404, MISSING, warns=True)


# --- the lock -----------------------------------------------------------------------------------------------------


def test_the_transaction_uid_never_leaves_the_server(worklist: WorklistClient) -> None:
    secret = "2.25.31415926535"
    with structlog.testing.capture_logs() as lines:
        worklist.brought_to(U, "IN PROGRESS", secret)
        answers = [
            worklist.get(f"/{U}"),
            worklist.get(),
            worklist.get("?includefield=all"),
            worklist.get("?includefield=TransactionUID"),
            worklist.get("?TransactionUID=" + secret[:-1]),
            worklist.update(U, {"00741204": text("LO", "x")}, secret),
            worklist.update(U, {"00741204": text("LO", "x")}, OTHER),
            worklist.change_state(U, "COMPLETED", OTHER),
            worklist.change_state(U, "COMPLETED", secret),
            worklist.change_state(U, "COMPLETED", secret),
            worklist.cancel(U),
        ]
    said = [f"{answer.headers} {answer.text}" for answer in answers]
    assert not any(secret in each or "00081195" in each for each in said)
    assert lines
    assert secret not in json.dumps(lines, default=repr)


# --- races --------------------------------------------------------------------------------------------------------


def at_once(calls: list[Callable[[], TestResponse]]) -> list[TestResponse]:
    """Make the calls, each in a thread of its own, all starting together."""
    barrier = Barrier(len(calls))

    def call(each: Callable[[], TestResponse]) -> TestResponse:
        barrier.wait()
        return each()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(call, calls))


def test_of_sixteen_who_claim_a_workitem_one_gets_it(worklist: WorklistClient) -> None:
    for number in range(3):
        uid = f"2.25.{number}1"
        worklist.add(uid)
        claims = [f"2.25.7{claim}" for claim in range(16)]
        answers = at_once([partial(worklist.change_state, uid, "IN PROGRESS", claim) for claim in claims])
        (owner,) = [claim for claim, answer in zip(claims, answers, strict=True) if answer.status_code == 200]
        for claim, answer in zip(claims, answers, strict=True):
            if claim != owner:
                refused = "The workitem instance can not transition to 'IN PROGRESS' state: C301."
                says(answer, 400, refused, warns=True)
        assert worklist.update(uid, COMPLETE, owner).status_code == 200
        assert all(worklist.update(uid, COMPLETE, claim).status_code == 400 for claim in claims if claim != owner)
    assert worklist.found("ProcedureStepState=SCHEDULED") == []


def test_a_claim_and_a_cancellation_never_both_succeed(worklist: WorklistClient) -> None:
    for number in range(5):
        uid = f"2.25.{number}1"
        worklist.add(uid)
        claim, cancel = at_once([partial(worklist.change_state, uid, "IN PROGRESS", T), partial(worklist.cancel, uid)])
        assert sorted([claim.status_code == 200, cancel.status_code == 202]) == [False, True]
        assert worklist.state_of(uid) == ("IN PROGRESS" if claim.status_code == 200 else "CANCELED")


def test_of_eight_who_add_a_workitem_one_does(worklist: WorklistClient) -> None:
    answers = at_once([partial(worklist.add, U)] * 8)
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    assert worklist.found() == [U]
