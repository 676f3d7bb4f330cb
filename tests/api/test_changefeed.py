"""The change feed through HTTP (conformance §10)."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient

from tests.support.dicomweb import PartitionClient, value
from tests.support.instances import make_instance

UIDS = {"study": "2.25.1", "series": "2.25.2", "instance": "2.25.3"}
FIELDS = [
    "sequence",
    "partitionName",
    "studyInstanceUid",
    "seriesInstanceUid",
    "sopInstanceUid",
    "action",
    "timestamp",
    "state",
]


def feed(client: FlaskClient, query: str = "", version: str = "/v2") -> list[dict[str, Any]]:
    response = client.get(f"{version}/changefeed?{query}")
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "application/json"
    found: list[dict[str, Any]] = response.get_json()
    return found


def labels(client: FlaskClient, version: str = "/v2") -> list[tuple[str, str]]:
    return [(entry["action"], entry["state"]) for entry in feed(client, version=version)]


def store(client: FlaskClient, count: int) -> None:
    for _ in range(count):
        PartitionClient(client).stored(make_instance())


@pytest.mark.parametrize("version", ["", "/v1", "/v2"])
def test_the_answer_while_the_feed_is_empty(client: FlaskClient, version: str) -> None:
    assert feed(client, version=version) == []
    latest = client.get(f"{version}/changefeed/latest")
    assert (latest.status_code, latest.data) == (204, b"")


@pytest.mark.parametrize("version", ["", "/v1", "/v2"])
def test_the_fields_of_an_entry(client: FlaskClient, version: str) -> None:
    PartitionClient(client).stored(make_instance(**UIDS, patient_name="Doe^Jane"))
    (entry,) = feed(client, version=version)
    assert list(entry) == [*FIELDS, "metadata"]
    assert (entry["partitionName"], entry["action"], entry["state"]) == ("clinic-a", "Create", "Current")
    assert [entry[name] for name in FIELDS[2:5]] == list(UIDS.values())
    assert isinstance(entry["sequence"], int)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}\+00:00", entry["timestamp"])
    without_bulk_data = PartitionClient(client, "/v1/partitions/clinic-a").get("/studies/2.25.1/metadata")
    assert entry["metadata"] == without_bulk_data.get_json(force=True)[0]
    assert client.get(f"{version}/changefeed/latest").get_json() == entry


@pytest.mark.parametrize("version", ["/v1", "/v2"])
@pytest.mark.parametrize("name", ["includemetadata", "includeMetadata", "IncludeMetadata"])
def test_metadata_can_be_left_out(client: FlaskClient, version: str, name: str) -> None:
    store(client, 1)
    for given, there in (("false", False), ("FALSE", False), ("true", True)):
        (entry,) = feed(client, f"{name}={given}", version)
        latest = client.get(f"{version}/changefeed/latest?{name}={given}").get_json()
        assert ("metadata" in entry, "metadata" in latest) == (there, there)


def test_a_delete_changes_the_states_of_earlier_entries(client: FlaskClient) -> None:
    caller, file = PartitionClient(client), make_instance(**UIDS)
    caller.stored(file)
    assert labels(client) == [("Create", "Current")]
    caller.delete("/studies/2.25.1")
    assert labels(client) == [("Create", "Deleted"), ("Delete", "Deleted")]
    assert all("metadata" not in entry for entry in feed(client))
    caller.stored(file)
    assert labels(client) == [("Create", "Replaced"), ("Delete", "Replaced"), ("Create", "Current")]
    assert labels(client, "/v1") == labels(client)


def test_metadata_is_that_of_the_current_version(client: FlaskClient) -> None:
    caller = PartitionClient(client)
    caller.stored(make_instance(**UIDS, patient_name="First"))
    caller.delete("/studies/2.25.1")
    caller.stored(make_instance(**UIDS, patient_name="Second"))
    names = [value(entry["metadata"], "00100010")["Alphabetic"] for entry in feed(client)]
    assert names == ["Second"] * 3


def test_the_delete_of_a_study_writes_one_entry_for_each_instance(client: FlaskClient) -> None:
    caller = PartitionClient(client)
    caller.stored(*[make_instance(study="2.25.1") for _ in range(3)])
    caller.delete("/studies/2.25.1")
    assert [action for action, _ in labels(client)] == ["Create"] * 3 + ["Delete"] * 3


def test_a_refused_instance_has_no_entry(client: FlaskClient) -> None:
    caller, file = PartitionClient(client), make_instance()
    caller.stored(file)
    caller.store(file, b"junk", make_instance(patient_id=None))
    assert len(feed(client)) == 1


def test_the_same_instance_in_two_partitions_has_two_entries(client: FlaskClient) -> None:
    file = make_instance(**UIDS)
    for name in ("clinic-a", "clinic-b"):
        PartitionClient(client, f"/v2/partitions/{name}").stored(file)
    PartitionClient(client, "/v2/partitions/clinic-b").delete("/studies/2.25.1")
    found = [(entry["partitionName"], entry["action"], entry["state"]) for entry in feed(client)]
    assert found == [
        ("clinic-a", "Create", "Current"),
        ("clinic-b", "Create", "Deleted"),
        ("clinic-b", "Delete", "Deleted"),
    ]


# --- v1: by sequence ----------------------------------------------------------------------------------------------


def test_v1_returns_a_range_of_sequence_numbers(client: FlaskClient) -> None:
    store(client, 12)
    every = [entry["sequence"] for entry in feed(client, "limit=100&includemetadata=false", "/v1")]
    assert len(every) == 12
    assert every == sorted(set(every))
    for offset, limit in ((0, 10), (every[3], 4), (every[-1], 10), (10**15, 1)):
        found = [entry["sequence"] for entry in feed(client, f"Offset={offset}&LIMIT={limit}", "/v1")]
        assert found == [number for number in every if offset < number <= offset + limit]


def test_v1_returns_ten_numbers_by_default(client: FlaskClient) -> None:
    store(client, 12)
    assert all(entry["sequence"] <= 10 for entry in feed(client, version="/v1"))


def test_v1_pages_reach_the_latest(client: FlaskClient) -> None:
    store(client, 7)
    last = client.get("/v1/changefeed/latest").get_json()["sequence"]
    found, offset = [], 0
    while offset < last:
        found += feed(client, f"offset={offset}&limit=3", "/v1")
        offset += 3
    assert len(found) == 7
    assert found[-1]["sequence"] == last


def test_v1_ignores_times(client: FlaskClient) -> None:
    store(client, 1)
    assert len(feed(client, "startTime=nonsense&limit=100", "/v1")) == 1


# --- v2: by time --------------------------------------------------------------------------------------------------


def test_v2_applies_offset_and_limit(client: FlaskClient) -> None:
    store(client, 5)
    every = feed(client)
    assert len(every) == 5
    for offset, limit in ((0, 2), (2, 2), (4, 2), (5, 2), (10**15, 200)):
        assert feed(client, f"offset={offset}&limit={limit}") == every[offset : offset + limit]


def test_v2_returns_a_range_of_time(client: FlaskClient) -> None:
    store(client, 4)
    every = feed(client)
    times = [entry["timestamp"] for entry in every]
    assert times == sorted(times)
    start, end = times[1], times[3]
    window = [entry for entry in every if start <= entry["timestamp"] < end]
    assert feed(client, f"startTime={quote(start)}&endTime={quote(end)}") == window
    assert feed(client, f"STARTTIME={quote(start)}") == [each for each in every if each["timestamp"] >= start]
    assert feed(client, f"endtime={quote(end)}") == [each for each in every if each["timestamp"] < end]


def test_v2_accepts_any_time_zone(client: FlaskClient) -> None:
    store(client, 1)
    (entry,) = feed(client)
    moment = datetime.fromisoformat(entry["timestamp"])
    before, after = moment - timedelta(minutes=1), moment + timedelta(minutes=1)
    zulu = f"{before:%Y-%m-%dT%H:%M:%S}Z"
    west = f"{after - timedelta(hours=5):%Y-%m-%dT%H:%M:%S}-05:00"
    east = quote(f"{before + timedelta(hours=2):%Y-%m-%dT%H:%M:%S.%f}+02:00")
    assert len(feed(client, f"startTime={zulu}&endTime={west}")) == 1
    assert len(feed(client, f"startTime={east}")) == 1
    assert feed(client, f"startTime={west}") == []
    assert feed(client, f"endTime={zulu}") == []


@pytest.mark.parametrize("start", ["0001-01-01T00:00:00Z", "1999-01-01t00:00:00.1234567z"])
@pytest.mark.parametrize("end", ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59.9999999Z"])
def test_v2_accepts_times_far_away(client: FlaskClient, start: str, end: str) -> None:
    store(client, 1)
    assert len(feed(client, f"startTime={start}&endTime={end}")) == 1
    assert feed(client, f"startTime={end}") == []


def test_v2_compares_times_to_the_seventh_digit(client: FlaskClient) -> None:
    store(client, 1)
    (entry,) = feed(client)
    moment, zone = entry["timestamp"][:26], quote("+00:00")
    assert len(feed(client, f"startTime={moment}0{zone}&endTime={moment}1{zone}")) == 1
    assert feed(client, f"startTime={moment}1{zone}&endTime={moment}2{zone}") == []


# --- errors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "query", "text"),
    [
        ("/v1", "limit=0", "The query parameter 'Limit' is invalid. The field Limit must be between 1 and 100."),
        ("/v1", "limit=101", "The query parameter 'Limit' is invalid. The field Limit must be between 1 and 100."),
        ("/v2", "limit=0", "The query parameter 'Limit' is invalid. The field Limit must be between 1 and 200."),
        ("/v2", "LIMIT=201", "The query parameter 'Limit' is invalid. The field Limit must be between 1 and 200."),
        ("/v2", "limit=-1", "The query parameter 'Limit' is invalid. The field Limit must be between 1 and 200."),
        ("/v2", "limit=ten", "The query parameter 'Limit' is invalid. The value 'ten' is not valid for Limit."),
        ("/v2", "limit=", "The query parameter 'Limit' is invalid. The value '' is not valid for Limit."),
        (
            "/v2",
            "offset=-1",
            "The query parameter 'Offset' is invalid. The field Offset must be between 0 and 9223372036854775807.",
        ),
        (
            "/v1",
            "offset=9223372036854775808",
            "The query parameter 'Offset' is invalid. The field Offset must be between 0 and 9223372036854775807.",
        ),
        (
            "/v2",
            "startTime=2024-03-01T00:00:00",
            "The query parameter 'StartTime' is invalid. Date and time value must specify a time zone.",
        ),
        (
            "/v2",
            "endTime=2024-03-01",
            "The query parameter 'EndTime' is invalid. Date and time value must specify a time zone.",
        ),
        (
            "/v2",
            "startTime=2024-03-01T00:00:00+01:00",
            "The query parameter 'StartTime' is invalid. "
            "The value '2024-03-01T00:00:00 01:00' is not valid for StartTime.",
        ),
        (
            "/v2",
            "startTime=2024-03-02T00:00:00Z&endTime=2024-03-01T00:00:00Z",
            "The start time '2024-03-02T00:00:00Z' must occur strictly before the end time '2024-03-01T00:00:00Z'.",
        ),
        (
            "/v2",
            "startTime=2024-03-01T00:00:00Z&endTime=2024-03-01T00:00:00Z",
            "The start time '2024-03-01T00:00:00Z' must occur strictly before the end time '2024-03-01T00:00:00Z'.",
        ),
        (
            "/v2",
            "includemetadata=maybe",
            "The query parameter 'IncludeMetadata' is invalid. The value 'maybe' is not valid for IncludeMetadata.",
        ),
    ],
)
def test_a_bad_parameter_is_400(client: FlaskClient, version: str, query: str, text: str) -> None:
    response = client.get(f"{version}/changefeed?{query}")
    assert (response.status_code, response.text) == (400, text)


@pytest.mark.parametrize(
    "query", ["limit=" + "9" * 5000, "startTime=0001-01-01T00:00:00%2B14:00", "offset=%D9%A1", "limit=1_0"]
)
def test_an_unreadable_value_is_400(client: FlaskClient, query: str) -> None:
    assert client.get(f"/v2/changefeed?{query}").status_code == 400


@pytest.mark.parametrize("version", ["/v1", "/v2"])
def test_unknown_parameters_are_ignored(client: FlaskClient, version: str) -> None:
    store(client, 1)
    assert len(feed(client, "color=blue&limit=100&x", version)) == 1
