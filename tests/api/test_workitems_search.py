"""conformance §7.9, "Search", through HTTP on both engines."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient

from app import bootstrap
from app.storage.table import keys
from app.storage.table.ports import Put
from tests.support.dicomweb import DICOM_JSON
from tests.support.workitems import Dataset, code, name, requested, sequence, text, workitem
from tests.support.worklist import WorklistClient, uid_of

A, B, C = "2.25.1", "2.25.2", "2.25.3"
"""In the order in which they are added."""

ITEMS: dict[str, Dataset] = {
    A: workitem(
        T00100010=name("Smith^Ann Mary"),
        T00100020=text("LO", "P1"),
        T0040A370=sequence(requested("ACC1", "RP1"), requested("ACC2", "RP2")),
        T00404005=text("DT", "20240301090000"),
        T00404025=sequence(code("CT1")),
        T0020000D=text("UI", "2.25.901"),
    ),
    B: workitem(
        T00100010={"vr": "PN", "Value": [{"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}]},
        T00100020=text("LO", "P2"),
        T0040A370=sequence(requested("ACC2", "RP3")),
        T00404005=text("DT", "20240302"),
        T00404026=sequence(code("CT"), code("MR")),
        T0020000D=text("UI", "2.25.902"),
    ),
    C: workitem(
        T00100010=name("Müller^Änne"),
        T00100020=text("LO", "p10"),
        T00404005=text("DT", "20240302120000.5-0500"),
        T00404027=sequence(code("ROOM 7")),
        T00091001=text("UN") | {"Value": ["x"]},
    ),
}


@pytest.fixture
def worklist(client: FlaskClient) -> WorklistClient:
    worklist = WorklistClient(client)
    for uid, dataset in ITEMS.items():
        assert worklist.add(uid, dataset).status_code == 201
    return worklist


REQUEST, STATION = "ReferencedRequestSequence", "ScheduledStation{}CodeSequence.CodeValue"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [C, B, A]),
        ("PatientID=P1", [A]),
        ("PatientID=p1", [A]),
        ("00100020=P10", [C]),
        ("PatientID=P1*", [C, A]),
        ("PatientID=?2", [B]),
        ("PatientID=*", [C, B, A]),
        ("PatientID=nobody", []),
        ("PatientName=smith^ann mary", [A]),
        ("PatientName=smith", []),
        ("PatientName=smith*", [A]),
        ("PatientName=muller^anne", [C]),
        ("PatientName==山田^太郎", [B]),
        ("PatientName=mary&fuzzymatching=true", [A]),
        ("PatientName=ann mar&fuzzymatching=true", [A]),
        ("PatientName=mary ann&fuzzymatching=true", []),
        ("PatientName=mull&FuzzyMatching=True", [C]),
        (f"{REQUEST}.AccessionNumber=ACC1", [A]),
        (f"{REQUEST}.AccessionNumber=acc2", [B, A]),
        ("0040a370.00080050=ACC2", [B, A]),
        (f"{REQUEST}.00080050=ACC*", [B, A]),
        ("0040A370.RequestedProcedureID=RP2", [A]),
        (f"{REQUEST}.AccessionNumber=ACC2&{REQUEST}.RequestedProcedureID=RP3", [B]),
        (STATION.format("Name") + "=CT1", [A]),
        (STATION.format("Class") + "=MR", [B]),
        (STATION.format("GeographicLocation") + "=room 7", [C]),
        ("StudyInstanceUID=2.25.901", [A]),
        ("StudyInstanceUID=2.25.901,2.25.902", [B, A]),
        ("ScheduledProcedureStepStartDateTime=20240302", [B]),
        ("ScheduledProcedureStepStartDateTime=20240301-20240302", [C, B, A]),
        ("ScheduledProcedureStepStartDateTime=20240302-", [C, B]),
        ("ScheduledProcedureStepStartDateTime=-20240301100000", [A]),
        ("ScheduledProcedureStepStartDateTime=20240302120000.5-0500", [C]),
        ("ScheduledProcedureStepStartDateTime=20240302120000.5", []),
        ("ProcedureStepState=SCHEDULED", [C, B, A]),
        ("00741000=scheduled&PatientID=P2", [B]),
        ("ProcedureStepState=COMPLETED", []),
        ("PatientID=", [C, B, A]),
        ("limit=1", [C]),
        ("limit=1&offset=1", [B]),
        ("offset=2", [A]),
        ("offset=3", []),
        ("PatientID=P*&limit=1&offset=2", [A]),
    ],
)
def test_what_is_found(worklist: WorklistClient, query: str, found: list[str]) -> None:
    assert worklist.found(quote(query, safe="=&")) == found


@pytest.mark.parametrize("blanks", [" ", "   ", " \t "])
def test_blanks_around_a_value_do_not_count(worklist: WorklistClient, blanks: str) -> None:
    """Neither in a query nor in a workitem: PS3.5 §6.2 permits spaces at both ends."""
    assert worklist.found(quote(f"PatientID={blanks}P1{blanks}", safe="=")) == [A]
    padded = workitem(T00100020=text("LO", "  P7 "), T00100010=name(" Jones^Tom "))
    worklist.add("2.25.7", padded)
    for query in ("PatientID=P7", f"PatientID={blanks}p7", "PatientID=P7*", "PatientName=jones^tom", "PatientName=Jo*"):
        assert worklist.found(quote(query, safe="=")) == ["2.25.7"]
    assert worklist.dataset("2.25.7")["00100020"]["Value"] == ["  P7 "]


@pytest.mark.parametrize(
    ("query", "more"),
    [("limit=2", True), ("limit=3", False), ("limit=1&offset=1", True), ("PatientID=P1*&limit=1", True), ("", False)],
)
def test_a_full_page_warns_that_more_match(worklist: WorklistClient, query: str, more: bool) -> None:
    warning = '299 pacs.example: "There are additional results that can be requested."'
    response = worklist.get(f"?{query}", Host="pacs.example:8443")
    assert response.status_code == 200
    assert response.headers.getlist("Warning") == ([warning] if more else [])


TAIL = (
    "If the parameter is an attribute keyword, check the casing as they are case-sensitive. "
    "The conformance statement has a list of supported query parameters, attributes and the levels."
)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("Modality=CT", f"Invalid query: AttributeId Modality is not queryable.  {TAIL}"),
        (f"{REQUEST}=x", f"Invalid query: AttributeId {REQUEST} is not queryable.  {TAIL}"),
        (f"{REQUEST}.PatientID=x", f"Invalid query: AttributeId {REQUEST}.PatientID is not queryable.  {TAIL}"),
        ("AccessionNumber=x", f"Invalid query: AttributeId AccessionNumber is not queryable.  {TAIL}"),
        ("SOPInstanceUID=2.25.1", f"Invalid query: AttributeId SOPInstanceUID is not queryable.  {TAIL}"),
        (f"{REQUEST}.Nonsense=x", f"Invalid query: unknown query parameter '{REQUEST}.Nonsense'. {TAIL}"),
        ("patientid=x", f"Invalid query: unknown query parameter 'patientid'. {TAIL}"),
        ("....=x", f"Invalid query: unknown query parameter '....'. {TAIL}"),
        (
            f"{REQUEST}.AccessionNumber=x&0040A370.00080050=y",
            "Invalid query: attribute '0040A370.00080050' has been specified more than once using different ID "
            "formats. Each attribute is only allowed to be specified once.",
        ),
        ("limit=0", "The query parameter 'Limit' is invalid. The field Limit must be between 1 and 200."),
        ("limit=201", "The query parameter 'Limit' is invalid. The field Limit must be between 1 and 200."),
        ("includefield=Nonsense", "Invalid query: IncludeField has unknown attribute 'Nonsense'."),
    ],
)
def test_what_is_refused(worklist: WorklistClient, query: str, message: str) -> None:
    response = worklist.get(f"?{query}")
    assert (response.status_code, response.text) == (400, message)


@pytest.mark.parametrize(
    "query",
    [
        "ScheduledProcedureStepStartDateTime=tomorrow",
        "ScheduledProcedureStepStartDateTime=20240302-20240301",
        "ScheduledProcedureStepStartDateTime=-",
        "StudyInstanceUID=abc",
        "ProcedureStepState=THIS IS TOO LONG A STATE",
        "fuzzymatching=perhaps",
    ],
)
def test_a_value_that_none_can_have_is_refused(worklist: WorklistClient, query: str) -> None:
    assert worklist.get(f"?{query}").status_code == 400


# --- returned attributes ------------------------------------------------------------------------------------------


def found_rows(worklist: WorklistClient, query: str) -> list[dict[str, Any]]:
    response = worklist.get(f"?{query}", Accept=DICOM_JSON)
    assert response.headers["Content-Type"] == DICOM_JSON
    rows: list[dict[str, Any]] = response.get_json(force=True)
    return rows


def test_defaults(worklist: WorklistClient) -> None:
    (row,) = found_rows(worklist, "PatientID=P1")
    whole = worklist.dataset(A)
    unasked = {"00404010", "00400400"}  # modification time, comments
    assert row == {tag: element for tag, element in whole.items() if tag not in unasked}


def test_a_filter_and_an_included_field_are_returned(worklist: WorklistClient) -> None:
    (row,) = found_rows(worklist, "PatientID=p10&includefield=ScheduledProcedureStepModificationDateTime,00091001")
    assert row["00404010"] == worklist.dataset(C)["00404010"]
    assert row["00091001"]["Value"] == ["x"]
    worklist.update(C, {"00380050": text("LO", "x")})
    assert "00380050" in found_rows(worklist, "PatientID=p10")[0]


def test_all_is_all(worklist: WorklistClient) -> None:
    assert found_rows(worklist, "includefield=all&PatientID=p10") == [worklist.dataset(C)]


def test_nothing_is_204(worklist: WorklistClient) -> None:
    response = worklist.get("?PatientID=nobody")
    assert (response.status_code, response.data) == (204, b"")


def test_another_type_is_406(worklist: WorklistClient) -> None:
    response = worklist.get(Accept="text/html")
    assert (response.status_code, response.data) == (406, b"")


def test_what_cannot_be_read_is_left_out(worklist: WorklistClient, engine: bootstrap.Engine) -> None:
    partition = int(engine.table.get(keys.partition("clinic-a")).fields["key"])
    damaged = engine.table.get(keys.workitem(partition, B))
    assert damaged
    engine.table.write(Put(damaged._replace(data=b"?" + damaged.data[1:])))
    response = worklist.get()
    assert response.status_code == 206
    assert [uid_of(row) for row in response.get_json(force=True)] == [C, A]
    alone = worklist.get("?PatientID=P2")
    assert (alone.status_code, alone.get_json(force=True)) == (206, [])
    assert worklist.found("PatientID=P1") == [A]
    assert worklist.get(f"/{B}").status_code == 503


def test_a_long_page_is_streamed_whole(client: FlaskClient) -> None:
    worklist = WorklistClient(client)
    for number in range(120):
        worklist.add(f"2.25.{number + 1}", workitem(T00741204=text("LO", "x" * 3000)))
    rows = found_rows(worklist, "limit=200")
    assert [uid_of(row) for row in rows] == [f"2.25.{number}" for number in range(120, 0, -1)]
    assert len(found_rows(worklist, "")) == 100


def test_an_update_is_found_by_its_new_values_alone(worklist: WorklistClient) -> None:
    worklist.update(A, {"00404025": sequence(code("CT2")), "00404005": text("DT", "20250101")})
    assert worklist.found(STATION.format("Name") + "=CT1") == []
    assert worklist.found(STATION.format("Name") + "=CT2") == [A]
    assert worklist.found("ScheduledProcedureStepStartDateTime=2025-") == [A]
