"""conformance §13.6 through HTTP: stored grants."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from app import bootstrap
from app.services.access.documents import time_text
from app.settings import Settings
from tests.conftest import Serve
from tests.support import access
from tests.support.access import ISSUER, authenticated
from tests.support.faults import FOR_EVER, Rule, fail
from tests.support.faulty_engine import Faults
from tests.support.tokens import GRANTS, bearer, create_token, stop_access_clock

ONE_ENGINE = pytest.mark.parametrize("settings", ["embedded"], indirect=True)
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
PARTITION = "/v2/partitions/Microsoft.Default/studies"
UNKNOWN = 400
"""The status for a partition that the caller does not see."""

ADMINISTRATOR = access.bearer(roles=["globalAdmin"], subject="administrator")
JANE: dict[str, Any] = {"issuer": ISSUER, "claim": "sub", "value": "jane"}
READ: dict[str, Any] = {"subject": JANE, "role": "reader", "partitions": ["microsoft.*"]}


@pytest.fixture
def server(serve: Serve, tmp_path: Path) -> FlaskClient:
    """The service with JWTs and tokens as credentials."""
    return serve(**authenticated(tmp_path, auth=("jwt", "tokens")))


def create_grant(server: FlaskClient, **body: Any) -> str:
    """Store a grant. Return its id."""
    response = server.post(GRANTS, json=body, headers=ADMINISTRATOR)
    assert response.status_code == 201, response.text
    identifier: str = response.get_json()["id"]
    return identifier


def status(server: FlaskClient, **claims: Any) -> int:
    """Return the status of a search by a caller with these claims."""
    return server.get(PARTITION, headers=access.bearer(**claims)).status_code


def invalid(field: str, reason: str) -> str:
    return f"The field '{field}' in request body is invalid: {reason}"


def test_a_grant_is_created_listed_used_and_removed(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pass_time = stop_access_clock(monkeypatch)
    settings = authenticated(tmp_path)
    server, other = serve(**settings), serve(**settings)
    assert status(other, subject="jane") == UNKNOWN
    made = server.post(GRANTS, json={**READ, "expires": "2099-01-01T00:00:00.5+00:00"}, headers=ADMINISTRATOR)
    assert (made.status_code, made.headers["Cache-Control"]) == (201, "no-store")
    grant = made.get_json()
    assert re.fullmatch("[0-9a-f]{14}", grant["id"])
    assert re.fullmatch(TIME, grant["created"])
    assert grant == {**READ, "expires": "2099-01-01T00:00:00Z", "id": grant["id"], "created": grant["created"]}
    assert server.get(GRANTS, headers=ADMINISTRATOR).json == [grant]
    pass_time(30)
    assert status(other, subject="jane") == 204
    assert status(other, subject="john") == UNKNOWN
    assert server.delete(f"{GRANTS}/{grant['id']}", headers=ADMINISTRATOR).status_code == 204
    pass_time(30)
    assert status(other, subject="jane") == UNKNOWN
    again = server.delete(f"{GRANTS}/{grant['id']}", headers=ADMINISTRATOR)
    assert (again.status_code, again.text) == (404, f"The specified grant with ID '{grant['id']}' cannot be found.")


@ONE_ENGINE
def test_a_claim_matches_by_its_value_or_by_one_of_its_array(server: FlaskClient) -> None:
    for claim, value in (("groups", "radiology"), ("realm_access.roles", "reading"), ("https://x.test/ward", "3")):
        subject = {"issuer": ISSUER, "claim": claim, "value": value}
        create_grant(server, subject=subject, actions=["read"], partitions=["*"])
    assert status(server, groups="radiology") == 204
    assert status(server, groups=["surgery", "radiology"]) == 204
    assert status(server, realm_access={"roles": ["reading"]}) == 204
    assert status(server, **{"https://x.test/ward": "3"}) == 204
    for claims in (
        {"groups": ["surgery"]},
        {"groups": "Radiology"},
        {"groups": "radiology,surgery"},
        {"groups": {"radiology": 1}},
        {"groups": [["radiology"]]},
        {"group": "radiology"},
        {"https://x.test/ward": 3},
        {"realm_access": ["reading"]},
    ):
        assert status(server, **claims) == UNKNOWN, claims


@ONE_ENGINE
def test_a_grant_of_another_issuer_does_not_count(server: FlaskClient) -> None:
    create_grant(server, **{**READ, "subject": {**JANE, "issuer": "https://other.test"}})
    assert status(server, subject="jane") == UNKNOWN


@ONE_ENGINE
def test_grants_of_several_sources_are_united(server: FlaskClient) -> None:
    create_grant(server, **READ)
    claims: dict[str, Any] = {"subject": "jane", "grants": [{"role": "writer", "partitions": ["clinic-a"]}]}
    assert status(server, **claims) == 204
    written = server.post("/v2/partitions/clinic-a/studies", headers=access.bearer(**claims), data=b"x")
    assert written.status_code == 415  # the caller may store, and this is no DICOM file


@ONE_ENGINE
def test_a_grant_of_a_token_adds_to_its_roles(
    server: FlaskClient, settings: Settings, engine: bootstrap.Engine
) -> None:
    token, secret = create_token(settings, engine, "writer", partitions=("clinic-a",))
    made = server.post(
        GRANTS, json={"subject": {"token": token.id}, "role": "reader", "partitions": ["*"]}, headers=ADMINISTRATOR
    )
    assert made.json["subject"] == {"token": token.id}
    assert server.get(PARTITION, headers=bearer(secret)).status_code == 204


@ONE_ENGINE
def test_an_expired_grant_counts_no_longer(server: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    create_grant(server, **READ, expires=time_text(int(now) + 600))
    jane = access.bearer(subject="jane")
    assert server.get(PARTITION, headers=jane).status_code == 204
    monkeypatch.setattr(time, "time", lambda: now + 601)
    assert server.get(PARTITION, headers=jane).status_code == UNKNOWN


@ONE_ENGINE
def test_a_bad_body_is_refused_and_nothing_is_stored(server: FlaskClient) -> None:
    subject = "It must have 'issuer', 'claim' and 'value', or 'token' alone."
    actions = "read, write, delete, export, manageExtendedQueryTags, *, managePartitions, manageAccess, readAudit"
    cases: list[tuple[Any, str]] = [
        ({**READ, "subject": None}, invalid("subject", "It is required.")),
        ({**READ, "subject": "jane"}, invalid("subject", "It must be an object.")),
        ({**READ, "subject": {}}, invalid("subject", subject)),
        ({**READ, "subject": {"issuer": ISSUER, "value": "jane"}}, invalid("subject", subject)),
        ({**READ, "subject": {**JANE, "token": "0" * 14}}, invalid("subject", subject)),
        *(
            ({**READ, "subject": {"token": token}}, invalid("subject.token", f"There is no token with ID '{token}'."))
            for token in ("x", "0" * 14)
        ),
        ({**READ, "subject": {**JANE, "user": "x"}}, invalid("subject.user", "There is no such field.")),
        ({**READ, "subject": {**JANE, "value": 3}}, invalid("subject.value", "It must be a string.")),
        (
            {**READ, "subject": {**JANE, "value": ""}},
            invalid("subject.value", "It must have 1 to 1024 characters, and it has 0."),
        ),
        (
            {**READ, "subject": {**JANE, "issuer": "x" * 1025}},
            invalid("subject.issuer", "It must have 1 to 1024 characters, and it has 1025."),
        ),
        ({**READ, "role": "surgeon"}, invalid("role", "There is no role 'surgeon'.")),
        ({**READ, "role": None}, invalid("role", "A grant has either a role or actions.")),
        ({**READ, "actions": ["read"]}, invalid("role", "A grant has either a role or actions.")),
        ({**READ, "role": None, "actions": []}, invalid("role", "A grant has either a role or actions.")),
        (
            {**READ, "role": None, "actions": ["read", "Write"]},
            invalid("actions[1]", f"There is no action 'Write'. Actions: {actions}."),
        ),
        (
            {**READ, "role": None, "actions": ["read"] * 10},
            invalid("actions", "It must have 1 to 9 values, and it has 10."),
        ),
        ({**READ, "partitions": []}, invalid("partitions", "It must have 1 to 100 values, and it has 0.")),
        ({**READ, "expires": "1970-01-01T00:00:00Z"}, invalid("expires", "1970-01-01T00:00:00Z is not in the future.")),
        ([], "The syntax of the request body is invalid."),
    ]
    for body, text in cases:
        response = server.post(GRANTS, json=body, headers=ADMINISTRATOR)
        assert (response.status_code, response.text) == (400, text)
    assert server.get(GRANTS, headers=ADMINISTRATOR).json == []


@ONE_ENGINE
def test_requests_read_no_grants_while_these_are_in_memory(
    serve: Serve, tmp_path: Path, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    pass_time = stop_access_clock(monkeypatch)
    server, other = serve(**authenticated(tmp_path)), serve(**authenticated(tmp_path))
    create_grant(other, **READ)
    assert status(server, subject="jane") == 204
    faults.calls.clear()
    assert status(server, subject="john") == UNKNOWN
    assert faults.calls.total() == 0
    pass_time(30)
    assert status(server, subject="john") == UNKNOWN
    assert dict(faults.calls) == {"table.get": 1}  # the revision, which is unchanged
    create_grant(other, **{**READ, "subject": {**JANE, "value": "john"}})
    pass_time(30)
    faults.calls.clear()
    assert status(server, subject="john") == 204
    assert faults.calls["table.query"] >= 1


@ONE_ENGINE
def test_grants_that_cannot_be_read_are_503(
    serve: Serve, tmp_path: Path, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Grants that may have been removed are not used, however short the outage is."""
    pass_time = stop_access_clock(monkeypatch)
    server = serve(**authenticated(tmp_path))
    create_grant(server, **READ)
    jane = access.bearer(subject="jane")
    assert server.get(PARTITION, headers=jane).status_code == 204
    faults.add(Rule(fail(), operation="table.get", key="access/*", times=FOR_EVER))
    pass_time(24)
    assert server.get(PARTITION, headers=jane).status_code == 204
    pass_time(6)
    assert server.get(PARTITION, headers=jane).status_code == 503
    faults.clear()
    assert server.get(PARTITION, headers=jane).status_code == 204


@ONE_ENGINE
def test_ages_of_callers_and_of_grants_together_are_30_seconds_at_most(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A caller is remembered with grants that were in memory for a while."""
    pass_time = stop_access_clock(monkeypatch)
    server, other = serve(**authenticated(tmp_path)), serve(**authenticated(tmp_path))
    grant = create_grant(other, **READ)
    assert status(server, subject="john") == UNKNOWN  # the grants are read
    assert other.delete(f"{GRANTS}/{grant}", headers=ADMINISTRATOR).status_code == 204
    pass_time(4.9)
    jane = access.bearer(subject="jane")
    assert server.get(PARTITION, headers=jane).status_code == 204
    pass_time(25.1)
    assert server.get(PARTITION, headers=jane).status_code == UNKNOWN


@ONE_ENGINE
def test_too_many_grants_are_refused(server: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.services.access.grants.MAX_GRANTS", 1)
    create_grant(server, **READ)
    refused = server.post(GRANTS, json=READ, headers=ADMINISTRATOR)
    assert (refused.status_code, refused.text) == (400, "The archive has 1 grants. Remove some of them first.")


@ONE_ENGINE
def test_pages_of_many_grants(server: FlaskClient) -> None:
    made = sorted(create_grant(server, **READ) for _ in range(5))
    pages = [server.get(f"{GRANTS}?offset={at}&limit=2", headers=ADMINISTRATOR).get_json() for at in (0, 2, 4, 6)]
    assert [[each["id"] for each in page] for page in pages] == [made[:2], made[2:4], made[4:], []]
