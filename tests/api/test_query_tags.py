"""Extended query tags over HTTP (conformance §8): rules, life cycle, what is indexed, searches, errors, deletion."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from pydicom.dataelem import DataElement
from werkzeug.test import TestResponse

from app.services import Services
from app.storage.table.ports import Key
from tests.conftest import Serve
from tests.support.background import work
from tests.support.dicomweb import PartitionClient, value
from tests.support.instances import make_instance, uid

TAGS = "/v2/extendedquerytags"


def add(client: FlaskClient, *tags: dict[str, Any], **options: Any) -> TestResponse:
    return client.post(options.pop("url", TAGS), json=list(tags), **options)


def added(client: FlaskClient, *tags: dict[str, Any]) -> str:
    """Add tags and index what is there; the operation's id."""
    response = add(client, *tags)
    assert response.status_code == 202, response.text
    work(client)
    operation: str = response.json["id"]
    assert client.get(f"/v2/operations/{operation}").json["status"] == "succeeded"
    return operation


def entry(client: FlaskClient, path: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"{TAGS}/{path}").get_json()
    return found


def found(caller: PartitionClient, query: str) -> list[str]:
    """The UIDs that a search finds, newest first: of studies, series or instances."""
    response = caller.get(query)
    assert response.status_code in (200, 204), response.text
    tag = {"/studies": "0020000D", "/series": "0020000E"}.get(query.partition("?")[0], "00080018")
    return [value(each, tag) for each in response.get_json(force=True)] if response.data else []


AGE = {"path": "PatientAge", "level": "Study"}
PRIVATE = {"path": "12051003", "vr": "SS", "privateCreator": "ACME 1.0", "level": "Instance"}


def private(creator: str | None, number: int, block: int = 0x10) -> list[DataElement]:
    """A private element and, if told, who reserved its block."""
    code = [DataElement((0x1205, block), "LO", creator)] if creator else []
    return [*code, DataElement((0x1205, (block << 8) + 3), "SS", number)]


# --- adding -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["/v1", "/v2", ""])
def test_an_added_tag_is_ready_once_what_is_there_is_indexed(client: FlaskClient, version: str) -> None:
    response = add(client, AGE, PRIVATE, url=f"{version}/extendedquerytags")
    assert response.status_code == 202
    reference = response.json
    href = f"http://localhost{version}/operations/{reference['id']}"
    assert reference == {"id": reference["id"], "href": href}
    assert response.headers["Location"] == href
    path = f"{version}/extendedquerytags/00101010"
    adding = {"path": "00101010", "vr": "AS", "level": "study", "status": "adding", "queryStatus": "enabled"}
    assert client.get(path).json == adding | {"operation": reference}
    under_way = client.get(href)
    assert under_way.status_code == 202
    assert under_way.headers["Retry-After"] == "5"
    assert under_way.headers["Location"] == href
    work(client)
    assert client.get(path).json == adding | {"status": "ready"}
    ended = client.get(href)
    assert ended.status_code == 200
    resources = [f"http://localhost{version}/extendedquerytags/{each}" for each in ("00101010", "12051003")]
    assert ended.json["resources"] == resources
    assert ended.json["percentComplete"] == 100
    assert "results" not in ended.json
    assert ended.json["status"] == ("completed" if version == "/v1" else "succeeded")


REFUSALS: list[tuple[Any, str]] = [
    ([], "The extended query tag(s) is missing."),
    (
        [{"path": "PatientAge"}],
        "The field '[0].Level' in request body is invalid: The Dicom Tag Property Level must be specified and must not "
        "be null, empty or whitespace.",
    ),
    (
        [{"level": "Study"}],
        "The field '[0].Path' in request body is invalid: The Dicom Tag Property Path must be specified and must not "
        "be null, empty or whitespace.",
    ),
    (
        [AGE, {"path": " ", "level": "Study"}],
        "The field '[1].Path' in request body is invalid: The Dicom Tag Property Path must be specified and must not "
        "be null, empty or whitespace.",
    ),
    (
        [{"path": "PatientAge", "level": "Studys"}],
        "The field '$[0].Level' in request body is invalid: Expected value 'Studys' to be one of the following values: "
        "['Instance', 'Series', 'Study']",
    ),
    (
        [{"path": "PatientAge", "level": 1}],
        "The field '$[0].Level' in request body is invalid: Expected value '1' to be one of the following values: "
        "['Instance', 'Series', 'Study']",
    ),
    (
        [{"path": "patientage", "level": "Study"}],
        "The extended query tag 'patientage' is invalid as it cannot be parsed into a valid Dicom Tag.",
    ),
    (
        [{"path": "00400275.00400007", "level": "Series"}],
        "The extended query tag '00400275.00400007' is invalid as it cannot be parsed into a valid Dicom Tag.",
    ),
    ([AGE, AGE], "The extended query tag 'PatientAge' has been specified before."),
    ([AGE, AGE | {"path": "00101010"}], "The extended query tag '00101010' has been specified before."),
    ([{"path": "PatientID", "level": "Instance"}], "The query tag 'PatientID' is already supported."),
    ([{"path": "0020000d", "level": "Study"}], "The query tag '0020000d' is already supported."),
    ([AGE | {"vr": "ZZ"}], "The VR code 'ZZ' for tag 'PatientAge' is invalid."),
    (
        [AGE | {"vr": "LO"}],
        "The VR code 'LO' is incorrectly specified for 'PatientAge'. The expected VR code for it is 'AS'. "
        "Retry this request either with the correct VR code or without specifying it.",
    ),
    (
        [{"path": "PatientWeight", "level": "Study"}],
        "The VR code 'DS' specified for tag 'PatientWeight' is not supported.",
    ),
    (
        [{"path": "PatientComments", "level": "Study"}],
        "The VR code 'LT' specified for tag 'PatientComments' is not supported.",
    ),
    ([PRIVATE | {"vr": "SQ"}], "The VR code 'SQ' specified for tag '12051003' is not supported."),
    ([{"path": "12051003", "level": "Study"}], "The vr for tag '12051003' is missing."),
    ([{"path": "00100099", "level": "Study"}], "The vr for tag '00100099' is missing."),
    ([PRIVATE | {"privateCreator": None}], "The private creator for private tag '12051003' is missing."),
    (
        [PRIVATE | {"privateCreator": "x" * 65}],
        "The private creator for tag '12051003' is not a valid LO attribute.",
    ),
    ([AGE | {"privateCreator": "ACME"}], "The private creator is not empty for standard tag 'PatientAge'."),
    (
        [{"path": "12050010", "level": "Study", "privateCreator": "ACME"}],
        "The private creator is not empty for private identification code '12050010'.",
    ),
]


@pytest.mark.parametrize(("body", "said"), REFUSALS)
def test_one_bad_tag_refuses_the_request(client: FlaskClient, body: Any, said: str) -> None:
    response = client.post(TAGS, json=body)
    assert (response.status_code, response.text) == (400, said)
    assert client.get(TAGS).json == []


@pytest.mark.parametrize("body", ["{}", "null", '"x"', "3", "[3]", "[null]", "[", "[{]}"])
def test_a_body_that_is_no_array_of_objects_is_refused(client: FlaskClient, body: str) -> None:
    response = client.post(TAGS, data=body, content_type="application/json")
    assert (response.status_code, response.text) == (400, "The syntax of the request body is invalid.")


def test_names_are_read_in_any_case_and_comments_are_let_pass(client: FlaskClient) -> None:
    body = b'[{"PATH": "00101010", /* age */ "Level": "sTUDY", "vr": "as",}]'
    response = client.post(TAGS, data=body, content_type="application/json")
    assert response.status_code == 202
    assert entry(client, "PatientAge")["vr"] == "AS"


def test_another_content_type_is_not_taken(client: FlaskClient) -> None:
    response = client.post(TAGS, data=b"[]", content_type="text/plain")
    assert (response.status_code, response.data) == (415, b"")


def test_operations_that_are_switched_off_refuse_first(serve: Serve) -> None:
    client = serve(disable_operations=True)
    response = client.post(TAGS, json=[])
    said = "Asynchronous operations are temporarily disabled. Please try again later."
    assert (response.status_code, response.text) == (400, said)


def test_one_re_index_at_a_time_and_that_is_said_before_the_tags_are_looked_at(client: FlaskClient) -> None:
    first = add(client, AGE).json["id"]
    response = add(client, {"path": "nothing", "level": "Study"})
    said = f"There is already an active re-index operation with ID '{first}'."
    assert (response.status_code, response.text) == (409, said)
    assert response.headers["Location"] == f"http://localhost/v2/operations/{first}"
    shape = client.post(TAGS, json=[{"path": "PatientAge"}])
    assert shape.status_code == 400
    work(client)
    assert add(client, PRIVATE).status_code == 202


def test_a_tag_is_defined_once(client: FlaskClient) -> None:
    added(client, AGE)
    response = add(client, PRIVATE, AGE | {"level": "Instance"})
    assert (response.status_code, response.text) == (409, "One or more extended query tags already exist.")
    assert len(client.get(TAGS).get_json()) == 1


def test_there_are_128_tags_at_most(client: FlaskClient) -> None:
    many = [PRIVATE | {"path": f"1205{0x1000 + i:04X}"} for i in range(128)]
    added(client, *many)
    response = add(client, AGE)
    assert (response.status_code, response.text) == (400, "Extended query tags exceeds max allowed count '128'.")


# --- listing, switching -----------------------------------------------------------------------------------------------


def test_tags_are_listed_oldest_first_in_pages(client: FlaskClient) -> None:
    added(client, *(PRIVATE | {"path": f"1205{0x1000 + i:04X}"} for i in range(5)))
    added(client, AGE)
    paths = [each["path"] for each in client.get(TAGS).json]
    assert paths == [*(f"1205{0x1000 + i:04X}" for i in range(5)), "00101010"]
    assert [each["path"] for each in client.get(f"{TAGS}?limit=2&offset=4").json] == paths[4:]
    assert client.get(f"{TAGS}?offset=6").json == []
    for query, name in (("limit=0", "Limit"), ("limit=201", "Limit"), ("offset=-1", "Offset"), ("limit=x", "Limit")):
        response = client.get(f"{TAGS}?{query}")
        assert response.status_code == 400
        assert response.text.startswith(f"The query parameter '{name}' is invalid.")


@pytest.mark.parametrize("call", ["get", "delete", "patch", "errors"])
def test_unknown_and_unreadable_paths(client: FlaskClient, call: str) -> None:
    def answer(path: str) -> tuple[int, str]:
        tail = "/errors" if call == "errors" else ""
        method = "get" if call == "errors" else call
        body = {"json": {"queryStatus": "enabled"}} if call == "patch" else {}
        response = getattr(client, method)(f"{TAGS}/{path}{tail}", **body)
        return response.status_code, response.text

    gone = "The specified extended query tag with tag path {} cannot be found."
    bad = "The extended query tag '{}' is invalid as it cannot be parsed into a valid Dicom Tag."
    assert answer("PatientAge") == (404, gone.format("PatientAge"))
    assert answer("00101010") == (404, gone.format("00101010"))
    assert answer("nonsense") == (400, bad.format("nonsense"))
    assert answer("0010101") == (400, bad.format("0010101"))


def test_a_tag_is_switched_off_and_on(client: FlaskClient, clinic: PartitionClient) -> None:
    added(client, AGE)
    disabled = client.patch(f"{TAGS}/PatientAge", json={"queryStatus": "Disabled"})
    assert disabled.status_code == 200
    assert disabled.json == entry(client, "00101010")
    assert disabled.json["queryStatus"] == "disabled"
    clinic.stored(make_instance())
    response = clinic.get("/studies?00101010=030Y")
    said = "Query is disabled on specified attribute '00101010'."
    assert (response.status_code, response.text) == (400, said)
    assert client.patch(f"{TAGS}/00101010", json={"QUERYSTATUS": "enabled"}).json["queryStatus"] == "enabled"
    assert clinic.get("/studies?PatientAge=030Y").status_code == 204


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"queryStatus": "Enabled", "level": "Study"}, 'The field is not supported: "level".'),
        ({}, "The field 'QueryStatus' in request body is invalid: The QueryStatus field is required."),
        (
            {"queryStatus": "on"},
            "The field '$.QueryStatus' in request body is invalid: Expected value 'on' to be one of the following "
            "values: ['Disabled', 'Enabled']",
        ),
        ([], "The syntax of the request body is invalid."),
    ],
)
def test_what_cannot_be_patched(client: FlaskClient, body: Any, said: str) -> None:
    added(client, AGE)
    response = client.patch(f"{TAGS}/PatientAge", json=body)
    assert (response.status_code, response.text) == (400, said)


# --- searching --------------------------------------------------------------------------------------------------------


def test_a_tag_is_not_queryable_before_it_is_ready(client: FlaskClient, clinic: PartitionClient) -> None:
    add(client, AGE)
    clinic.stored(make_instance())
    response = clinic.get("/studies?PatientAge=030Y")
    assert response.status_code == 400
    assert response.text.startswith("Invalid query: AttributeId PatientAge is not queryable.  If the parameter")
    work(client)
    assert clinic.get("/studies?PatientAge=030Y").status_code == 204


@pytest.mark.parametrize("when", ["before", "after"])
def test_tags_of_each_level_find_their_objects_and_what_is_below(
    client: FlaskClient, clinic: PartitionClient, when: str
) -> None:
    tags = (
        AGE,
        {"path": "BodyPartExamined", "level": "Series"},
        {"path": "InstanceNumber", "level": "Instance"},
    )
    if when == "before":
        added(client, *tags)
    study, series, instance = uid(), uid(), uid()
    there = {"PatientAge": "030Y", "BodyPartExamined": "KNEE", "InstanceNumber": "7"}
    clinic.stored(
        make_instance(study=study, series=series, instance=instance, **there),
        make_instance(PatientAge="031Y", BodyPartExamined="HEAD", InstanceNumber="8"),
    )
    PartitionClient(client, "/v2/partitions/other").stored(make_instance(**there))
    if when == "after":
        added(client, *tags)
    assert found(clinic, "/studies?PatientAge=030Y") == [study]
    assert found(clinic, "/series?PatientAge=030Y") == [series]
    assert found(clinic, "/instances?PatientAge=030Y") == [instance]
    assert found(clinic, "/series?BodyPartExamined=knee") == [series]
    assert found(clinic, "/instances?BodyPartExamined=KNEE&PatientAge=030Y") == [instance]
    assert found(clinic, "/instances?InstanceNumber=0007") == [instance]
    assert found(clinic, "/instances?InstanceNumber=8&PatientAge=030Y") == []
    assert found(clinic, f"/studies/{study}/instances?InstanceNumber=7") == [instance]
    for query in (
        "/studies?BodyPartExamined=KNEE",
        "/series?InstanceNumber=7",
        f"/studies/{study}/series?PatientAge=1",
    ):
        assert "is not queryable" in clinic.get(query).text
    row = clinic.get("/studies?PatientAge=030Y").get_json(force=True)[0]
    assert row["00101010"] == {"vr": "AS", "Value": ["030Y"]}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("keyword", "stored", "query", "matches"),
    [
        ("AcquisitionDate", "20240115", "20240101-20240131", True),
        ("AcquisitionDate", "20240115", "-20231231", False),
        ("AcquisitionTime", "101500.5", "10-11", True),
        ("AcquisitionTime", "000000", "000000", True),
        ("AcquisitionDateTime", "20240115101500.000000+0200", "20240115101500", True),
        ("AcquisitionDateTime", "20240115101500", "2024-20241231", True),
        ("OperatorsName", "Dö^Jané Ann", "do jan", True),
        ("OperatorsName", "Dö^Jané Ann", "ne", False),
        ("InstanceNumber", "0", "0", True),
        ("InstanceNumber", "-3", "-0003", True),
        ("SamplesPerPixel", 3, "3.0", True),
        ("SelectorFDValue", 2.5, "2.50", True),
        ("SelectorFLValue", 2.5, "3", False),
        ("SelectorSLValue", -70000, "-70000", True),
        ("SelectorULValue", 4000000000, "4000000000", True),
        ("SelectorSSValue", -7, "-7", True),
        ("StationAETitle", "CT1", "ct1", True),
        ("InstitutionName", "Kantonsspital Zürich", "KANTONSSPITAL ZÜRICH", True),
        ("InstitutionName", "Kantonsspital", "Kanton", False),
        ("InstitutionName", "Kantonsspital", "Kanton*", True),
        ("FrameOfReferenceUID", "2.25.9", "2.25.9", True),
        ("PatientAge", "030Y", "030Y", True),
        ("StudyID", "17", "17", True),
        ("BodyPartExamined", "KNEE", "KNEE", True),
    ],
)
def test_values_match_by_their_vr(
    client: FlaskClient, clinic: PartitionClient, when: str, keyword: str, stored: Any, query: str, matches: bool
) -> None:
    tag = {"path": keyword, "level": "Instance"}
    if when == "before":
        added(client, tag)
    instance = uid()
    clinic.stored(make_instance(instance=instance, SpecificCharacterSet="ISO_IR 192", **{keyword: stored}))
    if when == "after":
        added(client, tag)
    fuzzy = "&fuzzymatching=true" if keyword == "OperatorsName" else ""
    assert found(clinic, f"/instances?{keyword}={quote(query)}{fuzzy}") == ([instance] if matches else [])


def test_a_value_that_is_none_of_its_vr_cannot_be_asked_for(client: FlaskClient, clinic: PartitionClient) -> None:
    added(client, {"path": "InstanceNumber", "level": "Instance"}, {"path": "AcquisitionDate", "level": "Series"})
    for query in ("InstanceNumber=x", "AcquisitionDate=2024", "AcquisitionDate=-", "InstanceNumber="):
        assert clinic.get(f"/instances?{query}").status_code == 400


@pytest.mark.parametrize("when", ["before", "after"])
def test_of_a_private_attribute_only_its_creators_value_counts(
    client: FlaskClient, clinic: PartitionClient, when: str
) -> None:
    if when == "before":
        added(client, PRIVATE)
    own, other, nobody = uid(), uid(), uid()
    clinic.stored(
        make_instance(instance=own, extra=private("ACME 1.0", 5)),
        make_instance(instance=other, extra=private("OTHER", 5)),
        make_instance(instance=nobody, extra=private(None, 5)),
    )
    if when == "after":
        added(client, PRIVATE)
    assert found(clinic, "/instances?12051003=5") == [own]
    assert entry(client, "12051003")["privateCreator"] == "ACME 1.0"
    assert "errors" not in entry(client, "12051003")


def test_an_unknown_standard_tag_is_searched_by_its_number(client: FlaskClient, clinic: PartitionClient) -> None:
    added(client, {"path": "00100099", "vr": "LO", "level": "Study"})
    study = uid()
    clinic.stored(make_instance(study=study, extra=[DataElement(0x00100099, "LO", "x")]))
    assert found(clinic, "/studies?00100099=x") == [study]


# --- what is indexed --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
def test_only_the_first_value_is_indexed(client: FlaskClient, strict: PartitionClient, when: str) -> None:
    tag = {"path": "OtherPatientIDs", "level": "Study"}
    if when == "before":
        added(client, tag)
    study = uid()
    response = strict.store(make_instance(study=study, OtherPatientIDs=["A", "B"]))
    assert response.status_code == 200
    assert ("Warning" in response.headers) == (when == "before")
    if when == "after":
        added(client, tag)
    assert found(strict, "/studies?OtherPatientIDs=A") == [study]
    assert found(strict, "/studies?OtherPatientIDs=B") == []


@pytest.mark.parametrize("when", ["before", "after"])
def test_missing_and_null_values_are_not_indexed(client: FlaskClient, clinic: PartitionClient, when: str) -> None:
    tags = [{"path": each, "level": "Instance"} for each in ("InstanceNumber", "SelectorSLValue", "AcquisitionDate")]
    if when == "before":
        added(client, *tags)
    clinic.stored(make_instance(InstanceNumber=None), make_instance(InstanceNumber="", AcquisitionDate=""))
    if when == "after":
        added(client, *tags)
    assert found(clinic, "/instances?InstanceNumber=0") == []
    assert found(clinic, "/instances?SelectorSLValue=0") == []
    assert found(clinic, "/instances?AcquisitionDate=-99991231") == []


@pytest.mark.parametrize("when", ["before", "after"])
def test_of_a_study_the_newest_instance_that_has_a_value_gives_it(
    client: FlaskClient, clinic: PartitionClient, when: str
) -> None:
    if when == "before":
        added(client, AGE)
    study = uid()
    for age in ("010Y", "020Y", "030Y", None):
        clinic.stored(make_instance(study=study, PatientAge=age))
    if when == "after":
        added(client, AGE)
    assert found(clinic, "/studies?PatientAge=030Y") == [study]
    assert found(clinic, "/studies?PatientAge=020Y") == []
    clinic.stored(make_instance(study=study, PatientAge="040Y"))
    assert found(clinic, "/studies?PatientAge=040Y") == [study]
    assert found(clinic, "/studies?PatientAge=030Y") == []


def test_a_bad_value_refuses_a_store_in_v1_and_is_left_out_in_v2(
    client: FlaskClient, clinic: PartitionClient, strict: PartitionClient
) -> None:
    added(client, AGE, PRIVATE)
    bad = make_instance(PatientAge="3Y")
    refused = strict.store(bad)
    assert refused.status_code == 409
    assert "(0010,1010)" in refused.text
    warned = clinic.store(bad)
    assert warned.status_code == 202
    assert "(0010,1010)" in warned.text
    other_vr = make_instance(extra=[DataElement((0x1205, 0x10), "LO", "ACME 1.0"), DataElement(0x12051003, "LO", "5")])
    assert strict.store(other_vr).status_code == 409
    assert clinic.store(other_vr).status_code == 200
    assert found(clinic, "/instances?12051003=5") == []
    assert "errors" not in entry(client, "12051003")
    assert strict.store(make_instance(extra=[DataElement(0x12051003, "LO", "5")])).status_code == 200


# --- errors -----------------------------------------------------------------------------------------------------------


def test_a_re_index_that_meets_bad_values_disables_the_tag_and_lists_them(
    client: FlaskClient, clinic: PartitionClient, strict: PartitionClient
) -> None:
    other = PartitionClient(client, "/v1/partitions/other")
    study, bad = uid(), [uid() for _ in range(3)]
    for instance in bad[:2]:
        assert strict.store(make_instance(study=study, instance=instance, PatientAge="3Y")).status_code == 200
    assert other.store(make_instance(study=study, instance=bad[2], PatientAge="3Y")).status_code == 200
    good = uid()
    clinic.stored(make_instance(study=good, PatientAge="030Y", BodyPartExamined="KNEE"))
    added(client, AGE, {"path": "BodyPartExamined", "level": "Series"})
    tag = entry(client, "PatientAge")
    href = "http://localhost/v2/extendedquerytags/00101010/errors"
    assert tag["errors"] == {"count": 3, "href": href}
    assert (tag["status"], tag["queryStatus"]) == ("ready", "disabled")
    assert entry(client, "BodyPartExamined")["queryStatus"] == "enabled"
    errors = client.get(href).json
    assert [each["sopInstanceUid"] for each in errors] == bad[::-1]
    assert [each["partitionName"] for each in errors] == ["other", "clinic-a", "clinic-a"]
    assert {each["errorMessage"] for each in errors} == {"Value length is not expected."}
    assert all(each["createdTime"].endswith("Z") and each["studyInstanceUid"] == study for each in errors)
    assert [each["sopInstanceUid"] for each in client.get(f"{href}?offset=1&limit=1").json] == [bad[1]]
    assert clinic.get("/studies?PatientAge=030Y").status_code == 400

    client.patch(f"{TAGS}/PatientAge", json={"queryStatus": "Enabled"})
    response = clinic.get("/series?BodyPartExamined=KNEE&PatientAge=030Y")
    assert response.status_code == 200
    assert response.headers["erroneous-dicom-attributes"] == "PatientAge"
    assert "erroneous-dicom-attributes" not in clinic.get("/series?BodyPartExamined=KNEE").headers

    assert clinic.delete(f"/studies/{study}").status_code == 204
    assert entry(client, "PatientAge")["errors"]["count"] == 1
    assert [each["partitionName"] for each in client.get(href).json] == ["other"]
    PartitionClient(client, "/v2/partitions/other").delete(f"/studies/{study}")
    assert "errors" not in entry(client, "PatientAge")
    assert client.get(href).json == []
    assert "erroneous-dicom-attributes" not in clinic.get("/studies?PatientAge=030Y").headers


@pytest.mark.parametrize(
    ("tag", "values", "said"),
    [
        ({"path": "PatientAge"}, {"PatientAge": "3Y"}, "Value length is not expected."),
        ({"path": "StudyID"}, {"StudyID": "x" * 17}, "Value length exceeds maximum length."),
        ({"path": "InstitutionName"}, {"InstitutionName": "a\x07b"}, "Value contains invalid character."),
        ({"path": "AcquisitionDate"}, {"AcquisitionDate": "20241301"}, "Value cannot be parsed as a valid date."),
        ({"path": "AcquisitionTime"}, {"AcquisitionTime": "2500"}, "Value cannot be parsed as a valid Time."),
        (
            {"path": "AcquisitionDateTime"},
            {"AcquisitionDateTime": "2024x"},
            "Value cannot be parsed as a valid DateTime.",
        ),
        ({"path": "InstanceNumber"}, {"InstanceNumber": "1x"}, "Value cannot be parsed as a valid integer string."),
        ({"path": "OperatorsName"}, {"OperatorsName": "a^b^c^d^e^f"}, "Value contains more than 5 components."),
        (PRIVATE, {"extra": private("ACME 1.0", 5)}, None),
        (PRIVATE | {"vr": "US"}, {"extra": private("ACME 1.0", 5)}, "The extended query tag VR is not expected."),
        (PRIVATE | {"vr": "US"}, {"extra": private("OTHER", 5)}, None),
    ],
)
def test_what_errors_say(
    client: FlaskClient, strict: PartitionClient, tag: dict[str, Any], values: dict[str, Any], said: str | None
) -> None:
    response = strict.store(make_instance(**values))
    assert response.status_code == 200, response.text
    added(client, {"level": "Instance"} | tag)
    errors = client.get(f"{TAGS}/{tag['path']}/errors").json
    assert [each["errorMessage"] for each in errors] == ([said] if said else [])


# --- deleting ---------------------------------------------------------------------------------------------------------


def filed(client: FlaskClient, tag: str) -> int:
    """How many entries lie under a tag in the first two partitions, whatever the number it was added under."""
    services: Services = client.application.extensions["bulkhead"]
    table = services.query_tags._tags._table
    pks = [f"{p}/value/{level}/{tag}#{n}" for p in (1, 2) for level in ("study", "instance") for n in range(1, 20)]
    pks += [f"{p}/word/study/{tag}#{n}/{b:02d}" for p in (1, 2) for n in range(1, 9) for b in range(32)]
    pks += [f"querytags/{tag}#{n}/errors" for n in range(1, 20)]
    return sum(table.count(pk) for pk in pks)


def test_a_deleted_tag_is_gone_at_once_and_its_entries_soon(
    client: FlaskClient, clinic: PartitionClient, strict: PartitionClient
) -> None:
    name = {"path": "OperatorsName", "level": "Study"}
    strict.store(make_instance(OperatorsName="a^b^c^d^e^f"))
    clinic.stored(*(make_instance(OperatorsName=f"Doe^Jane{i}") for i in range(4)))
    added(client, name, AGE)
    assert filed(client, "00081070") > 8
    assert client.delete(f"{TAGS}/OperatorsName").status_code == 204
    assert client.get(f"{TAGS}/OperatorsName").status_code == 404
    assert client.delete(f"{TAGS}/OperatorsName").status_code == 404
    assert "is not queryable" in clinic.get("/studies?OperatorsName=x").text
    assert [each["path"] for each in client.get(TAGS).json] == ["00101010"]
    work(client)
    assert filed(client, "00081070") == 0


def test_a_tag_added_again_knows_nothing_of_what_it_was(client: FlaskClient, clinic: PartitionClient) -> None:
    study, instance = uid(), uid()
    clinic.stored(make_instance(study=study, instance=instance, extra=private("ACME 1.0", 5)))
    added(client, PRIVATE | {"level": "Study"})
    assert found(clinic, "/studies?12051003=5") == [study]
    client.delete(f"{TAGS}/12051003")
    assert add(client, PRIVATE | {"privateCreator": "OTHER", "level": "Study"}).status_code == 202
    work(client)
    assert found(clinic, "/studies?12051003=5") == []
    client.delete(f"{TAGS}/12051003")
    work(client)
    added(client, PRIVATE)
    assert found(clinic, "/instances?12051003=5") == [instance]
    clinic.delete(f"/studies/{study}")
    client.delete(f"{TAGS}/12051003")
    work(client)
    assert filed(client, "12051003") == 0


def test_a_tag_deleted_while_it_is_added_leaves_the_others_to_become_ready(
    client: FlaskClient, clinic: PartitionClient
) -> None:
    clinic.stored(make_instance(PatientAge="030Y", InstanceNumber="3"))
    operation = add(client, AGE, {"path": "InstanceNumber", "level": "Instance"}).json["id"]
    assert client.delete(f"{TAGS}/PatientAge").status_code == 204
    assert add(client, AGE).status_code == 409
    work(client)
    assert client.get(f"/v2/operations/{operation}").json["status"] == "succeeded"
    assert [(each["path"], each["status"]) for each in client.get(TAGS).json] == [("00200013", "ready")]
    assert filed(client, "00101010") == 0
    assert filed(client, "00200013") == 1
    added(client, AGE)


def test_the_removal_of_a_tag_is_the_services_own_affair(client: FlaskClient) -> None:
    added(client, AGE)
    client.delete(f"{TAGS}/PatientAge")
    services: Services = client.application.extensions["bulkhead"]
    table = services.query_tags._tags._table
    (operation,) = [item.key.sk for item in table.query("operations/open")]
    assert client.get(f"/v2/operations/{operation}").status_code == 404
    work(client)
    assert table.get(Key(f"operation/{operation}", "operation")).fields["status"] == "succeeded"
