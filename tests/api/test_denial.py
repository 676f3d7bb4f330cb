"""Denied calls create nothing and read nothing (conformance §2.5, §13.4)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app.services.access.rights import Action, Rights
from tests.support.callers import ADMIN, authenticate, calling, embedded, granted
from tests.support.dicomweb import PartitionClient
from tests.support.faulty_engine import Faults
from tests.support.instances import make_instance
from tests.support.worklist import WorklistClient

RIGHTS = {
    "no grant": Rights(),
    "reader": granted(Action.READ, to="clinic-*"),
    "writer": granted(Action.WRITE, to="clinic-*"),
    "deleter": granted(Action.DELETE, to="clinic-a"),
}
FORBIDDEN = (403, "Authorization failed.")


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def app(tmp_path: Path, faults: Faults) -> Flask:
    app = embedded(tmp_path, faults=faults)
    authenticate(app, RIGHTS)
    PartitionClient(calling(app, ADMIN)).stored(make_instance(pixel=False))
    return app


def names(app: Flask) -> list[str]:
    return [each["partitionName"] for each in calling(app, ADMIN).get("/v2/partitions").get_json()]


def store(app: Flask, caller: str, partition: str) -> TestResponse:
    return PartitionClient(calling(app, caller), f"/v2/partitions/{partition}").store(make_instance(pixel=False))


def add_workitem(app: Flask, caller: str, partition: str) -> TestResponse:
    return WorklistClient(calling(app, caller), f"/v2/partitions/{partition}").add("2.25.50")


@pytest.mark.parametrize("create", [store, add_workitem])
@pytest.mark.parametrize("caller", ["no grant", "reader", "deleter"])
def test_a_caller_that_may_not_write_creates_no_partition(app: Flask, caller: str, create: Any) -> None:
    for partition in ("clinic-new", "clinic-a", "other"):
        response = create(app, caller, partition)
        assert (response.status_code, response.text) == FORBIDDEN
    assert names(app) == ["Microsoft.Default", "clinic-a"]


@pytest.mark.parametrize("create", [store, add_workitem])
def test_a_writer_creates_the_partitions_that_its_grant_covers(app: Flask, create: Any) -> None:
    assert create(app, "writer", "Clinic-New").status_code in (200, 201, 202)
    assert create(app, "writer", "other").status_code == 403
    assert names(app) == ["Microsoft.Default", "clinic-a", "Clinic-New"]
    writer = calling(app, "writer")
    assert [each["partitionName"] for each in writer.get("/v2/partitions").get_json()] == ["clinic-a", "Clinic-New"]
    search = writer.get("/v2/partitions/clinic-new/studies")
    assert (search.status_code, search.text) == FORBIDDEN


def test_a_race_for_a_new_partition_tells_a_denied_caller_nothing(app: Flask) -> None:
    callers = ["writer", "reader", "no grant"] * 4
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda caller: store(app, caller, "clinic-race"), callers))
    for caller, answer in zip(callers, answers, strict=True):
        if caller == "writer":
            assert answer.status_code in (200, 202)
        else:
            assert (answer.status_code, answer.text) == FORBIDDEN
    assert names(app) == ["Microsoft.Default", "clinic-a", "clinic-race"]


@pytest.mark.parametrize("caller", ["no grant", "deleter"])
@pytest.mark.parametrize(("method", "path"), [("GET", "studies"), ("POST", "studies"), ("DELETE", "studies/2.25.1")])
def test_a_hidden_and_a_missing_partition_cost_no_call_to_the_table(
    app: Flask, faults: Faults, caller: str, method: str, path: str
) -> None:
    PartitionClient(calling(app, ADMIN), "/v2/partitions/hidden").stored(make_instance(pixel=False))
    for partition in ("hidden", "missing"):
        faults.calls.clear()
        calling(app, caller).open(
            f"/v2/partitions/{partition}/{path}", method=method, headers={"Content-Type": "application/dicom"}
        )
        assert not faults.calls


def test_a_hidden_operation_costs_as_much_as_a_missing_one(app: Flask, faults: Faults) -> None:
    operations = app.extensions["bulkhead"].operations._operations
    hidden = operations.start("export", {}, started_by="another", partition="other").id
    for operation in (hidden, "0" * 32):
        faults.calls.clear()
        assert calling(app, "no grant").get(f"/v2/operations/{operation}").status_code == 404
        assert faults.calls == {"table.get": 1}


def test_a_grant_that_expires_hides_the_partition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = embedded(tmp_path)
    authenticate(app, {"guest": granted(Action.READ, to="clinic-a", expires=2_000_000_000.0)})
    PartitionClient(calling(app, ADMIN)).stored(make_instance(pixel=False))
    guest = PartitionClient(calling(app, "guest"))
    monkeypatch.setattr("app.services.access.rights.time.time", lambda: 1_999_999_999.0)
    assert guest.get("/studies").status_code == 200
    monkeypatch.setattr("app.services.access.rights.time.time", lambda: 2_000_000_000.0)
    response = guest.get("/studies")
    assert (response.status_code, response.text) == (400, "Specified PartitionName clinic-a doesn't exist.")
    assert calling(app, "guest").get("/v2/changefeed").status_code == 403
    assert calling(app, "guest").get("/v2/partitions").get_json() == []
