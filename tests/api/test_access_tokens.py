"""conformance §13.6 through HTTP: tokens of our own as credentials."""

from __future__ import annotations

import base64

import pytest
from flask.testing import FlaskClient

from app import bootstrap
from app.services.access import token_secrets
from app.settings import Settings
from app.storage.table import clock, keys
from app.storage.table.ports import Item, Put
from tests.conftest import Serve
from tests.support.clock import stop_clock
from tests.support.faults import FOR_EVER, Rule, fail
from tests.support.faulty_engine import Faults
from tests.support.instances import make_instance
from tests.support.tokens import basic, bearer, create_token

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
@pytest.mark.parametrize("user", ["", "orthanc", "Jürgen", "診療所", "a b"])
def test_the_basic_scheme_takes_any_user_name(
    server: FlaskClient, settings: Settings, engine: bootstrap.Engine, user: str
) -> None:
    secret = create_token(settings, engine, "reader").secret
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
