"""`GET operations/{id}` over HTTP (conformance §9.1, §9.2)."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient
from msgspec.structs import replace

from app import bootstrap
from app.storage.operations.operations import CANCELED, FAILED, RUNNING, SUCCEEDED, Operation, Operations


@pytest.fixture
def operations(engine: bootstrap.Engine) -> Operations:
    """The operations of the service."""
    return Operations(engine.table)


def stored_operation(operations: Operations, kind: str, **changes: Any) -> Operation:
    """Start an operation, and store it with some fields changed."""
    started = operations.start(kind, {"secret": "of the caller"})
    claimed = operations.claim(started.id, "worker", 60)
    assert claimed
    return operations.save(replace(claimed, **changes), "worker", 60)


@pytest.mark.parametrize("version", ["/v1", "/v2", ""])
@pytest.mark.parametrize(
    ("status", "shown", "code"),
    [
        (None, {"/v1": "notStarted"}, 202),
        (RUNNING, {"/v1": "running"}, 202),
        (SUCCEEDED, {"/v1": "completed"}, 200),
        (FAILED, {"/v1": "failed"}, 200),
        (CANCELED, {"/v1": "canceled"}, 200),
    ],
)
def test_status_in_each_version(
    client: FlaskClient, operations: Operations, version: str, status: str | None, shown: dict[str, str], code: int
) -> None:
    operation = stored_operation(operations, "update", status=status) if status else operations.start("update", {})
    response = client.get(f"{version}/operations/{operation.id}")
    assert response.status_code == code
    assert response.content_type == "application/json"
    assert response.json["status"] == (shown["/v1"] if version == "/v1" else status or "notStarted")
    assert response.headers.get("Retry-After") == ("5" if code == 202 else None)
    href = f"http://localhost{version}/operations/{operation.id}"
    assert response.headers.get("Location") == (href if code == 202 else None)


def test_body(client: FlaskClient, operations: Operations) -> None:
    results = {"studyProcessed": 2, "studyUpdated": 1, "errors": ["Failed to update instances for study 2.25.802"]}
    operation = stored_operation(operations, "update", status=FAILED, percent=100, results=results)
    body = client.get(f"/v2/operations/{operation.id}").json
    for name in ("createdTime", "lastUpdatedTime"):
        time = body.pop(name)
        assert time.endswith("Z") and "+" not in time
    assert body == {
        "operationId": operation.id,
        "type": "update",
        "status": "failed",
        "percentComplete": 100,
        "results": results,
    }
    bare = client.get(f"/v2/operations/{operations.start('export', {}).id}").get_json()
    assert set(bare) == {"operationId", "type", "status", "createdTime", "lastUpdatedTime"}


def test_forms_of_the_id(client: FlaskClient, operations: Operations) -> None:
    plain = operations.start("export", {}).id
    parts = [plain[:8], plain[8:12], plain[12:16], plain[16:20], plain[20:]]
    hyphens = "-".join(parts)
    for form in (plain, plain.upper(), hyphens, hyphens.upper(), f"{{{hyphens}}}", f"({hyphens})"):
        response = client.get(f"/v2/operations/{form}")
        assert response.status_code == 202, form
        assert response.json["operationId"] == plain
    for form in (plain[:-1], plain + "0", hyphens[:-1], f"{{{hyphens}", f"{{{hyphens})", "x" * 32, "null"):
        assert client.get(f"/v2/operations/{form}").status_code == 400, form


def test_unknown_and_internal_operations_are_404(client: FlaskClient, operations: Operations) -> None:
    for operation in ("0" * 32, operations.start("tag-removal", {}).id):
        response = client.get(f"/v2/operations/{operation}")
        assert (response.status_code, response.data) == (404, b"")


def test_other_methods_are_405(client: FlaskClient, operations: Operations) -> None:
    operation = operations.start("export", {}).id
    for method in ("post", "put", "patch", "delete"):
        assert getattr(client, method)(f"/v2/operations/{operation}").status_code == 405
    assert client.get("/v2/operations").status_code == 404
