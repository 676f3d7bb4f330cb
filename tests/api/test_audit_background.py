"""The audit lines of work in the background: who asked for it, and how it ended (conformance §13.5)."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from app import create_app
from app.bootstrap import Engine
from app.services.access.authentication import Authentication, Verified
from app.services.access.caller import Caller
from app.services.access.rights import ALL_RIGHTS
from app.services.audit.call import stored_caller
from app.settings import Settings
from tests.support.audit_lines import AuditLog, Line
from tests.support.background import work
from tests.support.bulk_update import post_update, update_body
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance

pytestmark = pytest.mark.parametrize("settings", ["embedded"], indirect=True)
"""The engines do not see the audit trail."""

STARTER = Caller(subject="Pipeline 7", rights=ALL_RIGHTS, issuer="https://login.example/a b")


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    return AuditLog(tmp_path / "audit.log")


@pytest.fixture
def client(settings: Settings, engine: Engine, log: AuditLog) -> FlaskClient:
    """The service with an audit file. Its caller is `STARTER`."""
    app = create_app(dataclasses.replace(settings, audit=str(log.path)), engine)
    authentication = Authentication(verify_jwt=lambda _: Verified(caller=STARTER))
    app.extensions["bulkhead"] = dataclasses.replace(app.extensions["bulkhead"], authentication=authentication)
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = "Bearer x"
    return client


def lines_of_work(client: FlaskClient, log: AuditLog) -> list[Line]:
    """Do the background work, and return its lines."""
    log.lines()
    work(client)
    return log.lines()


def test_a_bulk_update_names_its_starter_and_its_studies(client: FlaskClient, log: AuditLog) -> None:
    clinic = PartitionClient(client)
    clinic.stored(make_instance(study="2.25.1"), make_instance(study="2.25.1"), make_instance(study="2.25.2"))
    answer = post_update(clinic, update_body("2.25.1", "2.25.2"))
    operation = answer.get_json()["id"]
    first, last = lines_of_work(client, log)
    assert first["requestId"] == last["requestId"] == answer.headers["X-Request-Id"]
    assert [(line["event"], line["phase"]) for line in (first, last)] == [
        ("update-study-operation", "Executing"),
        ("update-study-operation", "Executed"),
    ]
    assert first["caller"] == last["caller"] == {"subject": "Pipeline 7", "issuer": "https://login.example/a b"}
    assert (last["status"], last["count"], last["partition"]) == (200, 3, "clinic-a")
    assert first["operation"] == last["operation"] == operation
    assert last["study"] == ["2.25.1", "2.25.2"]
    assert "Smith" not in log.path.read_text()


def test_a_bulk_update_that_failed_has_status_400(client: FlaskClient, engine: Engine, log: AuditLog) -> None:
    clinic = PartitionClient(client)
    clinic.stored(make_instance(study="2.25.1", instance="2.25.3"))
    services = client.application.extensions["bulkhead"]
    (row,) = services.retrieve.instances(services.partitions.resolve("clinic-a", create=False), "2.25.1")
    post_update(clinic, update_body("2.25.1"))
    engine.blobs.delete([row.blob])
    assert lines_of_work(client, log)[-1]["status"] == 400


def test_exports_and_tags_name_their_starter(client: FlaskClient, log: AuditLog) -> None:
    clinic = PartitionClient(client)
    clinic.stored(make_instance(study="2.25.1"))
    export = {
        "source": {"type": "identifiers", "settings": {"values": ["2.25.1"]}},
        "destination": {"type": "file", "settings": {"folder": "a"}},
    }
    answer = clinic.post(json.dumps(export).encode(), "application/json", "/export")
    assert answer.status_code == 202, answer.text
    assert log.lines()[-1]["study"] == "2.25.1"
    tags = [{"path": "PatientAge", "level": "Study"}]
    assert client.post("/v2/extendedquerytags", json=tags).status_code == 202
    lines = lines_of_work(client, log)
    assert client.delete("/v2/extendedquerytags/PatientAge").status_code == 204
    lines += lines_of_work(client, log)
    found = sorted((line["event"], line["phase"], line.get("status")) for line in lines)
    events = ("export-operation", "reindex-operation", "tag-removal-operation")
    assert found == [pair for event in events for pair in ((event, "Executed", 200), (event, "Executing", None))]
    assert {line["caller"]["subject"] for line in lines} == {"Pipeline 7"}
    assert [line["count"] for line in lines if line["event"] == "export-operation" and "status" in line] == [1]


@pytest.mark.parametrize(
    ("caller", "members"),
    [
        (STARTER, {"subject": "Pipeline 7", "issuer": "https://login.example/a b"}),
        (Caller(subject="CT 3", rights=ALL_RIGHTS, token="7f"), {"token": "7f"}),
        (Caller(subject="anonymous", rights=ALL_RIGHTS), {"subject": "anonymous"}),
        (Caller(subject="", rights=ALL_RIGHTS), {}),
    ],
    ids=["jwt", "token", "anonymous", "nobody"],
)
def test_the_identity_in_a_record_names_the_caller(settings: Settings, caller: Caller, members: dict[str, str]) -> None:
    assert stored_caller(caller.identity) == members
