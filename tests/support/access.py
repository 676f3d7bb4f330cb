"""A service that authenticates its callers, and the JWTs of callers with the rights that a test gives them.

`serve(**authenticated(tmp_path))` starts the service. `client.get(path, headers=bearer(roles=["reader"]))` calls it.
The keys are in a file, so nothing is downloaded.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import orjson
from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, Key

ISSUER: Final = "https://issuer.test"
AUDIENCE: Final = "https://archive.test"
SUBJECT: Final = "ann"


@cache
def signing_key() -> Key:
    """The key that signs the JWTs of the tests. It is made once: P-256, so that it is cheap."""
    return ECKey.generate_key("P-256", {"kid": "tests", "use": "sig", "alg": "ES256"})


def jwk_set(*keys: Key) -> bytes:
    """Return the JWK set of the public keys. The secret of an `oct` key is in it as well."""
    return orjson.dumps({"keys": [key.as_dict(private=key.key_type == "oct") for key in keys]})


def authenticated(folder: Path, **different: Any) -> dict[str, Any]:
    """Return the settings of a service that accepts the JWTs of `bearer`. Its file of keys is in `folder`."""
    file = folder / "test-keys.json"
    file.write_bytes(jwk_set(signing_key()))
    settings = {"auth": ("jwt",), "jwt_issuers": (ISSUER,), "jwt_audiences": (AUDIENCE,), "jwt_jwks": str(file)}
    return settings | different


def claims(
    *, roles: Sequence[str] = (), grants: Sequence[Mapping[str, Any]] = (), subject: str = SUBJECT, **more: Any
) -> dict[str, Any]:
    """Return the claims of a JWT that is valid for an hour. A value of None in `more` leaves the claim out."""
    now = int(time.time())
    made = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": subject,
        "iat": now,
        "exp": now + 3600,
        "roles": list(roles),
        "bulkhead_grants": list(grants),
    }
    return {name: value for name, value in (made | more).items() if value is not None}


def signed(claims: Mapping[str, Any], *, key: Key | None = None, header: Mapping[str, Any] | None = None) -> str:
    """Return the JWT with these claims. `header` replaces the algorithm and the key id of the key of the tests."""
    made = {"alg": "ES256", "kid": "tests"} if header is None else dict(header)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)  # of the name EdDSA, which issuers still use
        return jwt.encode(made, dict(claims), key or signing_key(), algorithms=[made["alg"]])


def authorization(token: str) -> dict[str, str]:
    """Return the header that carries the token."""
    return {"Authorization": f"Bearer {token}"}


def bearer(
    *, roles: Sequence[str] = (), grants: Sequence[Mapping[str, Any]] = (), subject: str = SUBJECT, **more: Any
) -> dict[str, str]:
    """Return the headers of a caller with these rights.

    `roles` count in all partitions. A grant is as in the grants claim (conformance §13.3):
    `{"role": "writer", "partitions": ["clinic-a"]}`, or with `actions`. `more` are other claims.
    """
    return authorization(signed(claims(roles=roles, grants=grants, subject=subject, **more)))
