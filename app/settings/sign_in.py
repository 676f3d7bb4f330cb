"""Settings of the sign-in of people in browsers (conformance §15.2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from marshmallow.fields import String

from app.settings.access import JWT, AccessSettings, is_trustworthy
from app.settings.declaration import FilePath, Names, setting, variable, whole_number


@dataclass(frozen=True, kw_only=True)
class SignInSettings(AccessSettings):
    """How people sign in with OpenID Connect, how long they stay signed in, and the key that protects their cookies."""

    oidc_client_id: str = setting(
        "",
        String(),
        "The service's own name at the first issuer of `BULKHEAD_JWT_ISSUERS`. With it people sign in there (OpenID "
        "Connect). The redirect URI to register is `{public URL}/ui/callback`.",
    )
    oidc_client_secret_file: Path | None = setting(  # noqa: RUF009 - a field
        None, FilePath(), "File with the secret that the issuer gave the service. Without it the client is public."
    )
    oidc_scopes: tuple[str, ...] = setting(
        ("openid", "profile"),
        Names(r"[!#-\[\]-~]+", "a scope"),
        "Scopes that the sign-in asks for, separated by commas.",
    )

    session_seconds: int = setting(
        28_800,
        whole_number(60, 604_800),
        "How long people stay signed in in a browser, in seconds. A session also ends when its credential ends.",
    )
    session_key_file: Path | None = setting(  # noqa: RUF009 - a field
        None,
        FilePath(),
        "File with the secret that seals session cookies, 32 bytes or more. Without it the secret is in the table. "
        "A new secret ends all sessions.",
    )

    def contradictions(self) -> Iterator[str]:
        """Yield a line for each setting of the sign-in that does not fit the others."""
        if not self.oidc_client_id:
            return
        if JWT not in self.auth or not self.jwt_issuers:
            yield f"{variable('oidc_client_id')}: {variable('auth')}={JWT} and {variable('jwt_issuers')} are needed."
        elif not is_trustworthy(self.jwt_issuers[0]):
            yield (
                f"{variable('jwt_issuers')}={self.jwt_issuers[0]!r}: People cannot sign in there. "
                "The first issuer must be an https URL, or an http URL of this machine."
            )
