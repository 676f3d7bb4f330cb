"""The credentials of a request: its Authorization header (RFC 6750 §2.1, RFC 7617, conformance §13.1)."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from app.errors import InvalidCredentials, NoCredentials
from app.services.access.authentication import Credentials

_TOKEN68: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)
"""The form of credentials in the schemes Bearer and Basic (RFC 9110 §11.2)."""


def read_credentials(header: str | None) -> Credentials:
    """Return the credentials. Raises `NoCredentials` without a header, `InvalidCredentials` if it cannot be read."""
    if not header:
        raise NoCredentials
    scheme, _, value = header.partition(" ")
    value = value.strip(" ")
    # The server joins two headers with a comma. No scheme has a comma here, so two headers are no credentials.
    if not _TOKEN68.fullmatch(value):
        raise InvalidCredentials
    match scheme.lower():
        case "bearer":
            return Credentials(scheme="bearer", secret=value)
        case "basic":
            return Credentials(scheme="basic", secret=_password(value))
    raise InvalidCredentials


def _password(value: str) -> str:
    """Return the password. The user name may be in any encoding, and it does not matter."""
    try:
        _, colon, password = base64.b64decode(value, validate=True).partition(b":")
        if not colon:
            raise InvalidCredentials
        return password.decode("utf-8")
    except (binascii.Error, ValueError) as error:
        raise InvalidCredentials from error


def has_bearer(header: str | None) -> bool:
    """Return whether an Authorization header has the scheme Bearer. The credentials may be of no use."""
    return (header or "").partition(" ")[0].lower() == "bearer"
