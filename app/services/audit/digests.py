"""The digests that connect the audit lines of a process (conformance §13.5)."""

from __future__ import annotations

import hmac
import re
from hashlib import sha256
from typing import Final, NamedTuple

_SEALED: Final = re.compile(rb'(\{.*),"digest":"([0-9a-f]{64})"\}', re.DOTALL)


class SealedLine(NamedTuple):
    """A line in its two parts: the bytes that the digest is computed over, and the digest that the line states."""

    content: bytes
    digest: str


def digest_of(content: bytes, key: bytes | None) -> str:
    """Return the digest of the content of a line: HMAC-SHA-256 with a key, SHA-256 without one. 64 hex digits."""
    return hmac.digest(key, content, "sha256").hex() if key else sha256(content).hexdigest()


def seal(content: bytes, digest: str) -> bytes:
    """Return a JSON object, not empty, with its digest as the last member, and the end of the line."""
    return content[:-1] + b',"digest":"' + digest.encode() + b'"}\n'


def unseal(line: bytes) -> SealedLine | None:
    """Return the parts of a line without its end, None if it has no digest at its end."""
    match = _SEALED.fullmatch(line)
    return SealedLine(match[1] + b"}", match[2].decode()) if match else None
