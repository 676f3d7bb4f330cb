"""The pages of operations (conformance §9.1, §15.4)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from msgspec.structs import replace

from app.services.access.caller import ANONYMOUS
from app.services.access.rights import Action, Rights
from app.services.operations import directory
from app.storage.operations.operations import Operations
from tests.api.site.conftest import both_engines
from tests.support.background import work
from tests.support.bulk_update import STUDY, post_update, update, update_body
from tests.support.callers import ADMIN, READER, authenticate, calling, embedded, granted
from tests.support.dicomweb import PartitionClient
from tests.support.query_tags import AGE, add_and_index, post_tags


def listed(client: FlaskClient, query: str = "") -> list[str]:
    """Return the ids of the operations on a page of the list, in their order."""
    answer = client.get("/ui/operations" + query)
    assert answer.status_code == 200
    return re.findall('href="/ui/operations/([0-9a-f]{32})"', answer.text)


def older(client: FlaskClient, query: str = "") -> str | None:
    """Return the query string of the next page, None if there is none."""
    found = re.search(r'href="/ui/operations(\?before=[^"]+)"', client.get("/ui/operations" + query).text)
    return found[1] if found else None


@both_engines
def test_those_that_run_come_first_then_the_newest(clinic: PartitionClient, study_to_update: bytes) -> None:
    client = clinic.client
    assert listed(client) == []
    first = update(clinic, STUDY)["operationId"]
    second = add_and_index(client, AGE)
    third = post_update(clinic, update_body(STUDY)).get_json()["id"]
    assert listed(client) == [third, second, first]
    work(client)
    assert listed(client) == [third, second, first]


def test_pages_of_the_list(clinic: PartitionClient, study_to_update: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "PAGE_LENGTH", 2)
    ids = [update(clinic, "2.25.1")["operationId"] for _ in range(5)]
    pages, query = [], ""
    while True:
        pages.append(listed(clinic.client, query))
        following = older(clinic.client, query)
        if following is None:
            break
        query = following
    assert pages == [ids[:2:-1], ids[2:0:-1], ids[:1]]


RIGHTS = {
    "starter": granted(Action.WRITE, to="clinic-a"),
    "reader of a": granted(Action.READ, to="clinic-a"),
    "reader of b": granted(Action.READ, to="clinic-b"),
    "reader": READER,
    "nobody": Rights(),
}


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    app = embedded(tmp_path)
    authenticate(app, RIGHTS)
    return app


@pytest.fixture
def operations(app: Flask) -> Operations:
    found: Operations = app.extensions["bulkhead"].operations._operations
    return found


def test_a_caller_sees_its_own_operations_and_those_of_its_partitions(app: Flask, operations: Operations) -> None:
    started_by = "jwt https%3A//issuer.example starter"
    mine = operations.start("update", {}, partition="clinic-a", started_by=started_by).id
    other = operations.start("export", {}, partition="clinic-b", started_by=ANONYMOUS.identity).id
    hidden = operations.start("tag-removal", {}).id
    expected = {
        "starter": {mine},
        "reader of a": {mine},
        "reader of b": {other},
        "reader": {mine, other},
        ADMIN: {mine, other},
        "nobody": set(),
    }
    for caller, ids in expected.items():
        client = calling(app, caller)
        assert set(listed(client)) == ids, caller
        for operation in (mine, other, hidden):
            assert client.get(f"/ui/operations/{operation}").status_code == (200 if operation in ids else 404)


def test_operations_that_the_caller_does_not_see_leave_no_trace(
    app: Flask, operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "PAGE_LENGTH", 1)
    for _ in range(3):
        ended(operations, "clinic-b")
    mine = [ended(operations, "clinic-a") for _ in range(2)]
    for _ in range(3):
        ended(operations, "clinic-b")
    reader = calling(app, "reader of a")
    assert listed(reader) == mine[1:]
    query = older(reader)
    assert query is not None
    assert mine[1] in query
    assert listed(reader, query) == mine[:1]
    assert older(reader, query) is None


def test_a_list_looks_at_a_bounded_number_of_operations(
    app: Flask, operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "MAX_EXAMINED", 3)
    ended(operations, "clinic-a")
    for _ in range(3):
        ended(operations, "clinic-b")
    assert listed(calling(app, "reader of a")) == []
    assert len(listed(calling(app, ADMIN))) == 3


def ended(operations: Operations, partition: str) -> str:
    started = operations.start("export", {}, partition=partition)
    claimed = operations.claim(started.id, "test", 60)
    assert claimed is not None
    operations.save(replace(claimed, status="succeeded"), "test", 60)
    return started.id


def test_a_page_shows_the_result(clinic: PartitionClient, study_to_update: bytes) -> None:
    operation = update(clinic, STUDY)["operationId"]
    text = clinic.client.get(f"/ui/operations/{operation}").text
    for shown in ("Succeeded", "Instances updated", "<dd>3</dd>", 'value="100"', "clinic-a"):
        assert shown in text
    assert "operation.js" not in text


def test_a_script_follows_an_operation_that_runs(client: FlaskClient) -> None:
    operation = post_tags(client, AGE).get_json()["id"]
    text = client.get(f"/ui/operations/{operation}").text
    assert f'data-operation="/v2/operations/{operation}"' in text
    assert "operation.js" in text
    assert "Reload this page" in text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/ui/operations/" + "0" * 32, 404),
        ("/ui/operations/1", 404),
        ("/ui/operations?before=yesterday", 400),
        ("/ui/operations?before=" + "0" * 5000, 400),
    ],
)
def test_there_is_no_such_operation(client: FlaskClient, path: str, status: int) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.content_type) == (status, "text/html; charset=utf-8")


def test_errors_of_a_result_are_text(app: Flask, operations: Operations) -> None:
    started = operations.start("update", {}, partition="clinic-a")
    claimed = operations.claim(started.id, "test", 60)
    assert claimed is not None
    results = {"studyFailed": 1, "errors": ["<script>alert(1)</script>"]}
    operations.save(replace(claimed, status="failed", results=results), "test", 60)
    text = calling(app, ADMIN).get(f"/ui/operations/{started.id}").text
    assert "&lt;script&gt;alert(1)" in text
    assert "<script>alert" not in text
