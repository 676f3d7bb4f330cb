"""The way from the credentials of a request to its caller (conformance §13.1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from app.errors import InvalidCredentials
from app.services.access.caller import Caller

Verify = Callable[[str], Caller]
"""Returns the caller that a credential names. Raises `InvalidCredentials`, and `StorageError` if it cannot be read."""

TOKEN_PREFIX: Final = "bh_"  # noqa: S105 - it marks tokens and is none
"""The first characters of each token of our own. No JWT begins with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What the Authorization header has. The password of the Basic scheme is the secret. `repr` never shows it."""

    scheme: str
    """`bearer` or `basic`."""
    secret: str = field(repr=False)


class Authentication:
    """Checks credentials. `verify_jwt` and `verify_token` are None for a kind that the operator does not accept."""

    def __init__(self, *, verify_jwt: Verify | None = None, verify_token: Verify | None = None) -> None:
        self._verify_jwt = verify_jwt
        self._verify_token = verify_token

    def identify(self, credentials: Credentials) -> Caller:
        """Return the caller. Raises `InvalidCredentials` for every fault of the credentials."""
        is_token = credentials.scheme == "basic" or credentials.secret.startswith(TOKEN_PREFIX)
        verify = self._verify_token if is_token else self._verify_jwt
        if verify is None:
            raise InvalidCredentials
        return verify(credentials.secret)
