"""JWK sets: which keys of an issuer count, and which of them may have signed a JWT."""

from __future__ import annotations

from functools import cache
from typing import Any

import orjson
import pytest
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from app.services.access.jwk_set import MAX_KEYS, fitting_keys, read_jwk_set


@cache
def elliptic() -> Key:
    return ECKey.generate_key("P-256", {"kid": "a"})


def public(key: Key, **parameters: Any) -> dict[str, Any]:
    return {**key.as_dict(private=False), **parameters}


def read(*keys: Any, symmetric: bool = False) -> tuple[Key, ...]:
    return read_jwk_set(orjson.dumps({"keys": keys}), symmetric=symmetric)


@pytest.mark.parametrize(
    "key",
    [
        None,
        5,
        [],
        {},
        {"kty": "unknown"},
        {"kty": ["EC"]},
        {"kty": "EC", "crv": "P-256"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": "P-0", "x": "AA", "y": "AA"},
        {"kty": "RSA"},
        {"kty": "RSA", "n": 5, "e": "AQAB"},
        {"kty": "RSA", "n": "", "e": "AQAB"},
        {"kty": "RSA", "n": "!" * 400, "e": "AQAB"},
        {"kty": "RSA", "n": "_" * 2000, "e": "AQAB"},
        {"kty": "OKP", "crv": "Ed25519", "x": "AA"},
        public(OKPKey.generate_key("X25519")),
        public(elliptic(), use="enc"),
        public(elliptic(), key_ops=["sign"]),
        public(elliptic(), key_ops=5),
        public(elliptic(), use=5),
        public(elliptic(), kid=5),
        {"kty": "oct", "k": "c2VjcmV0"},
    ],
)
def test_a_key_that_cannot_be_used_costs_no_other(key: Any) -> None:
    with pytest.raises(ValueError, match="no key"):
        read(key, symmetric=True)
    assert [each.kid for each in read(key, public(elliptic()))] == ["a"]


def test_small_rsa_keys_do_not_count() -> None:
    with pytest.warns(match="2048"):
        small = RSAKey.generate_key(1024)
    with pytest.raises(ValueError, match="no key"):
        read(public(small))


def test_shared_secrets_count_only_where_they_may() -> None:
    secret = OctKey.generate_key(256).as_dict(private=True)
    with pytest.raises(ValueError, match="no key"):
        read(secret)
    (key,) = read(secret, symmetric=True)
    assert fitting_keys([key], "HS256", None) == [key]
    assert fitting_keys([key], "ES256", None) == fitting_keys([key], "RS256", None) == []
    assert fitting_keys(read(public(elliptic())), "HS256", None) == []


@pytest.mark.parametrize("document", [b"", b"{", b"[]", b"5", b"{}", b'{"keys":{}}', b'{"keys":[]}', b"[" * 5000])
def test_documents_that_are_no_jwk_sets(document: bytes) -> None:
    with pytest.raises(ValueError):
        read_jwk_set(document, symmetric=False)


def test_a_set_is_bounded() -> None:
    assert len(read(*[public(elliptic())] * (MAX_KEYS + 5))) == MAX_KEYS


def test_the_keys_that_may_have_signed() -> None:
    keys = read(
        public(ECKey.generate_key("P-256"), kid="a"),
        public(ECKey.generate_key("P-256"), kid="a"),
        public(ECKey.generate_key("P-384"), kid="a"),
        public(ECKey.generate_key("P-256"), kid="b", alg="ES256", use="sig", key_ops=["verify"]),
        public(OKPKey.generate_key("Ed25519"), kid="b"),
        public(OKPKey.generate_key("Ed448"), kid="c", alg="Ed448"),
        {name: value for name, value in public(ECKey.generate_key("P-256")).items() if name != "kid"},
    )

    def positions(algorithm: str, kid: str | None) -> list[int]:
        return [keys.index(key) for key in fitting_keys(keys, algorithm, kid)]

    assert positions("ES256", "a") == [0, 1, 6]
    assert positions("ES384", "a") == [2]
    assert positions("ES256", "b") == [3, 6]
    assert positions("ES256", "") == [6]
    assert positions("ES256", None) == [0, 1, 3, 6]
    assert positions("EdDSA", None) == [4]
    assert positions("Ed448", None) == [5]
    assert positions("Ed25519", None) == [4]
    assert positions("RS256", None) == []
