"""Errors of extended query tags, and their counts, are those of the partitions that the caller may read (conformance
§8.2, §8.9)."""

from __future__ import annotations

import pytest
from flask import Flask

from app.services.access.rights import Action
from tests.support.callers import ADMIN, READER, authenticate, calling, embedded, granted
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance
from tests.support.query_tags import AGE, TAGS, add_and_index

RIGHTS = {
    "a": granted(Action.READ, to="clinic-a"),
    "b": granted(Action.READ, to="clinic-b"),
    "both": granted(Action.READ, to="clinic-*"),
    "c": granted(Action.READ, to="other"),
    "reader": READER,
    "writer": granted(Action.WRITE),
    "keeper": granted(Action.MANAGE_EXTENDED_QUERY_TAGS),
    "keeper of b": granted(Action.MANAGE_EXTENDED_QUERY_TAGS) | granted(Action.READ, to="clinic-b"),
    "local keeper": granted(Action.MANAGE_EXTENDED_QUERY_TAGS, Action.READ, to="clinic-*"),
}
HERE = f"{TAGS}/PatientAge"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    """An archive where two instances of clinic-a and one of clinic-b have no valid age, and one of `other` has one."""
    app = embedded(tmp_path_factory.mktemp("archive"))
    authenticate(app, RIGHTS)
    for partition, age in (("clinic-a", "3Y"), ("clinic-b", "3Y"), ("clinic-a", "3Y"), ("other", "030Y")):
        strict = PartitionClient(calling(app, ADMIN), f"/v1/partitions/{partition}")
        assert strict.store(make_instance(PatientAge=age, pixel=False)).status_code == 200
    admin = calling(app, ADMIN)
    add_and_index(admin, AGE)
    assert admin.patch(HERE, json={"queryStatus": "Enabled"}).status_code == 200
    return app


@pytest.mark.parametrize(
    ("caller", "partitions"),
    [
        ("a", ["clinic-a", "clinic-a"]),
        ("b", ["clinic-b"]),
        ("both", ["clinic-a", "clinic-b", "clinic-a"]),
        ("c", []),
        ("reader", ["clinic-a", "clinic-b", "clinic-a"]),
        ("keeper of b", ["clinic-b"]),
        (ADMIN, ["clinic-a", "clinic-b", "clinic-a"]),
    ],
)
def test_a_reader_sees_the_errors_of_its_partitions(app: Flask, caller: str, partitions: list[str]) -> None:
    client = calling(app, caller)
    oldest_first = partitions[::-1]  # a re-index begins with the newest instance
    found = client.get(f"{HERE}/errors").get_json()
    assert [each["partitionName"] for each in found] == oldest_first
    for offset in range(4):
        page = client.get(f"{HERE}/errors?offset={offset}&limit=1").get_json()
        assert page == found[offset : offset + 1]
    (listed,) = client.get(TAGS).get_json()
    assert listed == client.get(HERE).get_json()
    assert listed.get("errors", {"count": 0})["count"] == len(partitions)


@pytest.mark.parametrize("path", [TAGS, HERE, f"{HERE}/errors"])
@pytest.mark.parametrize("caller", ["writer", "keeper"])
def test_a_caller_that_reads_nowhere_gets_no_tags(app: Flask, caller: str, path: str) -> None:
    assert calling(app, caller).get(path).status_code == 403


@pytest.mark.parametrize(("caller", "count"), [("keeper", 0), ("keeper of b", 1)])
def test_a_change_of_a_tag_answers_with_the_count_that_the_caller_sees(app: Flask, caller: str, count: int) -> None:
    tag = calling(app, caller).patch(HERE, json={"queryStatus": "Enabled"}).get_json()
    assert tag.get("errors", {"count": 0})["count"] == count


@pytest.mark.parametrize("caller", ["writer", "reader", "local keeper"])
def test_tags_are_managed_with_a_grant_on_all_partitions(app: Flask, caller: str) -> None:
    client = calling(app, caller)
    answers = [
        client.patch(HERE, json={"queryStatus": "Enabled"}),
        client.delete(HERE),
        client.post(TAGS, json=[AGE]),
    ]
    assert [(each.status_code, each.text) for each in answers] == [(403, "Authorization failed.")] * 3


@pytest.mark.parametrize(("partition", "erroneous"), [("clinic-a", True), ("clinic-b", True), ("other", False)])
def test_a_search_warns_of_errors_in_its_partition_alone(app: Flask, partition: str, erroneous: bool) -> None:
    for _ in range(2):
        admin = PartitionClient(calling(app, ADMIN), f"/v2/partitions/{partition}")
        response = admin.get("/studies?PatientAge=030Y")
        assert ("erroneous-dicom-attributes" in response.headers) == erroneous
