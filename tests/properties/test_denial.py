"""What a caller may not read does not exist for it.

A reader of some partitions gets the same answers as an administrator of an archive that has these partitions alone.
Both archives get the same calls at the same times. These members differ on purpose and are left out:
* `sequence` of a feed entry, `partitionKey` and the time of a partition: all partitions share their counters;
* ids of operations;
* `queryStatus` of a tag: a bad value in any partition disables it. The test enables it again;
* the windows of the feed by number: the entries of all windows together are compared;
* `Microsoft.Default`: every archive has it, so it is left out where it is not granted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import orjson
import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from app.services.access.rights import Action, covers
from app.storage.table import clock
from tests.support.background import work
from tests.support.bulk_update import post_update
from tests.support.callers import ADMIN, authenticate, calling, embedded, granted
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance
from tests.support.query_tags import AGE, TAGS, post_tags
from tests.support.selection import thorough
from tests.support.worklist import WorklistClient

DEFAULT = "Microsoft.Default"
PARTITIONS = ("a", "a1", "b", "B2", DEFAULT)
PATTERNS = ("a", "A*", "a1", "b*", "b2", "B", "microsoft.*", "none", "*")
UNKNOWN = "nowhere"
STUDIES = ("2.25.71", "2.25.72")
AGES = ("030Y", "3Y")
TAG = f"{TAGS}/PatientAge"
START = 1_700_000_000.0
PAGE = 3


class Change(NamedTuple):
    """A call that changes a partition. `number` chooses the instance, `age` the Patient Age: one of them is bad."""

    kind: str
    partition: str
    study: str
    number: int
    age: str


CHANGES = st.lists(
    st.builds(
        Change,
        st.sampled_from(["store", "store", "store", "delete", "update", "export", "workitem"]),
        st.sampled_from(PARTITIONS),
        st.sampled_from(STUDIES),
        st.integers(1, 2),
        st.sampled_from(AGES),
    ),
    min_size=1,
    max_size=14,
)


class Archive:
    """An archive at a time that the test sets, and the answers that one caller gets from it."""

    def __init__(self, folder: Path, patterns: Sequence[str]) -> None:
        self.app: Flask = embedded(folder, export_dir=folder / "exports")
        authenticate(self.app, {"reader": granted(Action.READ, to=tuple(patterns))})
        self.admin = calling(self.app, ADMIN)
        self.operations: list[str] = []

    def apply(self, change: Change) -> str:
        """Make a change. Return the id of its operation, empty if it has none."""
        client = PartitionClient(self.admin, f"/v1/partitions/{change.partition}")
        path = f"/studies/{change.study}"
        uids = {"study": change.study, "series": f"{change.study}.1", "instance": f"{change.study}.1.{change.number}"}
        match change.kind:
            case "store":
                client.store(make_instance(**uids, PatientAge=change.age, pixel=False))
            case "delete":
                client.delete(path)
            case "workitem":
                WorklistClient(self.admin, client.prefix).add(f"2.25.9{change.number}")
            case "update":
                changes = {"00104000": {"vr": "LT", "Value": [f"comment {change.number}"]}}
                body = {"studyInstanceUids": [change.study], "changeDataset": changes}
                response = post_update(PartitionClient(self.admin, f"/v2/partitions/{change.partition}"), body)
                return self._done(response)
            case "export":
                source = {"type": "identifiers", "settings": {"values": [change.study]}}
                body = {"source": source, "destination": {"type": "file", "settings": {"prefix": "drop"}}}
                return self._done(client.post(json.dumps(body).encode(), "application/json", "/export"))
        work(self.admin)
        return ""

    def _done(self, response: TestResponse) -> str:
        work(self.admin)
        return str(response.get_json()["id"]) if response.status_code == 202 else ""

    def index_ages(self) -> None:
        post_tags(self.admin, AGE)
        work(self.admin)
        assert self.admin.patch(TAG, json={"queryStatus": "Enabled"}).status_code == 200


def answers(
    client: FlaskClient, partitions: Sequence[str], operations: Sequence[str], middle: str
) -> Iterator[tuple[str, Any]]:
    """Yield a name and what can be compared of each answer."""
    for partition in (*partitions, UNKNOWN):
        yield from partition_answers(client, partition)
    for partition in ("", "a", "B2", UNKNOWN, "A1,none,b2"):
        selected = f"&partitionName={partition}" if partition else ""
        for window in ("", f"&startTime={middle}", f"&endTime={middle}"):
            yield f"feed {partition} {window}", list(feed_by_time(client, selected + window))
        yield f"v1 feed {partition}", list(feed_by_number(client, selected))
        for version in ("v1", "v2"):
            latest = client.get(f"/{version}/changefeed/latest?{selected}")
            yield f"latest {version} {partition}", (latest.status_code, latest.data and entry(latest.get_json()))
    for path in (TAGS, TAG, f"{TAG}/errors", f"{TAG}/errors?offset=1&limit=1"):
        yield path, json_of(client.get(path), "queryStatus")
    for number, operation in enumerate(operations):
        found = client.get(f"/v2/operations/{operation or '0' * 32}")
        members = json_of(found, "operationId", "results")
        yield f"operation {number}", (found.status_code, members)


def partition_answers(client: FlaskClient, partition: str) -> Iterator[tuple[str, Any]]:
    paths = [
        "/studies?includefield=all",
        "/instances",
        "/studies?PatientAge=30Y",
        "/series?PatientAge=030Y",
        "/workitems",
    ]
    paths += [f"/studies/{study}/{rest}" for study in STUDIES for rest in ("metadata", "instances", "series")]
    paths += [f"/studies/{study}/series/{study}.1/instances/{study}.1.1" for study in STUDIES]
    for version in ("v1", "v2"):
        for path in paths:
            found = PartitionClient(client, f"/{version}/partitions/{partition}").get(path)
            kind, _, boundary = found.headers.get("Content-Type", "").partition("; boundary=")
            headers = [kind, *(found.headers.get(name, "") for name in ("Warning", "erroneous-dicom-attributes"))]
            body = found.data.replace(boundary.encode(), b"") if boundary else found.data
            yield f"{version} {partition} {path}", (found.status_code, headers, body)


def feed_by_time(client: FlaskClient, query: str) -> Iterator[dict[str, Any]]:
    offset = 0
    while page := client.get(f"/v2/changefeed?limit={PAGE}&offset={offset}{query}").get_json():
        yield from map(entry, page)
        offset += PAGE


def feed_by_number(client: FlaskClient, query: str) -> Iterator[dict[str, Any]]:
    latest = client.get(f"/v1/changefeed/latest?{query}")
    for offset in range(0, latest.get_json()["sequence"] if latest.data else 0, 7):
        yield from map(entry, client.get(f"/v1/changefeed?limit=7&offset={offset}{query}").get_json())


def entry(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if name != "sequence"}


def json_of(response: TestResponse, *without: str) -> Any:
    """The JSON of an answer, without the members of these names."""

    def cleaned(value: Any) -> Any:
        if isinstance(value, list):
            return [cleaned(each) for each in value]
        if isinstance(value, dict):
            return {name: cleaned(each) for name, each in value.items() if name not in without}
        return value

    return cleaned(orjson.loads(response.data)) if response.data.startswith((b"[", b"{")) else response.text


def partition_names(client: FlaskClient) -> list[str]:
    return [each["partitionName"] for each in client.get("/v2/partitions").get_json()]


@thorough  # tests/api/test_access_matrix.py, test_denial.py and test_feed_visibility.py find most of its faults
@settings(max_examples=6, phases=(Phase.explicit, Phase.generate))
@given(CHANGES, st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3))
def test_a_reader_sees_an_archive_of_its_partitions_alone(changes: list[Change], patterns: list[str]) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        whole, part = (Archive(Path(folder) / name, patterns) for name in ("whole", "part"))
        operations: list[tuple[str, str]] = []
        for number, change in enumerate(changes):
            patch.setattr(clock, "now", lambda number=number: START + 700 * number)
            id_in_whole = whole.apply(change)
            is_granted = covers(patterns, change.partition)
            operations.append((id_in_whole, part.apply(change) if is_granted else ""))
        end = START + 700 * len(changes)
        patch.setattr(clock, "now", lambda: end)
        whole.index_ages()
        part.index_ages()
        reader, middle = calling(whole.app, "reader"), clock.timestamp((START + end) / 2).replace("+00:00", "Z")
        partitions = [each for each in PARTITIONS if each != DEFAULT or covers(patterns, each)]
        found = answers(reader, partitions, [each for each, _ in operations], middle)
        expected = answers(part.admin, partitions, [each for _, each in operations], middle)
        for one, other in zip(found, expected, strict=True):
            assert one == other
        names = [each for each in partition_names(part.admin) if covers(patterns, each)]
        assert partition_names(reader) == names
