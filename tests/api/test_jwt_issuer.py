"""JWTs of an issuer that serves its keys over HTTP: new keys, outages, several issuers (conformance §13.1)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from app.services.access import issuer_keys
from app.settings import Settings
from tests.conftest import Serve
from tests.support.access import AUDIENCE, authorization, claims, jwk_set, signed
from tests.support.issuer import DISCOVERY, JWK_SET, Issuer, issuing

PARTITIONS = "/v2/partitions"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The engine does not matter here."""
    return Settings(data_dir=tmp_path, log_level="error")


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as started:
        yield started


@pytest.fixture
def service(serve: Serve, issuer: Issuer) -> FlaskClient:
    return serve(**issuer.settings())


def test_the_keys_are_found_and_read_once(service: FlaskClient, issuer: Issuer) -> None:
    assert issuer.requests == []  # the service starts without the issuer
    for subject in ("ann", "bob"):
        assert service.get(PARTITIONS, headers=issuer.bearer(subject=subject, roles=["reader"])).status_code == 200
    assert issuer.requests == [DISCOVERY, JWK_SET]


def test_a_new_key_counts_at_once_and_a_removed_one_no_more(
    service: FlaskClient, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuer_keys, "PAUSE_SECONDS", 0)
    old = issuer.bearer(subject="ann")
    assert service.get(PARTITIONS, headers=issuer.bearer(subject="bob")).status_code == 200
    issuer.rotate()
    assert service.get(PARTITIONS, headers=issuer.bearer(subject="bob")).status_code == 200
    assert service.get(PARTITIONS, headers=old).status_code == 401


def test_made_up_key_ids_cause_no_stream_of_requests(service: FlaskClient, issuer: Issuer) -> None:
    service.get(PARTITIONS, headers=issuer.bearer())
    for number in range(100):
        token = signed(claims(iss=issuer.url), header={"alg": "ES256", "kid": f"made-up-{number}"})
        assert service.get(PARTITIONS, headers=authorization(token)).status_code == 401
    assert issuer.requests == [DISCOVERY, JWK_SET]


def test_without_its_keys_the_answer_is_503_and_nobody_is_let_in(service: FlaskClient, issuer: Issuer) -> None:
    issuer.is_down = True
    for headers in (issuer.bearer(roles=["globalAdmin"]), authorization(signed(claims(iss=issuer.url)))):
        answer = service.get(PARTITIONS, headers=headers)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert answer.text == "The keys of the issuer of the credentials cannot be read."
        assert "WWW-Authenticate" not in answer.headers
    foreign = service.get(PARTITIONS, headers=authorization(signed(claims())))
    assert foreign.status_code == 401  # no download decides this
    assert issuer.requests == [DISCOVERY]


@pytest.mark.parametrize("path", [DISCOVERY, JWK_SET])
@pytest.mark.parametrize("document", [500, b"", b"[", {"keys": []}, {"issuer": "https://other.test", "jwks_uri": "x"}])
def test_documents_with_faults_let_nobody_in(service: FlaskClient, issuer: Issuer, path: str, document: object) -> None:
    issuer.documents[path] = document
    assert service.get(PARTITIONS, headers=issuer.bearer(roles=["globalAdmin"])).status_code == 503


def test_known_callers_and_known_keys_outlast_the_issuer(service: FlaskClient, issuer: Issuer) -> None:
    assert service.get(PARTITIONS, headers=issuer.bearer()).status_code == 200
    issuer.stop()
    assert service.get(PARTITIONS, headers=issuer.bearer(subject="new")).status_code == 200


def test_an_unknown_key_during_an_outage_is_no_fault_of_the_caller(
    service: FlaskClient, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuer_keys, "PAUSE_SECONDS", 0)
    service.get(PARTITIONS, headers=issuer.bearer())
    issuer.rotate()
    issuer.is_down = True
    assert service.get(PARTITIONS, headers=issuer.bearer()).status_code == 503


def test_a_key_of_one_issuer_does_not_count_for_another(serve: Serve, issuer: Issuer) -> None:
    with issuing() as other:
        settings = issuer.settings() | {"jwt_issuers": (issuer.url, other.url)}
        service = serve(**settings)
        for each in (issuer, other):
            assert service.get(PARTITIONS, headers=each.bearer()).status_code == 200
        assert service.get(PARTITIONS, headers=issuer.bearer(iss=other.url)).status_code == 401
        other.stop()
        assert service.get(PARTITIONS, headers=issuer.bearer(subject="new")).status_code == 200


def test_a_set_of_keys_by_url_serves_all_issuers(serve: Serve, issuer: Issuer) -> None:
    names = ("first", "https://second.test")
    service = serve(auth=("jwt",), jwt_issuers=names, jwt_audiences=(AUDIENCE,), jwt_jwks=issuer.url + JWK_SET)
    for name in names:
        assert service.get(PARTITIONS, headers=issuer.bearer(iss=name)).status_code == 200
    assert issuer.requests == [JWK_SET]
    assert service.get(PARTITIONS, headers=issuer.bearer()).status_code == 401


def test_a_changed_file_of_keys_counts_at_once(serve: Serve, issuer: Issuer, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(jwk_set(*issuer.keys))
    service = serve(**issuer.settings() | {"jwt_jwks": str(file)})
    assert service.get(PARTITIONS, headers=issuer.bearer()).status_code == 200
    issuer.rotate()
    assert service.get(PARTITIONS, headers=issuer.bearer(subject="b")).status_code == 401
    file.write_bytes(jwk_set(*issuer.keys) + b"\n")
    assert service.get(PARTITIONS, headers=issuer.bearer(subject="b")).status_code == 200
    assert issuer.requests == []
