"""The change feed and the list of partitions show what the caller may read (conformance §2.6, §10.2, §13.4)."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.services.access.rights import Action, Rights
from tests.conftest import Serve
from tests.support.callers import ADMIN, READER, authenticate, calling, embedded, granted
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance

NAMES = ("clinic-a", "clinic-b", "research-1", "research-2")
RIGHTS = {
    "a": granted(Action.READ, to="clinic-a"),
    "research": granted(Action.READ, to="Research-*"),
    "reader": READER,
    "writer": granted(Action.WRITE, to="clinic-a"),
    "deleter": granted(Action.DELETE, to=("clinic-b", "research-2")),
    "past": granted(Action.ALL, expires=1.0),
    "auditor of a": granted(Action.READ_AUDIT, to="clinic-a"),
    "manager": granted(Action.MANAGE_EXTENDED_QUERY_TAGS),
    "nobody": Rights(),
}


def fill(app: Flask) -> Flask:
    """Store ten instances in turns in four partitions."""
    authenticate(app, RIGHTS)
    for number in range(10):
        admin = PartitionClient(calling(app, ADMIN), f"/v2/partitions/{NAMES[number % 4]}")
        admin.stored(make_instance(instance=f"2.25.{number + 1}", pixel=False))
    return app


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    """An archive that no test changes."""
    return fill(embedded(tmp_path_factory.mktemp("archive")))


def entries(client: FlaskClient, query: str = "", version: str = "/v2") -> list[str]:
    """The last digit of the UID of each entry."""
    response = client.get(f"{version}/changefeed?includemetadata=false&{query}")
    assert response.status_code == 200, response.text
    return [each["sopInstanceUid"].rpartition(".")[2] for each in response.get_json()]


def latest(client: FlaskClient, query: str = "", version: str = "/v2") -> str | None:
    response = client.get(f"{version}/changefeed/latest?includemetadata=false&{query}")
    assert response.status_code in (200, 204), response.text
    return response.get_json()["sopInstanceUid"].rpartition(".")[2] if response.status_code == 200 else None


@pytest.mark.parametrize(
    ("caller", "seen"),
    [
        ("a", ["clinic-a"]),
        ("research", ["research-1", "research-2"]),
        ("reader", ["Microsoft.Default", *NAMES]),
        ("writer", ["clinic-a"]),
        ("deleter", ["clinic-b", "research-2"]),
        ("past", []),
        ("auditor of a", []),
        ("manager", []),
        ("nobody", []),
        (ADMIN, ["Microsoft.Default", *NAMES]),
    ],
)
def test_the_list_has_the_partitions_where_the_caller_may_do_something(
    app: Flask, caller: str, seen: list[str]
) -> None:
    response = calling(app, caller).get("/v2/partitions")
    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/json")
    assert [each["partitionName"] for each in response.get_json()] == seen


@pytest.mark.parametrize(
    ("caller", "query", "seen"),
    [
        ("a", "", "1 5 9"),
        ("research", "", "3 4 7 8"),
        ("reader", "", "1 2 3 4 5 6 7 8 9 10"),
        ("research", "partitionName=research-2", "4 8"),
        ("research", "PARTITIONNAME=RESEARCH-2,research-1", "3 4 7 8"),
        ("research", "partitionName=research-2&partitionName=research-1", "4 8"),
        ("reader", "partitionName=clinic-b,%20clinic-a", "1 2 5 6 9 10"),
        ("a", "partitionName=clinic-b", ""),
        ("a", "partitionName=unknown", ""),
        ("reader", "partitionName=unknown", ""),
    ],
)
def test_the_feed_has_the_entries_that_the_caller_may_read(app: Flask, caller: str, query: str, seen: str) -> None:
    client, expected = calling(app, caller), seen.split()
    assert entries(client, query) == expected
    assert entries(client, f"limit=100&{query}", "/v1") == expected
    for version in ("/v1", "/v2"):
        assert latest(client, query, version) == (expected[-1] if expected else None)


def check_pages(client: FlaskClient, limit: int) -> None:
    found: list[str] = []
    while page := entries(client, f"offset={len(found)}&limit={limit}"):
        found += page
    highest = client.get("/v1/changefeed/latest").get_json()["sequence"]
    windows = range(0, highest, limit)
    by_number = [each for offset in windows for each in entries(client, f"offset={offset}&limit={limit}", "/v1")]
    assert found == by_number == entries(client) != []


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
@pytest.mark.parametrize("caller", ["a", "research", "reader"])
def test_a_consumer_that_pages_sees_each_entry_once(app: Flask, caller: str, limit: int) -> None:
    check_pages(calling(app, caller), limit)


def test_a_consumer_that_pages_sees_each_entry_once_on_each_engine(serve: Serve) -> None:
    check_pages(calling(fill(serve().application), "research"), 3)


@pytest.mark.parametrize("caller", ["writer", "deleter", "past", "auditor of a", "manager", "nobody"])
@pytest.mark.parametrize("path", ["/v1/changefeed", "/v2/changefeed", "/v1/changefeed/latest", "/v2/changefeed/latest"])
def test_a_caller_that_may_read_nowhere_has_no_feed(app: Flask, caller: str, path: str) -> None:
    response = calling(app, caller).get(path)
    assert (response.status_code, response.text) == (403, "Authorization failed.")


def test_the_latest_follows_the_feed(tmp_path: Path) -> None:
    app = fill(embedded(tmp_path))
    client, admin = calling(app, "a"), calling(app, ADMIN)

    def both() -> list[str | None]:
        return [latest(client, version=version) for version in ("/v1", "/v2")]

    assert both() == ["9", "9"]
    PartitionClient(admin, "/v2/partitions/clinic-b").stored(make_instance(instance="2.25.20", pixel=False))
    assert both() == ["9", "9"]
    PartitionClient(admin).stored(make_instance(instance="2.25.21", pixel=False))
    assert both() == ["21", "21"]


@pytest.mark.parametrize("name", ["", "a/b", "a b", ".", "a,,b", "a" * 65])
@pytest.mark.parametrize("path", ["/v1/changefeed", "/v2/changefeed", "/v2/changefeed/latest"])
def test_a_name_that_breaks_the_rule_is_refused(app: Flask, name: str, path: str) -> None:
    response = calling(app, "a").get(path, query_string={"partitionName": name})
    text = "The query parameter 'PartitionName' is invalid. The specified PartitionName is invalid."
    assert (response.status_code, response.text) == (400, text)


def test_everyone_can_select_partitions_without_authentication(tmp_path: Path) -> None:
    client = embedded(tmp_path).test_client()
    for name in NAMES:
        PartitionClient(client, f"/v2/partitions/{name}").stored(make_instance(pixel=False))
    found = client.get("/v2/changefeed?partitionName=clinic-b,research-2").get_json()
    assert [each["partitionName"] for each in found] == ["clinic-b", "research-2"]


def test_metadata_of_a_hidden_entry_is_not_read(app: Flask) -> None:
    found = calling(app, "a").get("/v2/changefeed").get_json()
    assert {each["partitionName"] for each in found} == {"clinic-a"}
    assert all("metadata" in each for each in found)
