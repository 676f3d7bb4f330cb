"""conformance §2 through HTTP: names, the feature switch, implicit creation, isolation, links."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask.testing import FlaskClient

from app.errors import DataPartitionsFeatureCannotBeDisabledException
from tests.conftest import Serve
from tests.support.dicomweb import AS_STORED, PartitionClient, items, parts, related, value
from tests.support.instances import make_instance

INVALID = "The specified PartitionName is invalid."
DISABLED = "Data partitions capability is disabled."
MISSING = "PartitionName value is missing in the route segment."

READS = [
    "/studies",
    "/series",
    "/instances",
    "/studies/1.2",
    "/studies/1.2/series",
    "/studies/1.2/instances",
    "/studies/1.2/metadata",
    "/studies/1.2/series/1.3",
    "/studies/1.2/series/1.3/instances",
    "/studies/1.2/series/1.3/metadata",
    "/studies/1.2/series/1.3/instances/1.4",
    "/studies/1.2/series/1.3/instances/1.4/metadata",
    "/studies/1.2/series/1.3/instances/1.4/frames/1",
    "/studies/1.2/series/1.3/instances/1.4/rendered",
    "/studies/1.2/series/1.3/instances/1.4/frames/1/rendered",
    "/studies/1.2/rendered",
    "/studies/1.2/series/1.3/rendered",
    "/studies/1.2/thumbnail",
    "/studies/1.2/series/1.3/thumbnail",
    "/studies/1.2/series/1.3/instances/1.4/thumbnail",
    "/studies/1.2/series/1.3/instances/1.4/frames/1/thumbnail",
]
BASE_ONLY = ["/changefeed", "/changefeed/latest", "/partitions"]


def names(client: FlaskClient) -> list[str]:
    return [row["partitionName"] for row in client.get("/v2/partitions").get_json()]


def test_the_list_starts_with_the_default(client: FlaskClient) -> None:
    response = client.get("/v2/partitions")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    (row,) = response.get_json()
    assert row.keys() == {"partitionKey", "partitionName", "createdDate"}
    assert (row["partitionKey"], row["partitionName"]) == (1, "Microsoft.Default")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}\+00:00", row["createdDate"])


def test_a_store_makes_its_partition_once(client: FlaskClient) -> None:
    for _ in range(2):
        PartitionClient(client).stored(make_instance())
    PartitionClient(client, "/v1/partitions/clinic-b").stored(make_instance())
    rows = client.get("/partitions").get_json()
    assert [row["partitionName"] for row in rows] == ["Microsoft.Default", "clinic-a", "clinic-b"]
    assert [row["partitionKey"] for row in rows] == sorted({row["partitionKey"] for row in rows})


def test_twenty_first_stores_make_one_partition(client: FlaskClient) -> None:
    with ThreadPoolExecutor(20) as pool:
        stores = list(
            pool.map(lambda _: PartitionClient(client.application.test_client()).store(make_instance()), range(20))
        )
    assert [store.status_code for store in stores] == [200] * 20
    assert names(client) == ["Microsoft.Default", "clinic-a"]
    assert len(PartitionClient(client).get("/studies").get_json(force=True)) == 20


@pytest.mark.parametrize(
    "name",
    ["a" * 64, "a.b-c_D1", "7", "3f2504e0-4f89-11d3-9a0c-0305e82c3301", "1.2.840.10008.1.2", "-", "_", "...", "a..b"],
)
def test_a_good_name(client: FlaskClient, name: str) -> None:
    PartitionClient(client, f"/v2/partitions/{name}").stored(make_instance())
    assert name in names(client)


@pytest.mark.parametrize(
    "name",
    [
        "a" * 65,
        "a%20b",
        "%20",
        "%C3%A9",
        "%ff",
        "a%0A",
        "a%00",
        ".",
        "..",
        "%2e%2E",
        "a%25b",
        "a+b",
        "a%3Fb",
        "~",
        "a;b",
    ],
)
@pytest.mark.parametrize("version", ["", "/v1", "/v2"])
def test_a_bad_name(client: FlaskClient, version: str, name: str) -> None:
    caller = PartitionClient(client, f"{version}/partitions/{name}")
    for response in (caller.get("/studies"), caller.store(make_instance()), caller.delete("/studies/1.2")):
        assert (response.status_code, response.text) == (400, INVALID)
    assert names(client) == ["Microsoft.Default"]


@pytest.mark.parametrize("name", ["a%2Fb", "%2F", "", "a/b", "%2e%2e%2fpartitions%2fclinic-a"])
def test_a_name_with_a_slash_leads_nowhere(client: FlaskClient, name: str) -> None:
    assert PartitionClient(client, f"/v2/partitions/{name}").store(make_instance()).status_code in (400, 404, 405)
    assert names(client) == ["Microsoft.Default"]


def test_names_meet_whatever_their_case_and_keep_their_first_spelling(client: FlaskClient) -> None:
    file = make_instance(study="2.25.1", series="2.25.2", instance="2.25.3")
    PartitionClient(client, "/v2/partitions/Clinic-A").stored(file)
    again = PartitionClient(client, "/v2/partitions/CLINIC-a").store(file, make_instance())
    assert value(items(again.get_json(force=True), "00081198")[0], "00081197") == 45070
    url = value(items(again.get_json(force=True), "00081199")[0], "00081190")
    assert "/partitions/Clinic-A/studies/" in url
    assert names(client) == ["Microsoft.Default", "Clinic-A"]
    assert PartitionClient(client, "/v2/partitions/clinic-a").get("/studies/2.25.1").status_code == 200


@pytest.mark.parametrize("version", ["", "/v1", "/v2", "/v1.0-prerelease"])
@pytest.mark.parametrize("path", READS)
def test_on_the_base_form_lacks_its_partition(client: FlaskClient, version: str, path: str) -> None:
    response = PartitionClient(client, version).get(path)
    assert (response.status_code, response.text) == (400, MISSING)


def test_on_base_stores_and_deletes_lack_their_partition(client: FlaskClient) -> None:
    base = PartitionClient(client, "/v2")
    for response in (base.store(make_instance()), base.delete("/studies/1.2"), base.delete("/studies/1.2/series/1.3")):
        assert (response.status_code, response.text) == (400, MISSING)


@pytest.mark.parametrize("path", READS)
def test_on_an_unknown_partition_is_400_and_not_made(client: FlaskClient, path: str) -> None:
    response = PartitionClient(client, "/v2/partitions/clinic-z").get(path)
    assert (response.status_code, response.text) == (400, "Specified PartitionName clinic-z doesn't exist.")
    assert names(client) == ["Microsoft.Default"]


def test_on_a_delete_in_an_unknown_partition_is_400(client: FlaskClient) -> None:
    response = PartitionClient(client, "/v2/partitions/clinic-z").delete("/studies/1.2")
    assert (response.status_code, response.text) == (400, "Specified PartitionName clinic-z doesn't exist.")


def test_on_a_known_partition_without_data_is_as_any_other(client: FlaskClient) -> None:
    default = PartitionClient(client, "/v2/partitions/Microsoft.Default")
    assert default.get("/studies").status_code == 204
    missing = default.get("/studies/1.2")
    assert (missing.status_code, missing.text) == (404, "The specified study cannot be found.")


@pytest.mark.parametrize("path", READS)
def test_off_the_partition_form_is_refused(serve: Serve, path: str) -> None:
    response = PartitionClient(serve(enable_data_partitions=False), "/v2/partitions/Microsoft.Default").get(path)
    assert (response.status_code, response.text) == (400, DISABLED)


def test_off_the_list_is_refused(serve: Serve) -> None:
    response = serve(enable_data_partitions=False).get("/v2/partitions")
    assert (response.status_code, response.text) == (400, DISABLED)


@pytest.mark.parametrize("version", ["", "/v1", "/v2"])
def test_off_the_base_form_works_and_links_name_no_partition(serve: Serve, version: str) -> None:
    base = PartitionClient(serve(enable_data_partitions=False), version)
    dataset = base.stored(make_instance(study="2.25.1", series="2.25.2", instance="2.25.3"))
    url = value(items(dataset, "00081199")[0], "00081190")
    assert url == f"http://localhost{version}/studies/2.25.1/series/2.25.2/instances/2.25.3"
    assert base.get("/studies/2.25.1").status_code == 200
    assert base.get("/changefeed").get_json()[0]["partitionName"] == "Microsoft.Default"


def test_what_was_stored_before_lies_in_the_default_partition(serve: Serve) -> None:
    file = make_instance(study="2.25.1")
    PartitionClient(serve(enable_data_partitions=False), "/v2").stored(file)
    default = PartitionClient(serve(), "/v2/partitions/Microsoft.Default")
    assert parts(default.get("/studies/2.25.1", AS_STORED))[0].body == file


def test_off_again_is_refused_once_there_are_two(serve: Serve) -> None:
    serve()
    serve(enable_data_partitions=False)
    # Even a store of which nothing is kept has made its partition.
    assert PartitionClient(serve()).store(b"not DICOM").status_code == 409
    with pytest.raises(DataPartitionsFeatureCannotBeDisabledException) as refusal:
        serve(enable_data_partitions=False)
    assert "Data partitions feature cannot be disabled while existing data has already been partitioned." in str(
        refusal.value
    )


@pytest.mark.parametrize("path", BASE_ONLY)
@pytest.mark.parametrize("enabled", [True, False])
def test_base_resources_do_not_exist_below_a_partition(serve: Serve, path: str, enabled: bool) -> None:
    client = serve(enable_data_partitions=enabled)
    if enabled:
        PartitionClient(client).stored(make_instance())
    assert PartitionClient(client, "/v2/partitions/clinic-a").get(path).status_code == 404


def test_what_refuses_a_store_early_makes_no_partition(client: FlaskClient) -> None:
    caller = PartitionClient(client, "/v2/partitions/new")
    body, kind = related(make_instance()), 'multipart/related; type="application/dicom"; boundary=b1'
    for response, status in [
        (caller.post(body, "application/json"), 415),
        (caller.post(body, None), 415),
        (caller.post(related(b"{}", content_type="application/json"), kind), 415),
        (caller.post(body, kind, Accept="text/html"), 406),
        (caller.post(body, kind, "/studies/not-a-uid"), 400),
    ]:
        assert response.status_code == status
    assert names(client) == ["Microsoft.Default"]


def test_the_same_file_in_two_partitions(client: FlaskClient) -> None:
    file = make_instance(study="2.25.1", series="2.25.2", instance="2.25.3")
    first, second = (PartitionClient(client, f"/v2/partitions/{name}") for name in ("clinic-a", "clinic-b"))
    for caller in (first, second):
        caller.stored(file)
    assert first.delete("/studies/2.25.1").status_code == 204
    assert first.get("/studies/2.25.1").status_code == 404
    assert parts(second.get("/studies/2.25.1", AS_STORED))[0].body == file
    assert [len(caller.get("/studies").data) > 0 for caller in (first, second)] == [False, True]


@pytest.mark.parametrize("version", ["", "/v1", "/v2"])
def test_links_name_the_version_and_the_partition(client: FlaskClient, version: str) -> None:
    caller = PartitionClient(client, f"{version}/partitions/clinic-a")
    response = caller.store(make_instance(study="2.25.1", series="2.25.2", instance="2.25.3"), path="/studies/2.25.1")
    study = f"http://localhost{version}/partitions/clinic-a/studies/2.25.1"
    dataset = response.get_json(force=True)
    assert value(dataset, "00081190") == study
    assert value(items(dataset, "00081199")[0], "00081190") == f"{study}/series/2.25.2/instances/2.25.3"


def test_the_feed_spans_all_partitions(client: FlaskClient) -> None:
    for name in ("clinic-a", "clinic-b"):
        PartitionClient(client, f"/v2/partitions/{name}").stored(make_instance())
    assert [entry["partitionName"] for entry in client.get("/v1/changefeed").get_json()] == ["clinic-a", "clinic-b"]
