"""An operation exists for its starter and for readers of its partition (conformance §9.1, §9.5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from app.services.access.caller import ANONYMOUS
from app.services.access.rights import Action, Rights
from app.storage.operations.operations import Operations
from tests.support.background import work
from tests.support.bulk_update import post_update, update_body
from tests.support.callers import ADMIN, READER, authenticate, calling, embedded, granted
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance
from tests.support.query_tags import AGE, post_tags

RIGHTS = {
    "starter": granted(Action.WRITE, Action.EXPORT, to="clinic-a"),
    "reader of a": granted(Action.READ, to="CLINIC-A"),
    "reader of b": granted(Action.READ, to="clinic-b"),
    "other starter": granted(Action.WRITE, Action.EXPORT, to=("clinic-a", "clinic-b")),
    "tag keeper": granted(Action.MANAGE_EXTENDED_QUERY_TAGS),
    "reader": READER,
    "nobody": Rights(),
}
STUDY = "2.25.700"


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    app = embedded(tmp_path / "data", export_dir=tmp_path / "exports")
    authenticate(app, RIGHTS)
    for name in ("clinic-a", "clinic-b"):
        admin = PartitionClient(calling(app, ADMIN), f"/v2/partitions/{name}")
        admin.stored(make_instance(study=STUDY, PatientAge="3Y", pixel=False))
    return app


def client(app: Flask, caller: str, partition: str = "clinic-a") -> PartitionClient:
    return PartitionClient(calling(app, caller), f"/v2/partitions/{partition}")


def seen_by(app: Flask, operation: str) -> set[str]:
    """The callers that can read the operation. The answer to the others must be that of an unknown id."""
    found = set()
    for caller in (*RIGHTS, ADMIN):
        response = calling(app, caller).get(f"/v2/operations/{operation}")
        if response.status_code in (200, 202):
            found.add(caller)
            continue
        unknown = calling(app, caller).get(f"/v2/operations/{'0' * 32}")
        assert (response.status_code, response.data) == (unknown.status_code, unknown.data) == (404, b"")
    return found


def start_export(app: Flask, caller: str) -> str:
    body: dict[str, Any] = {
        "source": {"type": "identifiers", "settings": {"values": [STUDY]}},
        "destination": {"type": "file", "settings": {"prefix": "drop"}},
    }
    response = calling(app, caller).post("/v2/partitions/Clinic-A/export", json=body)
    assert response.status_code == 202, response.text
    return str(response.get_json()["id"])


def start_update(app: Flask, caller: str) -> str:
    response = post_update(client(app, caller), update_body(STUDY))
    assert response.status_code == 202, response.text
    return str(response.get_json()["id"])


@pytest.mark.parametrize("start", [start_export, start_update])
def test_an_operation_of_a_partition(app: Flask, start: Any) -> None:
    operation = start(app, "starter")
    seen = {"starter", "reader of a", "reader", ADMIN}
    assert seen_by(app, operation) == seen
    work(calling(app, ADMIN))
    assert seen_by(app, operation) == seen


def test_a_reindex_is_visible_to_every_reader(app: Flask) -> None:
    operation = post_tags(calling(app, "tag keeper"), AGE).get_json()["id"]
    assert seen_by(app, operation) == {"tag keeper", "reader of a", "reader of b", "reader", ADMIN}
    again = post_tags(calling(app, ADMIN), AGE)
    assert again.text == f"There is already an active re-index operation with ID '{operation}'."


def test_a_record_without_starter_and_partition_is_visible_to_readers_of_everything(app: Flask) -> None:
    operations: Operations = app.extensions["bulkhead"].operations._operations
    for kind in ("export", "update"):
        assert seen_by(app, operations.start(kind, {}).id) == {"reader", ADMIN}
    assert seen_by(app, operations.start("tag-removal", {}).id) == set()


def test_what_anonymous_callers_started_belongs_to_no_caller(app: Flask) -> None:
    authenticate(app, {**RIGHTS, "anonymous": Rights()})
    operations: Operations = app.extensions["bulkhead"].operations._operations
    operation = operations.start("export", {}, started_by=ANONYMOUS.identity, partition="clinic-a").id
    assert seen_by(app, operation) == {"reader of a", "reader", ADMIN}
    assert calling(app, "anonymous").get(f"/v2/operations/{operation}").status_code == 404


@pytest.mark.parametrize(
    ("caller", "is_named"), [("reader and writer of a", True), ("writer of b", False), ("starter", True)]
)
def test_a_second_update_is_told_the_id_of_an_operation_that_it_may_see(
    app: Flask, caller: str, is_named: bool
) -> None:
    both = granted(Action.READ, Action.WRITE, to="clinic-a")
    authenticate(app, {**RIGHTS, "reader and writer of a": both, "writer of b": granted(Action.WRITE, to="clinic-b")})
    operation = start_update(app, "starter")
    partition = "clinic-b" if caller == "writer of b" else "clinic-a"
    response = post_update(client(app, caller, partition), update_body(STUDY))
    name = f" with ID '{operation}'" if is_named else ""
    assert (response.status_code, response.text) == (409, f"There is already an active update operation{name}.")
    assert is_named or operation not in str(response.headers)
