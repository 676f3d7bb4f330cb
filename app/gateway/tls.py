"""TLS of the listening port: the BCP 195 profile of PS3.15 §B.9, with or without client certificates."""

from __future__ import annotations

import ssl
from pathlib import Path

from app.errors import BulkheadError

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM"
"""The cipher suites of TLS 1.2: forward secrecy and authenticated encryption (RFC 9325 §4.2)."""


class TlsUnusable(BulkheadError):
    """A certificate or a key cannot be used. The message says which."""


def server_context(*, certificate: Path, key: Path | None, client_ca: Path | None) -> ssl.SSLContext:
    """Return the context of the listening port, TLS 1.2 or later. Raises `TlsUnusable`.

    `key` is the private key, unless it is in the file of the certificate. With `client_ca` each peer must show a
    certificate that one of its authorities signed.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise TlsUnusable(f"The TLS certificate {certificate} or its key cannot be used: {_reason(error)}") from error
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(client_ca)
        except (OSError, ssl.SSLError) as error:
            raise TlsUnusable(f"The TLS authorities {client_ca} cannot be used: {_reason(error)}") from error
    return context


def _reason(error: OSError) -> str:
    return str(getattr(error, "reason", None) or error.strerror or type(error).__name__)
