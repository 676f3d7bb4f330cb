"""conformance §13.6 through HTTP: tokens of our own as credentials."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from app import bootstrap
from app.services.access import token_secrets
from app.settings import Settings
from app.storage.table import clock, keys
from app.storage.table.ports import Item, Put
from tests.conftest import Serve
from tests.support.background import work
from tests.support.clock import stop_clock
from tests.support.faults import FOR_EVER, Rule, fail
from tests.support.faulty_engine import Faults
from tests.support.instances import make_instance
from tests.support.tokens import GRANTS, TOKENS, basic, bearer, create_token, stop_access_clock

INVALID = "The credentials are invalid."
EXPIRED = "The credentials have expired."
STUDIES = "/v2/partitions/clinic-a/studies"
ONE_ENGINE = pytest.mark.parametrize("settings", ["embedded"], indirect=True)


@pytest.fixture
def server(serve: Serve) -> FlaskClient:
    """The service with tokens as credentials."""
    return serve(auth=("tokens",))


def test_a_token_of_a_writer_stores_into_its_partition_alone(
    server: FlaskClient, settings: Settings, engine: bootstrap.Engine
) -> None:
    secret = create_token(settings, engine, "writer", partitions=("clinic-*",)).secret
    body = {"data": make_instance(), "content_type": "application/dicom"}
    assert server.post(STUDIES, **body).status_code == 401
    assert server.post(STUDIES, headers=bearer(secret), **body).status_code == 200
    assert server.post(STUDIES, headers=basic("orthanc", secret), **body).status_code == 409
    other = server.post("/v2/partitions/research/studies", headers=bearer(secret), **body)
    assert (other.status_code, other.text) == (403, "Authorization failed.")
    assert server.get(STUDIES, headers=bearer(secret)).status_code == 403


@ONE_ENGINE
def test_the_basic_scheme_takes_any_user_name(
    server: FlaskClient, settings: Settings, engine: bootstrap.Engine
) -> None:
    secret = create_token(settings, engine, "reader").secret
    for user in ("", "orthanc", "Jürgen", "診療所", "a b"):
        assert server.get("/v2/changefeed", headers=basic(user, secret)).status_code == 200
        assert server.get("/v2/changefeed", headers=basic(user, f"x:{secret}")).status_code == 401


@ONE_ENGINE
def test_a_user_name_in_another_encoding_does_not_matter(
    server: FlaskClient, settings: Settings, engine: bootstrap.Engine
) -> None:
    secret = create_token(settings, engine, "reader").secret
    header = "Basic " + base64.b64encode(f"Jürgen:{secret}".encode("latin-1")).decode()
    assert server.get("/v2/changefeed", headers={"Authorization": header}).status_code == 200


def changed(secret: str, at: int) -> str:
    """Return the secret with another character at one position."""
    return secret[:at] + ("x" if secret[at] != "x" else "y") + secret[at + 1 :]


@ONE_ENGINE
def test_a_mistyped_token_is_refused_without_a_read(
    server: FlaskClient, settings: Settings, engine: bootstrap.Engine, faults: Faults
) -> None:
    secret = create_token(settings, engine, "reader").secret
    faults.forget_reads()
    faults.calls.clear()
    wrong = [secret[:-1], secret + "0", secret.upper(), f"bh_{secret}", "bh_", "", "0", "bh_" + "é" * 49]
    wrong += [changed(secret, at) for at in range(3, len(secret))]
    for text in wrong:
        response = server.get("/v2/changefeed", headers=basic("x", text))
        assert (response.status_code, response.text) == (401, INVALID)
    assert faults.calls.total() == 0
    assert server.get("/v2/changefeed", headers=basic("x", secret)).status_code == 200


@ONE_ENGINE
def test_an_unknown_token_costs_one_read_and_a_remembered_one_none(
    server: FlaskClient, settings: Settings, engine: bootstrap.Engine, faults: Faults
) -> None:
    secret = create_token(settings, engine, "reader").secret
    faults.calls.clear()
    response = server.get("/v2/partitions/x/studies", headers=bearer(token_secrets.new_secret()))
    assert (response.status_code, response.text) == (401, INVALID)
    assert dict(faults.calls) == {"table.get": 1}
    server.get("/v2/partitions/x/studies", headers=bearer(secret))
    faults.add(Rule(fail(), operation="table.get", key="access/*", times=FOR_EVER))
    assert server.get("/v2/changefeed", headers=bearer(secret)).status_code == 200


@ONE_ENGINE
def test_the_whole_digest_is_compared(server: FlaskClient, settings: Settings, engine: bootstrap.Engine) -> None:
    """The key of a record has half of the digest. A record with the same half and another rest is another token."""
    token, secret = create_token(settings, engine, "reader")
    item = engine.table.get(keys.token(token.lookup))
    digest = changed(token.digest, -1 % len(token.digest))
    engine.table.write(Put(Item(item.key, {**item.fields, "digest": digest})))
    assert server.get("/v2/changefeed", headers=bearer(secret)).status_code == 401


def test_an_expired_token_is_refused_as_expired(
    serve: Serve, settings: Settings, engine: bootstrap.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance = stop_clock(monkeypatch)
    secret = create_token(settings, engine, "reader", expires=int(clock.now()) + 60).secret
    server = serve(auth=("tokens",))
    assert server.get("/v2/changefeed", headers=bearer(secret)).status_code == 200
    advance(61)
    response = serve(auth=("tokens",)).get("/v2/changefeed", headers=bearer(secret))
    assert (response.status_code, response.text) == (401, EXPIRED)


# --- the routes ---

CT: dict[str, Any] = {"name": "CT 3", "roles": ["writer"], "partitions": ["clinic-a"]}
EXPIRES = "2099-01-01T00:00:00Z"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


def invalid(field: str, reason: str) -> str:
    return f"The field '{field}' in request body is invalid: {reason}"


@pytest.fixture
def administrator(settings: Settings, engine: bootstrap.Engine) -> dict[str, str]:
    """The headers of a caller that may manage access."""
    return bearer(create_token(settings, engine, "globalAdmin").secret)


def test_a_token_is_created_listed_used_and_revoked(server: FlaskClient, administrator: dict[str, str]) -> None:
    made = server.post(TOKENS, json={**CT, "expires": EXPIRES}, headers=administrator)
    assert made.status_code == 201
    assert made.headers["Cache-Control"] == "no-store"
    token = made.get_json()
    secret = token.pop("token")
    assert re.fullmatch("[0-9a-f]{14}", token["id"])
    assert re.fullmatch(TIME, token["created"])
    assert token == {"id": token["id"], **CT, "expires": EXPIRES, "created": token["created"]}

    listed = server.get(TOKENS, headers=administrator)
    assert (listed.status_code, listed.headers["Cache-Control"]) == (200, "no-store")
    assert secret not in listed.text
    mine, other = sorted(listed.get_json(), key=lambda each: each["name"] != "CT 3" or each["roles"] != ["writer"])
    assert mine == {**token, "lastUsed": None}
    assert re.fullmatch(TIME, other["lastUsed"])

    body = {"data": make_instance(), "content_type": "application/dicom"}
    assert server.post(STUDIES, headers=bearer(secret), **body).status_code == 200
    (used,) = [each for each in server.get(TOKENS, headers=administrator).json if each["id"] == token["id"]]
    assert re.fullmatch(TIME, used["lastUsed"])

    gone = server.delete(f"{TOKENS}/{token['id']}", headers=administrator)
    assert (gone.status_code, gone.data) == (204, b"")
    again = server.delete(f"{TOKENS}/{token['id']}", headers=administrator)
    assert (again.status_code, again.text) == (404, f"The specified token with ID '{token['id']}' cannot be found.")
    assert ids(server, administrator) == [other["id"]]


@ONE_ENGINE
def test_a_revoked_token_is_refused_within_30_seconds(
    serve: Serve, settings: Settings, engine: bootstrap.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    pass_time = stop_access_clock(monkeypatch)
    first, second = serve(auth=("tokens",)), serve(auth=("tokens",))
    administrator = bearer(create_token(settings, engine, "globalAdmin").secret)
    made = first.post(TOKENS, json={**CT, "roles": ["reader"], "partitions": ["*"]}, headers=administrator).json
    assert second.get("/v2/changefeed", headers=bearer(made["token"])).status_code == 200
    assert first.delete(f"{TOKENS}/{made['id']}", headers=administrator).status_code == 204
    pass_time(30)
    refused = second.get("/v2/changefeed", headers=bearer(made["token"]))
    assert (refused.status_code, refused.text) == (401, INVALID)


def ids(client: FlaskClient, headers: dict[str, str], path: str = TOKENS) -> list[str]:
    """Return the ids of the first page of a list."""
    response = client.get(path, headers=headers)
    assert response.status_code == 200, response.text
    return [each["id"] for each in response.get_json()]


@ONE_ENGINE
def test_a_token_without_expiry_has_null(server: FlaskClient, administrator: dict[str, str]) -> None:
    for more in ({}, {"expires": None}):
        assert server.post(TOKENS, json={**CT, **more}, headers=administrator).json["expires"] is None


BAD_BODIES: list[tuple[Any, str]] = [
    ({**CT, "name": None}, invalid("name", "It is required.")),
    ({**CT, "name": ""}, invalid("name", "It must have 1 to 64 characters, and it has 0.")),
    ({**CT, "name": "x" * 65}, invalid("name", "It must have 1 to 64 characters, and it has 65.")),
    (
        {**CT, "name": "CT\n3"},
        invalid("name", "'CT\\n3' has control characters, or blanks at its beginning or its end."),
    ),
    ({**CT, "name": 3}, invalid("name", "It must be a string.")),
    ({**CT, "roles": "writer"}, invalid("roles", "It must be an array of strings.")),
    ({**CT, "roles": [["writer"]]}, invalid("roles", "It must be an array of strings.")),
    ({**CT, "roles": []}, invalid("roles", "It must have 1 to 20 values, and it has 0.")),
    ({**CT, "roles": ["writer"] * 21}, invalid("roles", "It must have 1 to 20 values, and it has 21.")),
    ({**CT, "roles": ["writer", "surgeon"]}, invalid("roles[1]", "There is no role 'surgeon'.")),
    (
        {**CT, "roles": ["' OR 1=1; --"]},
        invalid("roles[0]", 'There is no role "\' OR 1=1; --".'),
    ),
    ({**CT, "partitions": []}, invalid("partitions", "It must have 1 to 100 values, and it has 0.")),
    ({**CT, "partitions": ["a"] * 101}, invalid("partitions", "It must have 1 to 100 values, and it has 101.")),
    *(
        (
            {**CT, "partitions": ["a", pattern]},
            invalid(
                "partitions[1]",
                f"{pattern!r} is neither the name of a partition, nor the beginning of names and a star, nor '*'.",
            ),
        )
        for pattern in ("", "**", "a*b", "*a", "..", "a/b", "é", "a" * 65, "a\n", "$where", "../*")
    ),
    ({**CT, "expires": "2020-01-01T00:00:00Z"}, invalid("expires", "2020-01-01T00:00:00Z is not in the future.")),
    ({**CT, "expires": "soon"}, invalid("expires", "It must be a date and time as '2027-01-01T00:00:00Z'.")),
    (
        {**CT, "expires": "9999-12-31T23:59:59-23:59"},
        invalid("expires", "It must be a date and time as '2027-01-01T00:00:00Z'."),
    ),
    (
        {**CT, "expires": "2099-01-01"},
        invalid("expires", "It must have a time zone, as '2027-01-01T00:00:00Z'."),
    ),
    ({**CT, "expires": 1900000000}, invalid("expires", "It must be a string.")),
    ({**CT, "expire": EXPIRES}, invalid("expire", "There is no such field.")),
    ([CT], "The syntax of the request body is invalid."),
]


@ONE_ENGINE
def test_a_bad_body_is_refused_and_nothing_is_stored(server: FlaskClient, administrator: dict[str, str]) -> None:
    for body, text in BAD_BODIES:
        response = server.post(TOKENS, json=body, headers=administrator)
        assert (response.status_code, response.text) == (400, text)
    assert len(ids(server, administrator)) == 1


@ONE_ENGINE
def test_a_huge_body_is_refused(server: FlaskClient, administrator: dict[str, str]) -> None:
    response = server.post(TOKENS, json={**CT, "partitions": ["a" * 60] * 2000}, headers=administrator)
    assert response.status_code == 413
    deep = b'{"name": ' + b"[" * 30_000
    response = server.post(TOKENS, data=deep, content_type="application/json", headers=administrator)
    assert response.status_code == 400


@ONE_ENGINE
def test_the_longest_valid_body_is_accepted(server: FlaskClient, administrator: dict[str, str]) -> None:
    longest = {"name": "診" * 64, "roles": ["globalReader"] * 20, "partitions": ["a" * 64] * 100, "expires": EXPIRES}
    assert server.post(TOKENS, json=longest, headers=administrator).status_code == 201
    (listed,) = [each for each in server.get(TOKENS, headers=administrator).get_json() if each["name"] == "診" * 64]
    assert listed["partitions"] == ["a" * 64] * 100


@ONE_ENGINE
def test_only_who_may_manage_access_everywhere_makes_these_calls(
    server: FlaskClient, settings: Settings, engine: bootstrap.Engine
) -> None:
    headers = bearer(create_token(settings, engine, "reader", "writer", "editor", "auditor").secret)
    for path, body in ((TOKENS, CT), (GRANTS, {})):
        for response in (
            server.post(path, json=body, headers=headers),
            server.get(path, headers=headers),
            server.delete(f"{path}/{'0' * 14}", headers=headers),
        ):
            assert (response.status_code, response.text) == (403, "Authorization failed.")
    local = bearer(create_token(settings, engine, "globalAdmin", partitions=("clinic-*",)).secret)
    assert server.get(TOKENS, headers=local).status_code == 403
    assert server.get(TOKENS).status_code == 401


@ONE_ENGINE
def test_an_unknown_id_is_not_found(server: FlaskClient, administrator: dict[str, str]) -> None:
    for token in ("x", "0" * 14, "0" * 15, "..", "%00", "a'--", "A" * 14, "é", "0" * 5000):
        for path in (TOKENS, GRANTS):
            assert server.delete(f"{path}/{token}", headers=administrator).status_code == 404


@ONE_ENGINE
def test_pages_of_many_tokens(server: FlaskClient, settings: Settings, engine: bootstrap.Engine) -> None:
    made = [create_token(settings, engine, "globalAdmin") for _ in range(205)]
    headers = bearer(made[0].secret)
    oldest_first = sorted(each.token.id for each in made)
    assert ids(server, headers) == oldest_first[:100]
    assert ids(server, headers, f"{TOKENS}?offset=100&limit=200") == oldest_first[100:]
    assert ids(server, headers, f"{TOKENS}?offset=205") == []
    assert server.get(f"{TOKENS}?limit=201", headers=headers).status_code == 400
    access = bootstrap.build_access(settings, engine.table)
    assert [each.token.id for each in access.tokens.listed()] == oldest_first


@ONE_ENGINE
def test_too_many_tokens_are_refused(
    server: FlaskClient, administrator: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.services.access.tokens.MAX_TOKENS", 2)
    assert server.post(TOKENS, json=CT, headers=administrator).status_code == 201
    refused = server.post(TOKENS, json=CT, headers=administrator)
    assert (refused.status_code, refused.text) == (400, "The archive has 2 tokens. Revoke some of them first.")


@ONE_ENGINE
def test_without_authentication_everyone_manages_access(client: FlaskClient) -> None:
    made = []
    for prefix in ("", "/v1", "/v1.0", "/v2", "/v2.0", "/v1.0-prerelease", "/V2"):
        response = client.post(f"{prefix}/Access/Tokens", json=CT)
        assert response.status_code == 201
        made.append(response.json["id"])
        assert sorted(ids(client, {}, f"{prefix}/access/tokens")) == sorted(made)


@ONE_ENGINE
def test_a_failing_table_is_503_and_leaves_nothing(
    server: FlaskClient, administrator: dict[str, str], faults: Faults
) -> None:
    assert len(ids(server, administrator)) == 1
    faults.add(Rule(fail(), operation="table.write", key="access/*", times=FOR_EVER))
    assert server.post(TOKENS, json=CT, headers=administrator).status_code == 503
    faults.clear()
    assert len(ids(server, administrator)) == 1
    faults.add(Rule(fail(), operation="table.get", key="access/*", times=FOR_EVER))
    assert server.get("/v2/changefeed", headers=bearer(token_secrets.new_secret())).status_code == 503


@ONE_ENGINE
def test_audit_lines_say_which_token_and_who(
    serve: Serve, settings: Settings, engine: bootstrap.Engine, tmp_path: Path
) -> None:
    token, secret = create_token(settings, engine, "globalAdmin")
    trail = tmp_path / "audit.jsonl"
    server = serve(auth=("tokens",), audit=str(trail))
    made = server.post(TOKENS, json=CT, headers=bearer(secret)).get_json()
    grant = server.post(
        GRANTS, json={"subject": {"token": made["id"]}, "role": "reader", "partitions": ["*"]}, headers=bearer(secret)
    ).get_json()
    server.delete(f"{GRANTS}/{grant['id']}", headers=bearer(secret))
    server.delete(f"{TOKENS}/{made['id']}", headers=bearer(secret))
    server.delete(f"{TOKENS}/{made['id']}", headers=bearer(secret))
    server.get(TOKENS, headers=basic("x", made["token"]))
    lines = [json.loads(line) for line in trail.read_text().splitlines()]
    ended = [(each["event"], each["status"], each.get("access", "")) for each in lines if "status" in each]
    assert ended == [
        *(("access", 201, f"token {made['id']}"), ("access", 201, f"grant {grant['id']}")),
        *(("access", 204, f"grant {grant['id']}"), ("access", 204, f"token {made['id']}")),
        *(("access", 404, ""), ("denied", 401, "")),
    ]
    callers = [each["caller"] for each in lines if each["event"] == "access"]
    assert callers == [{"subject": "CT 3", "token": token.id}] * 10
    assert secret not in trail.read_text()
    assert made["token"] not in trail.read_text()


@ONE_ENGINE
def test_no_log_line_has_a_secret(
    server: FlaskClient, administrator: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    made = server.post(TOKENS, json=CT, headers=administrator).json
    server.post(STUDIES, data=b"x", content_type="application/dicom", headers=bearer(made["token"]))
    server.get(f"{STUDIES}?{made['token']}", headers=basic("x", made["token"] + "0"))
    output = "".join(capfd.readouterr())
    assert made["token"] not in output
    assert administrator["Authorization"].removeprefix("Bearer ") not in output


@ONE_ENGINE
def test_the_worker_removes_what_expired_long_ago(
    serve: Serve, settings: Settings, engine: bootstrap.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance = stop_clock(monkeypatch)
    client = serve()
    kept = create_token(settings, engine, "reader").token.id
    create_token(settings, engine, "reader", expires=int(clock.now()) + 60)
    advance(29 * 86_400)
    work(client)
    assert len(ids(client, {})) == 2
    advance(2 * 86_400)
    work(serve())
    assert ids(client, {}) == [kept]
