"""The secret of a token of our own: its form, and its digest (conformance §13.6).

A secret is `bh_`, 32 random bytes in base 62 with a fixed width, and the CRC-32 of these digits in base 62. With the
check sum a mistyped or shortened token is refused before anything is read. It is no protection against an attacker.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib
from typing import Final

from app.services.access.authentication import TOKEN_PREFIX

_DIGITS: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM_BYTES: Final = 32
_RANDOM_WIDTH: Final = 43
"""Digits of base 62 for 32 bytes."""
_SUM_WIDTH: Final = 6
"""Digits of base 62 for 32 bits."""
_FORM: Final = re.compile(
    f"{TOKEN_PREFIX}(?P<random>[0-9A-Za-z]{{{_RANDOM_WIDTH}}})(?P<sum>[0-9A-Za-z]{{{_SUM_WIDTH}}})", re.ASCII
)


def new_secret() -> str:
    """Return a new secret of 52 characters."""
    random = _base_62(int.from_bytes(secrets.token_bytes(_RANDOM_BYTES)), _RANDOM_WIDTH)
    return f"{TOKEN_PREFIX}{random}{_check_sum(random)}"


def is_well_formed(secret: str) -> bool:
    """Return whether a text has the form of a secret and its check sum is right."""
    match = _FORM.fullmatch(secret)
    return match is not None and match["sum"] == _check_sum(match["random"])


def digest(secret: str) -> str:
    """Return the SHA-256 digest of a secret in hex digits. A secret has 256 random bits, so it needs no salt."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _check_sum(text: str) -> str:
    return _base_62(zlib.crc32(text.encode()), _SUM_WIDTH)


def _base_62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
