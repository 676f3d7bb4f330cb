"""Extended query tags over HTTP: add, list, enable and disable (conformance §8.2, §8.3, §8.7)."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.conftest import Serve
from tests.support.background import work
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance
from tests.support.query_tags import (
    AGE,
    PRIVATE,
    TAGS,
    add_and_index,
    get_tag,
    post_tags,
)

# --- add --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["/v1", "/v2", ""])
def test_added_tag_is_ready_after_the_re_index(client: FlaskClient, version: str) -> None:
    response = post_tags(client, AGE, PRIVATE, url=f"{version}/extendedquerytags")
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


@pytest.mark.parametrize(("body", "text"), REFUSALS)
def test_one_invalid_tag_refuses_the_request(client: FlaskClient, body: Any, text: str) -> None:
    response = client.post(TAGS, json=body)
    assert (response.status_code, response.text) == (400, text)
    assert client.get(TAGS).json == []


@pytest.mark.parametrize("body", ["{}", "null", '"x"', "3", "[3]", "[null]", "[", "[{]}"])
def test_body_must_be_an_array_of_objects(client: FlaskClient, body: str) -> None:
    response = client.post(TAGS, data=body, content_type="application/json")
    assert (response.status_code, response.text) == (400, "The syntax of the request body is invalid.")


def test_names_in_any_case_and_comments_are_accepted(client: FlaskClient) -> None:
    body = b'[{"PATH": "00101010", /* age */ "Level": "sTUDY", "vr": "as",}]'
    response = client.post(TAGS, data=body, content_type="application/json")
    assert response.status_code == 202
    assert get_tag(client, "PatientAge")["vr"] == "AS"


def test_other_content_type_is_415(client: FlaskClient) -> None:
    response = client.post(TAGS, data=b"[]", content_type="text/plain")
    assert (response.status_code, response.data) == (415, b"")


def test_disabled_operations_are_refused_before_the_body_is_read(serve: Serve) -> None:
    client = serve(disable_operations=True)
    response = client.post(TAGS, json=[])
    text = "Asynchronous operations are temporarily disabled. Please try again later."
    assert (response.status_code, response.text) == (400, text)


def test_running_re_index_is_refused_before_the_tags_are_checked(client: FlaskClient) -> None:
    first = post_tags(client, AGE).json["id"]
    response = post_tags(client, {"path": "nothing", "level": "Study"})
    text = f"There is already an active re-index operation with ID '{first}'."
    assert (response.status_code, response.text) == (409, text)
    assert response.headers["Location"] == f"http://localhost/v2/operations/{first}"
    shape = client.post(TAGS, json=[{"path": "PatientAge"}])
    assert shape.status_code == 400
    work(client)
    assert post_tags(client, PRIVATE).status_code == 202


def test_tag_is_defined_once(client: FlaskClient) -> None:
    add_and_index(client, AGE)
    response = post_tags(client, PRIVATE, AGE | {"level": "Instance"})
    assert (response.status_code, response.text) == (409, "One or more extended query tags already exist.")
    assert len(client.get(TAGS).get_json()) == 1


def test_at_most_128_tags(client: FlaskClient) -> None:
    many = [PRIVATE | {"path": f"1205{0x1000 + i:04X}"} for i in range(128)]
    add_and_index(client, *many)
    response = post_tags(client, AGE)
    assert (response.status_code, response.text) == (400, "Extended query tags exceeds max allowed count '128'.")


# --- list, enable and disable -----------------------------------------------------------------------------------------


def test_list_is_oldest_first_and_in_pages(client: FlaskClient) -> None:
    add_and_index(client, *(PRIVATE | {"path": f"1205{0x1000 + i:04X}"} for i in range(5)))
    add_and_index(client, AGE)
    paths = [each["path"] for each in client.get(TAGS).json]
    assert paths == [*(f"1205{0x1000 + i:04X}" for i in range(5)), "00101010"]
    assert [each["path"] for each in client.get(f"{TAGS}?limit=2&offset=4").json] == paths[4:]
    assert client.get(f"{TAGS}?offset=6").json == []
    for query, name in (("limit=0", "Limit"), ("limit=201", "Limit"), ("offset=-1", "Offset"), ("limit=x", "Limit")):
        response = client.get(f"{TAGS}?{query}")
        assert response.status_code == 400
        assert response.text.startswith(f"The query parameter '{name}' is invalid.")


@pytest.mark.parametrize("call", ["get", "delete", "patch", "errors"])
def test_unknown_and_invalid_paths(client: FlaskClient, call: str) -> None:
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


def test_tag_is_disabled_and_enabled(client: FlaskClient, clinic: PartitionClient) -> None:
    add_and_index(client, AGE)
    disabled = client.patch(f"{TAGS}/PatientAge", json={"queryStatus": "Disabled"})
    assert disabled.status_code == 200
    assert disabled.json == get_tag(client, "00101010")
    assert disabled.json["queryStatus"] == "disabled"
    clinic.stored(make_instance())
    response = clinic.get("/studies?00101010=030Y")
    text = "Query is disabled on specified attribute '00101010'."
    assert (response.status_code, response.text) == (400, text)
    assert client.patch(f"{TAGS}/00101010", json={"QUERYSTATUS": "enabled"}).json["queryStatus"] == "enabled"
    assert clinic.get("/studies?PatientAge=030Y").status_code == 204


@pytest.mark.parametrize(
    ("body", "text"),
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
def test_invalid_patch_is_400(client: FlaskClient, body: Any, text: str) -> None:
    add_and_index(client, AGE)
    response = client.patch(f"{TAGS}/PatientAge", json=body)
    assert (response.status_code, response.text) == (400, text)
