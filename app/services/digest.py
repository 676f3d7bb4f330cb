"""The SHA-256 digest of a file, which is kept with its version (conformance §3.11)."""

from __future__ import annotations

import base64
import hashlib
from typing import BinaryIO, Final

_CHUNK: Final = 1024 * 1024


class FileDigest:
    """Computes the digest of bytes that arrive in chunks. Other threads run meanwhile."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256(usedforsecurity=False)

    def add(self, chunk: bytes) -> None:
        self._sha256.update(chunk)

    def text(self) -> str:
        """Return the digest in base64, as headers write it (RFC 9530 §2)."""
        return base64.b64encode(self._sha256.digest()).decode()


def digest_of(stream: BinaryIO) -> str:
    """Return the digest of a stream in base64. It is read to its end."""
    digest = FileDigest()
    while chunk := stream.read(_CHUNK):
        digest.add(chunk)
    return digest.text()
