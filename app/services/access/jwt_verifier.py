"""The check of a JWT (RFC 7519, RFC 8725): signature, issuer, audience and times (conformance §13.1)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jws import CompactSignature, JWSRegistry

from app.errors import InvalidCredentials
from app.services.access.authentication import Verified
from app.services.access.caller import Caller
from app.services.access.issuer_keys import IssuerKeys
from app.services.access.jwk_set import fitting_keys
from app.services.access.jwt_claims import claim_at
from app.services.access.rights import Rights

LONGEST_JWT: Final = 8192
"""Characters of the longest JWT. The HTTP server reads no longer header (conformance §1.4)."""

_LONGEST_SUBJECT: Final = 256
_NESTED: Final = "JWT"
"""The content type of a JWT whose payload is another JWT (RFC 7519 §5.2)."""

RightsOf = Callable[[str, Mapping[str, Any]], Rights]
"""Returns the rights of a caller from its issuer and its claims. Raises `StorageError`."""


class JwtVerifier:
    """Checks the JWTs of some issuers. `keys` has the keys of each issuer under its name, the claim `iss`.

    `algorithms` are the names of those that may sign. `leeway` is in seconds. `subject_claim` names the caller.
    """

    def __init__(
        self,
        *,
        keys: Mapping[str, IssuerKeys],
        audiences: Collection[str],
        algorithms: Collection[str],
        leeway: float,
        subject_claim: str,
        rights_of: RightsOf,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._audiences = frozenset(audiences)
        self._registry = _Registry(algorithms)
        self._leeway = leeway
        self._subject_claim = subject_claim
        self._rights_of = rights_of
        self._now = now

    def verify(self, jwt: str) -> Verified:
        """Return the caller that the JWT names.

        Raises `InvalidCredentials` for every fault of the JWT, `IssuerUnavailable` if there are no keys to check it
        with, and `StorageError` if the rights cannot be read.
        """
        issuer, claims, valid_until = self._verified(jwt)
        subject = _subject(claims, self._subject_claim)
        rights = self._rights_of(issuer, claims)
        return Verified(caller=Caller(subject=subject, issuer=issuer, rights=rights), valid_until=valid_until)

    def claims(self, jwt: str) -> Mapping[str, Any]:
        """Return the verified claims of a JWT. Raises as `verify`."""
        return self._verified(jwt)[1]

    def _verified(self, jwt: str) -> tuple[str, dict[str, Any], float]:
        """Return the issuer, the claims and the end of a JWT after all checks but that of the subject."""
        signed, claims = self._parse(jwt)
        issuer = claims.get("iss")
        if not isinstance(issuer, str) or issuer not in self._keys:
            raise InvalidCredentials
        self._check_signature(signed, self._keys[issuer])
        return issuer, claims, self._check_claims(claims)

    def _parse(self, jwt: str) -> tuple[CompactSignature, dict[str, Any]]:
        """Return the parts of the JWT, and its claims. Nothing of them is verified."""
        if len(jwt) > LONGEST_JWT:
            raise InvalidCredentials
        try:
            signed = jws.extract_compact(jwt.encode("ascii"), registry=self._registry)
            claims = orjson.loads(signed.payload)
        except (JoseError, ValueError, TypeError, RecursionError) as error:  # arrays in arrays end in a RecursionError
            raise InvalidCredentials from error
        header: object = signed.protected
        # `crit` names extensions that the receiver must know (RFC 7515 §4.1.11). This one knows none.
        if not isinstance(header, dict) or not isinstance(claims, dict) or "crit" in header:
            raise InvalidCredentials
        if not self._registry.allows(header.get("alg")) or str(header.get("cty", "")).upper() == _NESTED:
            raise InvalidCredentials
        return signed, claims

    def _check_signature(self, signed: CompactSignature, issuer_keys: IssuerKeys) -> None:
        """Raise `InvalidCredentials` unless a key of the issuer signed. Keys and URLs in the header never count."""
        algorithm, kid = signed.protected["alg"], signed.protected.get("kid")
        keys = fitting_keys(issuer_keys.current(), algorithm, kid)
        if not keys:
            keys = fitting_keys(issuer_keys.renewed(), algorithm, kid)
        try:
            if any(jws.validate_compact(signed, key, registry=self._registry) for key in keys):
                return
        except (JoseError, ValueError) as error:
            raise InvalidCredentials from error
        raise InvalidCredentials

    def _check_claims(self, claims: Mapping[str, Any]) -> float:
        """Return when the JWT ends, with the leeway. Raises `InvalidCredentials`, also if there is no `exp`."""
        audiences = claims.get("aud")
        named = audiences if isinstance(audiences, list) else [audiences]
        if not any(isinstance(each, str) and each in self._audiences for each in named):
            raise InvalidCredentials
        now = self._now()
        if now + self._leeway < max(_time(claims, "nbf", 0), _time(claims, "iat", 0)):
            raise InvalidCredentials
        valid_until = _time(claims, "exp", None) + self._leeway
        if now >= valid_until:
            raise InvalidCredentials(expired=True)
        return valid_until


class _Registry(JWSRegistry):
    """Only the allowed algorithms. Unknown members of the header are ignored (RFC 7519 §5).

    An algorithm that no operator listed is not used, whatever joserfc recommends.
    """

    max_header_length = 4096  # a header may have certificates (x5c)
    max_payload_length = LONGEST_JWT
    max_signature_length = 1400  # RSA with 8192 bits

    def __init__(self, algorithms: Collection[str]) -> None:
        super().__init__(algorithms=algorithms, strict_check_header=False)
        self._allowed = frozenset(algorithms)

    def allows(self, name: object) -> bool:
        return isinstance(name, str) and name in self._allowed

    def get_alg(self, name: str) -> Any:
        """Return the algorithm. joserfc's own method warns of `EdDSA`, a name that issuers still use."""
        if name not in self._allowed:
            raise InvalidCredentials
        return self.algorithms[name]


def _time(claims: Mapping[str, Any], name: str, default: float | None) -> float:
    value = claims.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidCredentials
    return float(value)


def _subject(claims: Mapping[str, Any], name: str) -> str:
    """Return the name of the caller. It goes into stored records and the audit trail, so it is short and printable."""
    subject = claim_at(claims, name)
    if not isinstance(subject, str) or not subject.strip() or len(subject) > _LONGEST_SUBJECT:
        raise InvalidCredentials
    if not subject.isprintable():
        raise InvalidCredentials
    return subject
