"""Paging of searches by the URL in the header `Link` (conformance §5.6, RFC 8288)."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import bootstrap, create_app
from app.settings import Settings
from tests.conftest import Serve
from tests.support.dicomweb import PartitionClient, value
from tests.support.instances import make_instance
from tests.support.workitems import workitem

STUDIES = [f"2.25.{number}" for number in range(1, 6)]
NEWEST_FIRST = STUDIES[::-1]
embedded = pytest.mark.parametrize("settings", ["embedded"], indirect=True)
TAGS = {"study": "0020000D", "series": "0020000E", "instance": "00080018"}


def store(clinic: PartitionClient, study: str, **attributes: Any) -> None:
    uids = {"study": study, "series": f"{study}.1", "instance": f"{study}.1.1"}
    clinic.stored(make_instance(pixel=False, patient_id="P1", **{**uids, **attributes}))


def fill(clinic: PartitionClient) -> PartitionClient:
    for study in STUDIES:
        store(clinic, study)
    return clinic


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> PartitionClient:
    """A client of an archive that no test changes."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("filled"), log_level="error")
    bootstrap.initialise(settings)
    clinic = fill(PartitionClient(create_app(settings).test_client()))
    store(PartitionClient(clinic.client, "/v2/partitions/clinic-b"), "2.25.1")
    return clinic


def next_page(answer: TestResponse) -> str:
    """Return the path and query of the next page, "" if the answer names none."""
    header = answer.headers.get("Link", "")
    assert ("Warning" in answer.headers) == bool(header)
    if not header:
        return ""
    url, rel = header.split("; ")
    assert (url[0], url[-1], rel) == ("<", ">", 'rel="next"')
    parts = urlsplit(url[1:-1])
    assert parts.netloc == "localhost"
    return f"{parts.path}?{parts.query}"


def pages(client: FlaskClient, url: str, tag: str) -> list[list[str]]:
    """Return the UIDs of each page, from this URL on."""
    found = []
    while url:
        answer = client.get(url, headers={"Accept": "application/dicom+json"})
        assert answer.status_code in (200, 204), answer.text
        found.append([value(row, tag) for row in answer.get_json(force=True)] if answer.data else [])
        url = next_page(answer)
    return found


@pytest.mark.parametrize("version", ["/v1", "/v2"])
@pytest.mark.parametrize(("path", "level"), [("/studies", "study"), ("/series", "series"), ("/instances", "instance")])
@pytest.mark.parametrize("query", ["", "PatientID=P1&", "StudyDate=20200101-&", "PatientName=*o*&", "00200010=&"])
def test_the_links_lead_through_all_matches(
    filled: PartitionClient, version: str, path: str, level: str, query: str
) -> None:
    found = pages(filled.client, f"{version}/partitions/clinic-a{path}?{query}limit=2", TAGS[level])
    ending = {"study": "", "series": ".1", "instance": ".1.1"}[level]
    expected = [f"{study}{ending}" for study in NEWEST_FIRST]
    assert found == [expected[:2], expected[2:4], expected[4:]]


def test_the_links_lead_through_a_study(clinic: PartitionClient) -> None:
    expected: list[str] = []
    for number in range(5):
        store(clinic, "2.25.1", series=f"2.25.1.{number % 2}", instance=f"2.25.9.{number}")
        expected.insert(0, f"2.25.9.{number}")
    base = "/v2/partitions/clinic-a/studies/2.25.1"
    assert pages(clinic.client, f"{base}/instances?limit=2", TAGS["instance"]) == [
        expected[:2],
        expected[2:4],
        expected[4:],
    ]
    assert pages(clinic.client, f"{base}/series/2.25.1.0/instances?limit=2", TAGS["instance"]) == [
        ["2.25.9.4", "2.25.9.2"],
        ["2.25.9.0"],
    ]
    assert pages(clinic.client, f"{base}/series?limit=1", TAGS["series"]) == [["2.25.1.1"], ["2.25.1.0"]]


@embedded
def test_what_is_stored_or_deleted_meanwhile_does_not_move_the_pages(clinic: PartitionClient) -> None:
    first = fill(clinic).get("/studies?limit=2")
    store(clinic, "2.25.6")
    clinic.delete("/studies/2.25.4")
    assert pages(clinic.client, next_page(first), TAGS["study"]) == [["2.25.3", "2.25.2"], ["2.25.1"]]


def test_the_link_keeps_the_parameters_but_the_offset(filled: PartitionClient) -> None:
    answer = filled.get("/studies?Offset=1&includefield=00080061&limit=1&StudyDescription=*&fuzzymatching=true")
    query = parse_qs(urlsplit(next_page(answer)).query, keep_blank_values=True)
    assert query.pop("cursor")
    assert query == {
        "includefield": ["00080061"],
        "limit": ["1"],
        "StudyDescription": ["*"],
        "fuzzymatching": ["true"],
    }
    assert [value(row, TAGS["study"]) for row in answer.get_json(force=True)] == ["2.25.4"]
    assert pages(filled.client, next_page(answer), TAGS["study"]) == [["2.25.3"], ["2.25.2"], ["2.25.1"]]


def test_a_cursor_is_valid_with_another_limit_and_other_fields(filled: PartitionClient) -> None:
    cursor = parse_qs(urlsplit(next_page(filled.get("/studies?limit=2&PatientID=P1"))).query)["cursor"][0]
    answer = filled.get(f"/studies?00100020=P1&cursor={cursor}&includefield=all")
    assert [value(row, TAGS["study"]) for row in answer.get_json(force=True)] == ["2.25.3", "2.25.2", "2.25.1"]


@pytest.mark.parametrize(
    "path",
    [
        "/v2/partitions/clinic-a/studies?PatientID=P2&cursor={}",
        "/v2/partitions/clinic-a/studies?cursor={}",
        "/v2/partitions/clinic-a/studies?PatientID=P1&StudyDate=20240101&cursor={}",
        "/v2/partitions/clinic-a/studies?PatientID=P1&fuzzymatching=true&cursor={}",
        "/v2/partitions/clinic-a/series?PatientID=P1&cursor={}",
        "/v2/partitions/clinic-b/studies?PatientID=P1&cursor={}",
    ],
)
def test_a_cursor_of_another_search_is_refused(filled: PartitionClient, path: str) -> None:
    cursor = parse_qs(urlsplit(next_page(filled.get("/studies?limit=2&PatientID=P1"))).query)["cursor"][0]
    answer = filled.client.get(path.format(cursor))
    assert answer.status_code == 400
    assert answer.text == (
        f"The query parameter 'Cursor' is invalid. The cursor '{cursor}' belongs to another search. "
        "Use it with the same partition, path and filters."
    )


@pytest.mark.parametrize("cursor", ["", "x", "A" * 19, "A" * 21, "A" * 19 + "=", "ä" * 20, "A" * 5000])
def test_a_text_that_is_no_cursor_is_refused(filled: PartitionClient, cursor: str) -> None:
    answer = filled.client.get("/v2/partitions/clinic-a/studies", query_string={"cursor": cursor})
    assert (answer.status_code, answer.text) == (
        400,
        f"The query parameter 'Cursor' is invalid. The value '{cursor[:64]}' is not valid for Cursor.",
    )


@embedded
def test_the_highest_offset(serve: Serve) -> None:
    clinic = PartitionClient(serve(max_offset=3))
    fill(clinic)
    assert len(clinic.get("/studies?offset=3").get_json(force=True)) == 2
    answer = clinic.get("/studies?offset=4")
    assert (answer.status_code, answer.text) == (
        400,
        "The query parameter 'Offset' is invalid. The field Offset must be between 0 and 3. Use the cursor for pages "
        "beyond it: each page has the URL of the next page in the header Link.",
    )
    assert pages(clinic.client, "/v2/partitions/clinic-a/studies?limit=1", TAGS["study"])[4] == ["2.25.1"]
    cursor = parse_qs(urlsplit(next_page(clinic.get("/studies?limit=1"))).query)["cursor"][0]
    both = clinic.get(f"/studies?offset=1&cursor={cursor}")
    assert (both.status_code, both.text) == (
        400,
        "The query parameter 'Offset' is invalid. A query has either an Offset or a Cursor.",
    )


@embedded
def test_the_links_of_a_worklist(serve: Serve) -> None:
    clinic = PartitionClient(serve(max_offset=1))
    for number in range(1, 6):
        added = clinic.client.post(
            f"{clinic.prefix}/workitems?2.25.{number}",
            json=[workitem()],
            content_type="application/dicom+json",
            headers={"Accept": "application/dicom+json"},
        )
        assert added.status_code == 201
    for query in ("", "ProcedureStepState=SCHEDULED&", "ScheduledProcedureStepStartDateTime=2020-&"):
        assert pages(clinic.client, f"{clinic.prefix}/workitems?{query}limit=2", TAGS["instance"]) == [
            ["2.25.5", "2.25.4"],
            ["2.25.3", "2.25.2"],
            ["2.25.1"],
        ]
    answer = clinic.get("/workitems?offset=2", "application/dicom+json")
    assert answer.status_code == 400
    assert "Use the cursor" in answer.text


@embedded
def test_a_script_of_another_origin_may_read_the_link(serve: Serve) -> None:
    answer = serve(cors_origins=("https://viewer.example",)).get(
        "/v2/studies", headers={"Origin": "https://viewer.example"}
    )
    assert "Link" in answer.headers["Access-Control-Expose-Headers"].split(", ")


def test_the_url_of_the_next_page_is_not_longer_because_of_wildcards(filled: PartitionClient) -> None:
    pattern = "*" * 2000 + "n" + "*" * 2000
    url = next_page(filled.get(f"/studies?limit=1&PatientName={pattern}&includefield=00100010%2C00100020"))
    assert f"PatientName={pattern}&includefield=00100010%2C00100020&" in url
    assert filled.client.get(url).status_code == 200
