"""Sessions of people in browsers: a sealed cookie carries the credential of the caller (conformance §15.2).

Nothing of a session is stored. The credential is checked with each request, so a session never allows more than it.
"""

from __future__ import annotations

import hmac
import secrets
import struct
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from app.errors import InvalidRequest
from app.services.access.authentication import Authentication, Credentials
from app.services.access.caller import Caller
from app.services.access.jwt_verifier import LONGEST_JWT
from app.services.access.sealing import Sealer, decoded, encoded

MAX_COOKIE_CHARACTERS: Final = 3_800
"""Characters of the longest cookie value. Browsers keep 4,096 bytes with name and attributes (RFC 6265 §6.1)."""

_SESSION: Final = "session"
_FORM: Final = "form"
_BEGINNING: Final = struct.Struct(">Q16s")
"""The end of the session in seconds since 1970, and its id. The compressed credential follows."""
_TEXT: Final = b"t"
_PARTS: Final = b"p"
"""The first byte says how the credential follows: as its text, or as the decoded parts of a JWT."""
_LENGTH: Final = struct.Struct(">H")
_LARGEST: Final = LONGEST_JWT + 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """An open session. `repr` never shows its secrets."""

    id: bytes = field(repr=False)
    """Random. Form tokens belong to it."""
    ends: int
    """In seconds since 1970."""
    credential: str = field(repr=False)

    @property
    def credentials(self) -> Credentials:
        """What a request without a session has in its Authorization header."""
        return Credentials(scheme="bearer", secret=self.credential)


@dataclass(frozen=True, slots=True, kw_only=True)
class BegunSession:
    """A session that has just begun. `cookie` is the value of its cookie, and `seconds` is its life."""

    caller: Caller
    cookie: str = field(repr=False)
    seconds: int


class Sessions:
    """Begins and opens sessions. A session ends after `seconds`, and never after its credential ends."""

    def __init__(self, sealer: Sealer, seconds: int, now: Callable[[], float] = time.time) -> None:
        self._sealer = sealer
        self._seconds = seconds
        self._now = now

    def begin(self, credential: str, authentication: Authentication) -> BegunSession:
        """Return a new session with a new id. Raises as `Authentication.identify`.

        Raises `InvalidRequest` for a credential that is too long for a cookie.
        """
        verified = authentication.verify(Credentials(scheme="bearer", secret=credential))
        now = int(self._now())
        ends = now + self._seconds
        if verified.valid_until is not None:
            ends = min(ends, int(verified.valid_until))
        content = _BEGINNING.pack(ends, secrets.token_bytes(16)) + zlib.compress(_packed(credential), 9)
        cookie = self._sealer.seal(_SESSION, content)
        if len(cookie) > MAX_COOKIE_CHARACTERS:
            raise InvalidRequest(
                f"The token is too long for a cookie: {len(cookie)} characters, of {MAX_COOKIE_CHARACTERS} at most. "
                "Let the identity provider put fewer claims into it."
            )
        return BegunSession(caller=verified.caller, cookie=cookie, seconds=max(0, ends - now))

    def open(self, cookie: str) -> Session | None:
        """Return the session of a cookie, None if this service did not make it or if the session is over.

        Raises `StorageError` if the key cannot be read.
        """
        content = self._sealer.open(_SESSION, cookie)
        if content is None:
            return None
        ends, session = _BEGINNING.unpack_from(content)
        if self._now() >= ends:
            return None
        packed = zlib.decompressobj().decompress(content[_BEGINNING.size :], _LARGEST)
        return Session(id=session, ends=ends, credential=_unpacked(packed))

    def form_token(self, session: Session | None) -> str:
        """Return the token that each form of the session has. All requests without a session share one token."""
        return self._sealer.signature(_FORM, session.id if session else b"")

    def is_form_token(self, text: str, session: Session | None) -> bool:
        """Return whether a form has the token of the session."""
        return hmac.compare_digest(self.form_token(session).encode(), text.encode("utf-8", "replace"))


def _packed(credential: str) -> bytes:
    """Return the credential in fewer bytes. The JSON in a JWT is compressed well after it is decoded."""
    parts = [decoded(part) for part in credential.split(".")]
    if len(parts) != 3 or None in parts:
        return _TEXT + credential.encode()
    return _PARTS + b"".join(_LENGTH.pack(len(part)) + part for part in parts if part is not None)


def _unpacked(packed: bytes) -> str:
    if packed[:1] == _TEXT:
        return packed[1:].decode()
    parts, at = [], 1
    while at < len(packed):
        (length,) = _LENGTH.unpack_from(packed, at)
        at += _LENGTH.size
        parts.append(encoded(packed[at : at + length]))
        at += length
    return ".".join(parts)
