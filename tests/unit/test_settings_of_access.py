"""Settings of access: what must be there, and what does not fit together."""

from __future__ import annotations

from pathlib import Path

import pytest

from app import create_app
from app.errors import ConfigurationError
from app.settings import Settings
from app.settings.access import is_trustworthy

JWT = {
    "BULKHEAD_AUTH": "jwt",
    "BULKHEAD_JWT_ISSUERS": "https://a.test/x, https://b.test/y/",
    "BULKHEAD_JWT_AUDIENCES": "archive",
}


def faults(**changes: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_environment(JWT | {f"BULKHEAD_{name}": text for name, text in changes.items()})
    return str(caught.value).splitlines()


def test_issuers_and_audiences_are_needed() -> None:
    assert faults(JWT_ISSUERS="", JWT_AUDIENCES="") == [
        "BULKHEAD_JWT_ISSUERS: BULKHEAD_AUTH=jwt needs it.",
        "BULKHEAD_JWT_AUDIENCES: BULKHEAD_AUTH=jwt needs it.",
    ]
    settings = Settings.from_environment(JWT)
    assert settings.jwt_issuers == ("https://a.test/x", "https://b.test/y/")
    assert Settings.from_environment({"BULKHEAD_AUTH": "tokens"}).authenticates


def test_none_stands_alone() -> None:
    assert faults(AUTH="jwt,none") == ["BULKHEAD_AUTH: `none` stands alone."]
    assert "'basic' is not `none`, `jwt` or `tokens`." in faults(AUTH="basic")[0]


@pytest.mark.parametrize("issuer", ["http://a.test", "a.test", "ftp://a.test", "https://", "http://[::1", "http://a:b"])
def test_an_issuer_with_discovery_is_an_https_url(issuer: str) -> None:
    (fault,) = faults(JWT_ISSUERS=f"https://b.test,{issuer}")
    assert fault.startswith(f"BULKHEAD_JWT_ISSUERS={issuer!r}: It must be an https URL")
    assert Settings.from_environment(JWT | {"BULKHEAD_JWT_ISSUERS": issuer, "BULKHEAD_JWT_JWKS": "keys.json"})


@pytest.mark.parametrize("issuer", ['a"b', "a\\b", "\N{SNOWMAN}", "a b"])
def test_an_issuer_has_only_characters_that_a_header_can_quote(issuer: str) -> None:
    assert "is not the name of an issuer" in faults(JWT_ISSUERS=issuer)[0]
    assert "is not an audience" in faults(JWT_AUDIENCES=issuer)[0]


def test_keys_come_from_an_https_url_or_a_file() -> None:
    (fault,) = faults(JWT_JWKS="http://a.test/keys")
    assert fault.startswith("BULKHEAD_JWT_JWKS='http://a.test/keys': It must be an https URL")
    by_url = Settings.from_environment(JWT | {"BULKHEAD_JWT_JWKS": "https://a.test/keys"})
    assert (by_url.jwks_url, by_url.jwks_file) == ("https://a.test/keys", None)
    by_file = Settings.from_environment(JWT | {"BULKHEAD_JWT_JWKS": "/etc/keys.json"})
    assert (by_file.jwks_url, by_file.jwks_file) == (None, Path("/etc/keys.json"))


@pytest.mark.parametrize("name", ["none", "HS1", "RS1", "ES256K", "RSA-OAEP", "rs256", "*"])
def test_other_algorithms_are_refused(name: str) -> None:
    (fault,) = faults(JWT_ALGORITHMS=f"RS256,{name}")
    assert f"{name!r} is not one of RS256, " in fault


def test_shared_secrets_need_a_file() -> None:
    expected = ["BULKHEAD_JWT_ALGORITHMS: HS algorithms need a file with the secret in BULKHEAD_JWT_JWKS."]
    assert faults(JWT_ALGORITHMS="RS256,HS256") == expected
    assert faults(JWT_ALGORITHMS="HS512", JWT_JWKS="https://a.test/keys") == expected
    assert Settings.from_environment(JWT | {"BULKHEAD_JWT_ALGORITHMS": "HS256", "BULKHEAD_JWT_JWKS": "keys.json"})


@pytest.mark.parametrize("document", [None, b"", b'{"keys": []}', b'{"keys": [{"kty": "oct", "k": "c2hvcnQ"}]}'])
def test_the_service_does_not_start_with_a_faulty_file_of_keys(tmp_path: Path, document: bytes | None) -> None:
    file = tmp_path / "keys.json"
    if document is not None:
        file.write_bytes(document)
    settings = Settings(
        data_dir=tmp_path,
        auth=("jwt",),
        jwt_issuers=("a",),
        jwt_audiences=("b",),
        jwt_jwks=str(file),
        log_level="error",
    )
    with pytest.raises(ConfigurationError, match="BULKHEAD_JWT_JWKS="):
        create_app(settings)


def test_the_service_does_not_start_with_a_faulty_roles_file(tmp_path: Path) -> None:
    (tmp_path / "roles.json").write_text('[{"name": "a", "dataActions": ["look"]}]')
    with pytest.raises(ConfigurationError, match="unknown action 'look'"):
        create_app(Settings(data_dir=tmp_path, roles_file=tmp_path / "roles.json", log_level="error"))


@pytest.mark.parametrize(
    ("url", "trusted"),
    [
        ("https://a.test", True),
        ("https://192.0.2.7:8443/x", True),
        ("http://localhost:8080/realms/a", True),
        ("http://127.0.0.1:1", True),
        ("http://[::1]:1/", True),
        ("http://127.0.0.1.a.test", False),
        ("http://localhost.a.test", False),
        ("http://127.0.0.1@a.test", False),
        ("http://a.test", False),
        ("HTTPS://a.test", True),
        ("file:///etc/passwd", False),
        ("", False),
    ],
)
def test_which_urls_are_trusted(url: str, trusted: bool) -> None:
    assert is_trustworthy(url) is trusted
