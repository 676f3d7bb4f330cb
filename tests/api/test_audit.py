"""The audit trail of calls: which lines they write, and what the lines have (conformance §13.5)."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.services.access.authentication import Authentication, Verified
from app.services.access.caller import Caller
from app.services.access.rights import ALL_RIGHTS, Action, Grant, Rights
from app.services.audit.call import MAX_STUDIES
from app.web.routes.table import ROUTES
from app.web.routing.audit import HEADER_PREFIX
from app.web.routing.route import PARTITION_PREFIX, Route, Scope
from tests.conftest import Serve
from tests.support.audit_lines import AuditLog
from tests.support.bulk_update import post_update, update_body
from tests.support.dicomweb import AS_STORED, PartitionClient
from tests.support.instances import make_instance

pytestmark = pytest.mark.parametrize("settings", ["embedded"], indirect=True)
"""The engines do not see the audit trail."""

VALUES = {
    "<study>": "2.25.1", "<series>": "2.25.2", "<instance>": "2.25.3", "<workitem>": "2.25.9", "<frames>": "1",
    "<partition>": "clinic-a", "<operation>": "0" * 32, "<path>": "PatientAge",
    "<token>": "0" * 32, "<grant>": "0" * 32, "<path:element>": "7FE00010",
}  # fmt: skip
BODIES = {"application/dicom": b"x", "application/dicom+json": b"[{}]", "application/json": b"{}"}
PAIR = ["Executing", "Executed"]


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    return AuditLog(tmp_path / "audit.log")


@pytest.fixture
def audited(serve: Serve, log: AuditLog) -> FlaskClient:
    """The service with an audit file."""
    return serve(audit=str(log.path))


@pytest.fixture
def clinic(audited: FlaskClient) -> PartitionClient:
    return PartitionClient(audited)


def call(client: FlaskClient, route: Route, prefix: str) -> Iterator[TestResponse]:
    """Call each path of a route."""
    body = route.body and next(each for each in reversed(route.body.media_types) if each in BODIES)
    for path in route.paths:
        for name, value in VALUES.items():
            path = path.replace(name, value)
        assert "<" not in path
        url = f"{prefix}{path}" + ("?requestType=WADO" if route.selected_by else "")
        yield client.open(url, method=route.method, data=BODIES[body] if body else None, content_type=body)


def test_each_route_writes_one_pair_in_every_version_and_form(
    audited: FlaskClient, serve: Serve, log: AuditLog
) -> None:
    without_partitions = serve(audit=str(log.path), enable_data_partitions=False)
    checked = 0
    for route in ROUTES:
        if route.audit is None:
            continue
        for version in route.versions:
            below = PARTITION_PREFIX.replace("<partition>", "clinic-a")
            forms = {
                Scope.PARTITION: [(audited, below), (audited, ""), (without_partitions, "")],
                Scope.BELOW_PARTITION: [(audited, below)],
                Scope.BASE: [(audited, "")],
            }
            for client, form in forms[route.scope]:
                for answer in call(client, route, f"/{version.name}{form}"):
                    first, last = [line for line in log.lines() if line["event"] != "partition-create"]
                    assert [first["event"], last["event"]] == [route.audit, route.audit], route
                    assert [first["phase"], last["phase"]] == PAIR
                    assert "status" not in first
                    assert last["status"] == answer.status_code != 415
                    assert first["requestId"] == last["requestId"] == answer.headers["X-Request-Id"]
                    checked += 1
    assert checked > 200


@pytest.mark.parametrize(
    ("method", "path", "content_type"),
    [
        ("GET", "/health/check", None),
        ("GET", "/health/live", None),
        ("GET", "/nothing", None),
        ("GET", "/v1/partitions/clinic-a", None),
        ("PUT", "/v2/partitions", None),
        ("POST", "/v2/partitions/clinic-a/studies", "text/plain"),
        ("POST", "/v2/partitions/clinic-a/export", "text/plain"),
    ],
)
def test_health_and_calls_turned_away_without_a_route_leave_no_line(
    audited: FlaskClient, log: AuditLog, method: str, path: str, content_type: str | None
) -> None:
    audited.open(path, method=method, content_type=content_type, data=b"x" if content_type else None)
    assert log.lines() == []


def test_a_store_names_what_it_stored_and_the_partition_it_made(clinic: PartitionClient, log: AuditLog) -> None:
    clinic.stored(make_instance(study="2.25.1", series="2.25.2", instance="2.25.3"))
    executing, created, executed = log.lines()
    assert (created["event"], created["phase"], created["status"]) == ("partition-create", "Executed", 201)
    assert created["partition"] == "clinic-a"
    assert executing["partition"] == "clinic-a"
    assert "study" not in executing
    assert executed["caller"] == {"subject": "anonymous"}
    assert executed["address"] == "127.0.0.1"
    found = [executed[name] for name in ("study", "series", "instance", "count")]
    assert found == ["2.25.1", "2.25.2", "2.25.3", 1]
    clinic.stored(make_instance(study="2.25.1", series="2.25.2"), make_instance(study="2.25.1", series="2.25.2"))
    executing, executed = log.lines()
    assert (executed["study"], executed["series"], executed["count"]) == ("2.25.1", "2.25.2", 2)
    assert "instance" not in executed
    clinic.stored(make_instance(study="2.25.5"), make_instance(study="2.25.4"))
    executing, executed = log.lines()
    assert executed["study"] == ["2.25.4", "2.25.5"]
    assert "series" not in executed


def test_a_line_names_fifty_studies_and_the_number_of_all(clinic: PartitionClient, log: AuditLog) -> None:
    clinic.stored(*(make_instance(study=f"2.25.{1000 + number}") for number in range(MAX_STUDIES + 1)))
    executed = log.lines()[-1]
    assert executed["study"] == [f"2.25.{1000 + number}" for number in range(MAX_STUDIES)]
    assert (executed["studies"], executed["count"]) == (51, 51)
    assert max(map(len, log.path.read_bytes().splitlines())) < 4096


def test_a_refused_store_counts_no_instance(clinic: PartitionClient, log: AuditLog) -> None:
    assert clinic.store(b"x").status_code == 409
    executed = log.lines()[-1]
    assert (executed["status"], executed["count"]) == (409, 0)


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/studies/2.25.1/series/2.25.2/instances/2.25.3/frames/1", ["2.25.1", "2.25.2", "2.25.3"]),
        ("/studies/2.25.1/series/2.25.2/metadata", ["2.25.1", "2.25.2", None]),
        ("/wado?requestType=WADO&studyUID=2.25.1&seriesUID=2.25.2&objectUID=2.25.3", ["2.25.1", "2.25.2", "2.25.3"]),
        ("/studies/2.25.1/series/DOE/instances", ["2.25.1", None, None]),
        ("/studies/Doe%5EJane", [None, None, None]),
    ],
)
def test_uids_of_the_url_are_named_and_other_text_is_not(
    clinic: PartitionClient, log: AuditLog, path: str, named: list[str | None]
) -> None:
    clinic.stored(make_instance())
    log.lines()
    clinic.get(path)
    executed = log.lines()[-1]
    assert [executed.get(name) for name in ("study", "series", "instance")] == named


def test_the_name_of_a_partition_is_named_only_if_it_may_be_one(audited: FlaskClient, log: AuditLog) -> None:
    for name in ("clinic-b", "Doe%5EJane"):
        assert audited.get(f"/v2/partitions/{name}/studies").status_code == 400
    lines = log.lines()
    assert [line.get("partition") for line in lines] == ["clinic-b", "clinic-b", None, None]
    assert [line.get("status") for line in lines] == [None, 400, None, 400]


def test_results_workitems_and_operations_are_named(clinic: PartitionClient, log: AuditLog) -> None:
    clinic.stored(make_instance(study="2.25.1"), make_instance(study="2.25.2"))
    clinic.get("/studies")
    assert log.lines()[-1]["count"] == 2
    clinic.post(b"[{}]", "application/dicom+json", "/workitems?2.25.9")
    assert log.lines()[-1]["workitem"] == "2.25.9"
    operation = post_update(clinic, update_body("2.25.1", "2.25.2")).get_json()["id"]
    executed = log.lines()[-1]
    assert (executed["event"], executed["operation"]) == ("update-study", operation)
    assert executed["study"] == ["2.25.1", "2.25.2"]
    clinic.client.get(f"/v2/operations/{operation.upper()}")
    assert log.lines()[-1]["operation"] == operation


def test_a_body_that_is_no_uid_is_not_repeated(clinic: PartitionClient, log: AuditLog) -> None:
    clinic.stored(make_instance())
    log.lines()
    assert post_update(clinic, update_body("Doe^Jane")).status_code == 400
    assert "study" not in log.lines()[-1]


def test_the_address_is_that_behind_the_trusted_proxies(serve: Serve, log: AuditLog) -> None:
    client = serve(audit=str(log.path), trusted_proxies=1)
    client.get("/v2/changefeed", headers={"X-Forwarded-For": "10.9.9.9, 10.1.2.3"})
    assert [line["address"] for line in log.lines()] == ["10.1.2.3", "10.1.2.3"]


# --- custom headers ---


def test_ten_headers_of_full_length_are_written_with_both_lines(audited: FlaskClient, log: AuditLog) -> None:
    headers = {f"{HEADER_PREFIX}{number}": "é\t" + "x" * 2046 for number in range(10)}
    assert audited.get("/v2/changefeed", headers=headers).status_code == 200
    lines = log.lines()
    assert [line["headers"] for line in lines] == [headers, headers]


def test_an_eleventh_header_is_refused_before_the_action(clinic: PartitionClient, log: AuditLog) -> None:
    headers = {f"{HEADER_PREFIX}{number}": "x" for number in range(11)}
    answer = clinic.store(make_instance(), **headers)
    assert (answer.status_code, answer.text) == (
        400,
        "The maximum number of custom audit headers allowed is 10. The number of custom audit headers supplied is 11.",
    )
    assert log.phases() == [("store", "Executing", None), ("store", "Executed", 400)]
    assert clinic.get("/studies").status_code == 400  # the store did not create the partition


def test_a_header_of_2049_characters_is_refused(audited: FlaskClient, log: AuditLog) -> None:
    answer = audited.get("/v2/changefeed", headers={"x-ms-azuredicom-audit-site": "x" * 2049})
    assert (answer.status_code, answer.text) == (
        400,
        "The maximum length of a custom audit header value is 2048. "
        "The supplied custom audit header 'X-MS-AZUREDICOM-AUDIT-SITE' has length of 2049.",
    )
    assert log.phases() == [("change-feed", "Executing", None), ("change-feed", "Executed", 400)]


def test_headers_do_not_matter_on_calls_that_are_not_audited(audited: FlaskClient) -> None:
    headers = {f"{HEADER_PREFIX}{number}": "x" for number in range(11)}
    assert audited.get("/health/live", headers=headers).status_code == 200


# --- refusals ---


def change_services(client: FlaskClient, **changes: Any) -> None:
    extensions = client.application.extensions
    extensions["bulkhead"] = dataclasses.replace(extensions["bulkhead"], **changes)


def test_a_call_without_credentials_is_denied_in_one_line(audited: FlaskClient, log: AuditLog) -> None:
    change_services(audited, authentication=Authentication())
    for path in ("/v2/partitions/clinic-a/studies/2.25.1", "/nothing"):
        assert audited.get(path).status_code == 401
    first, second = log.lines()
    assert (first["event"], first["phase"], first["status"]) == ("denied", "Executed", 401)
    assert (first["partition"], first["study"]) == ("clinic-a", "2.25.1")
    assert "caller" not in first
    assert (second["event"], second["status"]) == ("denied", 401)


def test_a_call_without_a_right_is_denied_in_one_line(audited: FlaskClient, log: AuditLog) -> None:
    rights = Rights((Grant(actions=frozenset({Action.READ}), partitions=("clinic-a",)),))
    caller = Caller(subject="Röntgen 3", rights=rights, issuer="https://login.example/")
    change_services(audited, authentication=Authentication(verify_jwt=lambda _: Verified(caller=caller)))
    headers = {"Authorization": "Bearer x", f"{HEADER_PREFIX}SITE": "ward-3"}
    for path in ("/v2/partitions/clinic-a/studies/2.25.1", "/v2/extendedquerytags/PatientAge"):
        assert audited.delete(path, headers=headers).status_code == 403
    first, second = log.lines()
    assert (first["event"], first["phase"], first["status"], first["call"]) == ("denied", "Executed", 403, "delete")
    assert (first["partition"], first["study"]) == ("clinic-a", "2.25.1")
    assert first["caller"] == {"subject": "Röntgen 3", "issuer": "https://login.example/"}
    assert first["headers"] == {"X-MS-AZUREDICOM-AUDIT-SITE": "ward-3"}
    assert (second["event"], second["call"]) == ("denied", "remove-extended-query-tag")
    audited.delete("/v2/partitions/hidden/studies/2.25.1", headers=headers)
    assert log.phases() == [("delete", "Executing", None), ("delete", "Executed", 400)]


def test_the_text_of_a_token_that_is_not_unicode_is_written_escaped(audited: FlaskClient, log: AuditLog) -> None:
    caller = Caller(subject="half \ud800", rights=ALL_RIGHTS, token="7f")
    change_services(audited, authentication=Authentication(verify_jwt=lambda _: Verified(caller=caller)))
    assert audited.get("/v2/changefeed", headers={"Authorization": "Bearer x"}).status_code == 200
    assert log.lines()[-1]["caller"] == {"subject": "half \\ud800", "token": "7f"}


# --- a trail that cannot be written ---


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """While the list is not empty, each write of a line takes three bytes and fails then."""
    failing: list[bool] = []
    write = os.write

    def write_or_fail(descriptor: int, data: bytes) -> int:
        if failing and len(data) > 3:
            write(descriptor, data[:3])
            raise OSError(28, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr("app.services.audit.sinks.os.write", write_or_fail)
    return failing


def test_a_call_that_cannot_be_recorded_is_not_carried_out(
    clinic: PartitionClient, log: AuditLog, full_disk: list[bool]
) -> None:
    full_disk.append(True)
    answer = clinic.store(make_instance())
    assert (answer.status_code, answer.text) == (503, "The audit trail cannot be written.")
    assert answer.headers["Retry-After"] == "5"
    health = clinic.client.get("/health/check").get_json()
    assert health["overallStatus"] == "Degraded"
    assert [each["name"] for each in health["details"] if each["status"] == "Degraded"] == ["audit"]
    full_disk.clear()
    assert clinic.get("/studies").status_code == 400  # there is no partition
    clinic.client.application.extensions["bulkhead"].audit.check()
    clinic.stored(make_instance())


def test_an_outcome_that_cannot_be_recorded_leaves_the_answer(
    clinic: PartitionClient, log: AuditLog, full_disk: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    clinic.stored(make_instance(study="2.25.1"))
    log.lines()
    delete = clinic.client.application.extensions["bulkhead"].delete

    def delete_and_fill_the_disk(*uids: object) -> None:
        delete(*uids)
        full_disk.append(True)

    change_services(clinic.client, delete=delete_and_fill_the_disk)
    assert clinic.delete("/studies/2.25.1").status_code == 204
    full_disk.clear()
    assert clinic.get("/studies").status_code == 204


def test_files_that_are_sent_and_an_instance_that_is_deleted_are_counted(
    clinic: PartitionClient, log: AuditLog
) -> None:
    clinic.stored(*(make_instance(study="2.25.1", series="2.25.2", instance=f"2.25.3{n}") for n in range(3)))
    clinic.get("/studies/2.25.1", AS_STORED)
    assert log.lines()[-1]["count"] == 3
    clinic.delete("/studies/2.25.1/series/2.25.2/instances/2.25.31")
    assert log.lines()[-1]["count"] == 1
    clinic.delete("/studies/2.25.1")
    assert "count" not in log.lines()[-1]
