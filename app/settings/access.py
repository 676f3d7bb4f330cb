"""Settings of access: how callers are known, and where their rights come from (conformance §13)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from marshmallow.fields import Boolean, String

from app.errors import ConfigurationError
from app.settings.declaration import FilePath, Names, setting, variable, whole_number
from app.settings.serving import ServingSettings

NONE: Final = "none"
JWT: Final = "jwt"
TOKENS: Final = "tokens"

SYMMETRIC: Final = ("HS256", "HS384", "HS512")
"""Algorithms with a secret that the issuer and the service share."""

_ALGORITHMS: Final = (
    *(f"{family}{size}" for family in ("RS", "PS", "ES") for size in (256, 384, 512)),
    *("EdDSA", "Ed25519", "Ed448"),
    *SYMMETRIC,
)

_QUOTABLE: Final = r"[!#-\[\]-~]+"
"""ASCII characters that need no escape in the quoted text of a header, without the space."""


@dataclass(frozen=True, kw_only=True)
class AccessSettings(ServingSettings):
    """Which credentials the service accepts, and where rights are defined."""

    auth: tuple[str, ...] = setting(
        (NONE,),
        Names(f"{NONE}|{JWT}|{TOKENS}", f"`{NONE}`, `{JWT}` or `{TOKENS}`"),
        "Credentials that the service accepts, separated by commas: `jwt`, `tokens`. "
        "`none`: every caller may make every call.",
    )
    allow_anonymous: bool = setting(
        False, Boolean(), "Whether the service may listen beyond this machine (`BULKHEAD_HOST`) with `none`."
    )
    jwt_issuers: tuple[str, ...] = setting(
        (),
        Names(_QUOTABLE, "the name of an issuer"),
        "Issuers whose JWTs are accepted, separated by commas, as in the claim `iss`. "
        "Without `BULKHEAD_JWT_JWKS` each is an https URL whose discovery document names its keys.",
    )
    jwt_jwks: str = setting(
        "",
        String(),
        "Keys of the issuers, in place of discovery: the https URL or the file of a JWK set. It serves all issuers.",
    )
    jwt_audiences: tuple[str, ...] = setting(
        (), Names(_QUOTABLE, "an audience"), "Values of the claim `aud` that mean this service, separated by commas."
    )
    jwt_algorithms: tuple[str, ...] = setting(
        ("RS256", "PS256", "ES256", "EdDSA"),
        Names("|".join(_ALGORITHMS), f"one of {', '.join(_ALGORITHMS)}"),
        "Algorithms that may sign a JWT, separated by commas. `HS256` and its like need a file in `BULKHEAD_JWT_JWKS`.",
    )
    jwt_leeway_seconds: int = setting(
        60, whole_number(0, 3600), "By how much the clocks of the issuers may differ from this one."
    )
    roles_claim: str = setting(
        "roles",
        String(),
        "Claim of a JWT with the roles of the caller. Dots lead into objects: `realm_access.roles`.",
    )
    grants_claim: str = setting(
        "bulkhead_grants", String(), "Claim of a JWT with grants, each on some partitions. Dots lead into objects."
    )
    subject_claim: str = setting("sub", String(), "Claim of a JWT that names the caller. Dots lead into objects.")
    roles_file: Path | None = setting(  # noqa: RUF009 - a field
        None, FilePath(), "JSON file that defines roles, in Microsoft's form. The shipped roles are always there."
    )

    @property
    def authenticates(self) -> bool:
        """Whether each request needs credentials."""
        return self.auth != (NONE,)

    @property
    def jwks_url(self) -> str | None:
        """The URL of the JWK set. None: it is a file, or there is none."""
        return self.jwt_jwks if "://" in self.jwt_jwks else None

    @property
    def jwks_file(self) -> Path | None:
        """The file of the JWK set. None: it is a URL, or there is none."""
        return Path(self.jwt_jwks) if self.jwt_jwks and "://" not in self.jwt_jwks else None

    def contradictions(self) -> Iterator[str]:
        """Yield a line for each setting of the authentication that is missing or does not fit the others."""
        if self.authenticates and NONE in self.auth:
            yield f"{variable('auth')}: `{NONE}` stands alone."
        if JWT in self.auth:
            yield from self._faults_of_jwt()

    def _faults_of_jwt(self) -> Iterator[str]:
        for name in ("jwt_issuers", "jwt_audiences"):
            if not getattr(self, name):
                yield f"{variable(name)}: {variable('auth')}={JWT} needs it."
        if self.jwks_url and not is_trustworthy(self.jwks_url):
            yield f"{variable('jwt_jwks')}={self.jwt_jwks!r}: {_NO_TRUST}"
        for issuer in self.jwt_issuers if not self.jwt_jwks else ():
            if not is_trustworthy(issuer):
                yield f"{variable('jwt_issuers')}={issuer!r}: {_NO_TRUST} Or name its keys with {variable('jwt_jwks')}."
        if set(SYMMETRIC) & set(self.jwt_algorithms) and not self.jwks_file:
            yield f"{variable('jwt_algorithms')}: HS algorithms need a file with the secret in {variable('jwt_jwks')}."

    def check_listening(self, host: str | None = None) -> None:
        """Raise `ConfigurationError` if everyone who reaches an address of the server could do everything.

        `host` is the address; the default is `BULKHEAD_HOST`. Only the server calls this: a worker listens nowhere.
        """
        address = self.host if host is None else host
        if self.authenticates or self.allow_anonymous or _is_loopback(address):
            return
        raise ConfigurationError(
            f"{variable('auth')}={NONE} with {variable('host')}={address}: Everyone who reaches this address could "
            f"read and delete all data. Set {variable('auth')} to the credentials that callers have, or allow this "
            f"with {variable('allow_anonymous')}=true."
        )


_NO_TRUST: Final = "It must be an https URL, or an http URL of this machine, so that nobody can exchange the keys."


def is_trustworthy(url: str) -> bool:
    """Return whether keys from this URL are those of its owner: over https, or from this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port  # reading it raises ValueError for a port that is no number
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host)))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
