"""The challenges of a 401 answer: which credentials the service accepts (RFC 9110 §11.6.1, conformance §13.1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from app.errors import NoCredentials, Unauthenticated
from app.settings import Settings
from app.settings.access import JWT, TOKENS

_REALM_WITHOUT_AUDIENCE: Final = "Bulkhead"


def challenges(settings: Settings, error: Unauthenticated, *, basic: bool = True) -> Iterator[str]:
    """Yield the value of each `WWW-Authenticate` header, one for each scheme that the service accepts.

    `basic` says whether the Basic scheme may be among them.

    The settings allow no character in an issuer or in an audience that would end the quoted text.
    """
    realm = settings.jwt_audiences[0] if settings.jwt_audiences else _REALM_WITHOUT_AUDIENCE
    bearer = {"realm": realm}
    if JWT in settings.auth:
        bearer = {"authorization_uri": settings.jwt_issuers[0], "resource_id": realm, "realm": realm}
    if not isinstance(error, NoCredentials):
        bearer["error"] = "invalid_token"
    yield "Bearer " + ", ".join(f'{name}="{value}"' for name, value in bearer.items())
    if TOKENS in settings.auth and basic:
        yield f'Basic realm="{realm}"'
