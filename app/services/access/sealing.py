"""Texts that only this service can read and make: the contents of its cookies (conformance §15.2)."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import secrets
import threading
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE_BYTES: Final = 12
_KEY_BYTES: Final = 32
_SEALED: Final = re.compile(r"[A-Za-z0-9_-]{38,4096}", re.ASCII)
"""A nonce and an authentication tag alone have 38 characters. No browser keeps a cookie of more than 4,096 bytes."""


class Sealer:
    """Encrypts and authenticates with AES-256-GCM (NIST SP 800-38D). Each purpose has a key of its own (RFC 5869).

    `read_key` returns the key that all others come from. It is called once, when the first text is sealed or opened.
    """

    def __init__(self, read_key: Callable[[], bytes]) -> None:
        self._read_key = read_key
        self._key: bytes | None = None
        self._derived: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def seal(self, purpose: str, content: bytes) -> str:
        """Return a text of letters, digits, `-` and `_`. Raises `StorageError` if the key cannot be read."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return encoded(nonce + AESGCM(self._key_for(purpose)).encrypt(nonce, content, purpose.encode()))

    def open(self, purpose: str, text: str) -> bytes | None:
        """Return the content, None for every text that `seal` did not make for this purpose with this key.

        Raises `StorageError` if the key cannot be read.
        """
        if not _SEALED.fullmatch(text):
            return None
        sealed = decoded(text)
        if sealed is None:
            return None
        try:
            return AESGCM(self._key_for(purpose)).decrypt(
                sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], purpose.encode()
            )
        except InvalidTag:
            return None

    def signature(self, purpose: str, content: bytes) -> str:
        """Return a text that proves that this service knows `content` (HMAC-SHA-256)."""
        return encoded(hmac.digest(self._key_for(purpose), content, "sha256"))

    def _key_for(self, purpose: str) -> bytes:
        derived = self._derived.get(purpose)
        if derived is None:
            with self._lock:
                if self._key is None:
                    self._key = self._read_key()
                made = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=b"bulkhead " + purpose.encode())
                derived = self._derived[purpose] = made.derive(self._key)
        return derived


def encoded(content: bytes) -> str:
    """Return the content in base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def decoded(text: str) -> bytes | None:
    """Return what `encoded` has encoded, None for every other text."""
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return content if encoded(content) == text else None
