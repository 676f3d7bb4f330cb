"""Keys of issuers: JWK sets (RFC 7517), and the choice of the keys that may have signed a JWT (conformance §13.1)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, Final

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key, OKPKey
from joserfc.jws import JWSRegistry

MAX_KEYS: Final = 100
"""Keys of a set that are used. A JWT without `kid` is checked with each of them."""

_SIZES: Final = {"RSA": ("n", range(256, 1024 + 1)), "oct": ("k", range(32, 1024 + 1))}
"""The member of a key whose length says how strong it is, and how many bytes it may have (RFC 7518 §3.2, §3.3)."""

_SIGNING_CURVES: Final = ("Ed25519", "Ed448")


def read_jwk_set(document: bytes, *, symmetric: bool) -> tuple[Key, ...]:
    """Return the keys of a JWK set that can verify signatures. Raises `ValueError` if it is none, or if it has no key.

    A key that this release cannot use is left out (RFC 7517 §5): of an unknown type, malformed, for encryption, or of
    a size that is not safe. Shared secrets (`oct`) count only with `symmetric`.
    """
    parsed = orjson.loads(document)
    listed = parsed.get("keys") if isinstance(parsed, dict) else None
    if not isinstance(listed, list):
        raise ValueError("It is no JWK set: an object with an array 'keys'.")  # noqa: TRY004 - one error for all faults
    found = [_key(each) for each in listed[:MAX_KEYS] if isinstance(each, dict)]
    keys = tuple(key for key in found if key is not None and (symmetric or key.key_type != "oct"))
    if not keys:
        raise ValueError("It has no key that can verify signatures.")
    return keys


def _key(parameters: dict[str, Any]) -> Key | None:
    try:
        member, sizes = _SIZES.get(parameters["kty"], (None, range(0)))
        if member and len(_bytes(parameters[member])) not in sizes:
            return None
        key = JWKRegistry.import_key(parameters)
        key.check_use("sig")
        key.check_key_op("verify")
        if isinstance(key, OKPKey) and key.curve_name not in _SIGNING_CURVES:
            return None
    except (JoseError, UnsupportedAlgorithm, ValueError, TypeError, KeyError, AttributeError):
        return None
    return key


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "==")


def fitting_keys(keys: Sequence[Key], algorithm: str, kid: str | None) -> list[Key]:
    """Return the keys that may have signed a JWT with this algorithm and key id.

    A key without an id fits every id, and a JWT without an id may have been signed with every key. Several keys may
    have one id. The type of the key and its curve follow from the algorithm, so a public key is never a shared secret.
    """
    model = JWSRegistry.algorithms[algorithm]
    found = []
    for key in keys:
        if kid is not None and key.kid is not None and key.kid != kid:
            continue
        try:
            model.check_key(key)
        except JoseError:
            continue
        found.append(key)
    return found
