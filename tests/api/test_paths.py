"""Paths in other spellings: letter case, versions, a slash too many (conformance §1.1)."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.support.dicomweb import PartitionClient, items, value
from tests.support.instances import make_instance

pytestmark = pytest.mark.parametrize("settings", ["embedded"], indirect=True)  # the engines do not see paths

STUDY, SERIES, INSTANCE = "2.25.1", "2.25.2", "2.25.3"


@pytest.fixture
def stored(client: FlaskClient) -> FlaskClient:
    """One instance in the partition Clinic-A."""
    PartitionClient(client, "/v2/partitions/Clinic-A").stored(
        make_instance(study=STUDY, series=SERIES, instance=INSTANCE)
    )
    return client


def raw(client: FlaskClient, path: str, method: str = "GET") -> TestResponse:
    """Send the path unchanged. The client takes what follows a double slash at the start for a host."""
    return client.open(method=method, environ_overrides={"PATH_INFO": path})


@pytest.mark.parametrize(
    "path",
    [
        "/V2/Partitions",
        "/v2/PARTITIONS",
        "/PARTITIONS",
        "/Health/Check",
        "/HEALTH/CHECK",
        "/Health/Live",
        "/health/READY",
        "/v2/ChangeFeed",
        "/V1/CHANGEFEED/LATEST",
        "/v2/ExtendedQueryTags",
        "/V2/PARTITIONS/Clinic-A/Studies",
        "/V2/PARTITIONS/clinic-a/STUDIES",
        f"/v2/partitions/Clinic-A/Studies/{STUDY}/METADATA",
        f"/v2/Partitions/Clinic-A/studies/{STUDY}/Series/{SERIES}/Instances/{INSTANCE}/MetaData",
    ],
)
def test_literal_segments_match_in_any_letter_case(stored: FlaskClient, path: str) -> None:
    assert stored.get(path).status_code == 200


@pytest.mark.parametrize("segment", ["$bulkUpdate", "$bulkupdate", "$BULKUPDATE", "%24bulkupdate"])
def test_the_bulk_update_matches_in_any_letter_case(stored: FlaskClient, segment: str) -> None:
    body = {
        "studyInstanceUids": [STUDY],
        "changeDataset": {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "New^Name"}]}},
    }
    path = f"partitions/Clinic-A/studies/{segment}"
    assert stored.post(f"/v1/{path}", json=body).status_code == 404
    assert stored.post(f"/v2/{path}", json=body).status_code == 202


@pytest.mark.parametrize(
    "version",
    ["v1", "v1.0", "V1", "V1.0", "v2", "v2.0", "V2.0", "v1.0-prerelease", "v1-prerelease", "V1-PreRelease"],
)
def test_every_spelling_of_a_version(stored: FlaskClient, version: str) -> None:
    response = stored.get(f"/{version}/partitions")
    assert response.status_code == 200
    assert response.headers["api-supported-versions"] == "v1, v2"


@pytest.mark.parametrize(
    "path", ["/v1.1/studies", "/v2.0.0/studies", "/v2-prerelease/studies", "/V3/Studies", "/v02/x"]
)
def test_another_version_is_not_supported(stored: FlaskClient, path: str) -> None:
    response = stored.get(path)
    assert (response.status_code, response.get_json()["error"]["code"]) == (400, "UnsupportedApiVersion")
    assert f"'http://localhost{path}'" in response.get_json()["error"]["message"]


@pytest.mark.parametrize(
    ("prefix", "canonical"),
    [
        ("/V2/PARTITIONS/clinic-b", "/v2/partitions/clinic-b"),
        ("/v2.0/partitions/Clinic-B", "/v2/partitions/Clinic-B"),
        ("/V1.0/Partitions/b", "/v1/partitions/b"),
        ("/v1-prerelease/partitions/b", "/v1.0-prerelease/partitions/b"),
        ("/v2/partitions/STUDIES", "/v2/partitions/STUDIES"),
        ("/Partitions/b", "/partitions/b"),
    ],
)
def test_generated_urls_have_the_canonical_spelling(client: FlaskClient, prefix: str, canonical: str) -> None:
    dataset = PartitionClient(client, f"http://localhost{prefix}").stored(
        make_instance(study=STUDY, series=SERIES, instance=INSTANCE)
    )
    url = value(items(dataset, "00081199")[0], "00081190")
    assert url == f"http://localhost{canonical}/studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}"


@pytest.mark.parametrize(
    "path",
    [
        "/v2//partitions",
        "//v2/partitions",
        "//partitions",
        "/v2/partitions//Clinic-A/studies",
        "/v2/partitions/Clinic-A//studies",
        f"/v2/partitions/Clinic-A/studies//{STUDY}/metadata",
        f"/v2/partitions/Clinic-A/studies/{STUDY}//metadata",
        "/v2/partitions/Clinic-A//studies/",
        "//health/check",
        "/health//check",
    ],
)
def test_one_empty_segment_is_dropped(stored: FlaskClient, path: str) -> None:
    assert raw(stored, path).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/v2///partitions", "//v2//partitions", "///v2/partitions", "/v2//partitions//Clinic-A/studies", "/v2//nothing"],
)
def test_two_empty_segments_lead_nowhere(stored: FlaskClient, path: str) -> None:
    assert raw(stored, path).status_code == 404


@pytest.mark.parametrize("path", ["/v2/partitions//studies", "/partitions//studies", "/v2/partitions//workitems"])
def test_a_partition_without_a_name_is_not_created(client: FlaskClient, path: str) -> None:
    body = {"data": make_instance(), "content_type": "application/dicom"}
    assert client.post(f"http://localhost{path}", **body).status_code == 405
    assert len(client.get("/v2/partitions").get_json()) == 1


@pytest.mark.parametrize("name", ["studies", "Series", "PARTITIONS", "v1", "V2", "health", "$bulkUpdate"])
def test_a_partition_may_be_called_as_a_literal_segment(client: FlaskClient, name: str) -> None:
    partition = PartitionClient(client, f"/v2/partitions/{name}")
    if name.startswith("$"):
        assert partition.store(make_instance()).status_code == 400
        return
    partition.stored(make_instance(study=STUDY))
    assert name in {each["partitionName"] for each in client.get("/v2/partitions").get_json()}
    assert partition.get(f"/STUDIES/{STUDY}/metadata").status_code == 200


def test_an_extended_query_tag_keeps_its_letter_case(client: FlaskClient) -> None:
    response = client.get("/v2/ExtendedQueryTags/Errors")
    assert response.status_code == 400
    assert "'Errors'" in response.text


@pytest.mark.parametrize(
    "path", ["/V2//Partitions/Clinic-A/Studies", "//v2.0/partitions/Clinic-A/studies/2.25.1/MetaData"]
)
def test_head_and_options_know_the_same_paths(stored: FlaskClient, path: str) -> None:
    head = raw(stored, path, "HEAD")
    assert (head.status_code, head.data) == (200, b"")
    options = raw(stored, path, "OPTIONS")
    assert options.status_code == 200
    assert "GET" in options.headers["Allow"]


def test_another_method_is_405_in_any_spelling(stored: FlaskClient) -> None:
    response = stored.put("/V2/PARTITIONS/Clinic-A/Studies")
    assert response.status_code == 405
    assert "POST" in response.headers["Allow"]
