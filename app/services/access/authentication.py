"""The way from the credentials of a request to its caller (conformance §13.1)."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from app.errors import InvalidCredentials
from app.services.access.caller import Caller
from app.services.access.rights import Rights
from app.services.bounded_cache import BoundedCache

TOKEN_PREFIX: Final = "bh_"  # noqa: S105 - it marks tokens and is none
"""The first characters of each token of our own. No JWT begins with them."""

CACHE_SECONDS: Final = 25.0
"""How long a caller is remembered. Its stored grants are at most 5 seconds old then (`stored_grants.py`). So a revoked
token and a removed grant count for 30 seconds at most."""

_CACHE_BYTES: Final = 32 << 20
_BYTES_FOR_EACH_CHARACTER: Final = 16
"""Memory of a caller for each character of its credentials. Grants of a JWT take more memory than their JSON text."""
_SMALLEST_ENTRY: Final = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What the Authorization header has. The password of the Basic scheme is the secret. `repr` never shows it."""

    scheme: str
    """`bearer` or `basic`."""
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """The caller that valid credentials name.

    `valid_until` is the time when the credentials stop being valid, in seconds since 1970. None: never.
    """

    caller: Caller
    valid_until: float | None = None


Verify = Callable[[str], Verified]
"""Checks a credential. Raises `InvalidCredentials`, `IssuerUnavailable` and `StorageError`."""


class StoredGrants(Protocol):
    """The grants that administrators stored for the callers of an issuer."""

    def of(self, issuer: str, claims: Mapping[str, Any]) -> Rights:
        """Return the rights of a caller. `claims` are all claims of its verified JWT. Raises `StorageError`.

        `jwt_claims.claim_values` returns the values of one claim.
        """
        ...


class Authentication:
    """Checks credentials. `verify_jwt` and `verify_token` are None for a kind that the operator does not accept.

    Callers are remembered for up to 25 seconds, and never after their credentials expire. The same credentials then
    cost no check of a signature and no read of the table. Refused credentials are not remembered.
    """

    def __init__(
        self,
        *,
        verify_jwt: Verify | None = None,
        verify_token: Verify | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._verify_jwt = verify_jwt
        self._verify_token = verify_token
        self._monotonic = monotonic
        self._now = now
        self._cache: BoundedCache[tuple[Verified, float]] = BoundedCache(_CACHE_BYTES, "verified_callers")

    def forget(self) -> None:
        """Forget all callers, because tokens or grants were changed by this process."""
        self._cache.clear()

    def identify(self, credentials: Credentials) -> Caller:
        """Return the caller. Raises `InvalidCredentials` for every fault of the credentials, and as `Verify`."""
        return self.verify(credentials).caller

    def verify(self, credentials: Credentials) -> Verified:
        """Return the caller, and when the credentials end. Raises as `identify`."""
        is_token = credentials.scheme == "basic" or credentials.secret.startswith(TOKEN_PREFIX)
        verify = self._verify_token if is_token else self._verify_jwt
        if verify is None:
            raise InvalidCredentials
        # The kind is part of the key: a JWT in the place of a password stays refused, also while it is remembered.
        key = (is_token, hashlib.sha256(credentials.secret.encode("utf-8", "surrogatepass")).digest())
        remembered = self._cache.get(key)
        if remembered is not None and self._monotonic() < remembered[1]:
            verified = remembered[0]
        else:
            forgotten_at = self._monotonic() + CACHE_SECONDS  # the age counts from before the table is read
            verified = verify(credentials.secret)
            size = max(_SMALLEST_ENTRY, _BYTES_FOR_EACH_CHARACTER * len(credentials.secret))
            self._cache.put(key, (verified, forgotten_at), size)
        if verified.valid_until is not None and self._now() >= verified.valid_until:
            raise InvalidCredentials(expired=True)
        return verified
