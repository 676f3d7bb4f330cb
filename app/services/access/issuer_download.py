"""Downloads of the documents of an issuer: discovery (OpenID Connect Discovery §4) and JWK sets (conformance §13.1)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import orjson
import urllib3
from urllib3.exceptions import HTTPError

LARGEST_DOCUMENT: Final = 1 << 20
"""Bytes of the largest document that is read."""

SILENT_SECONDS: Final = 3.0
"""How long an issuer may take to accept a connection, to begin its answer, and to send the next piece of it."""

_BODY_SECONDS: Final = 5.0
"""How long the body of an answer may take altogether."""

_PIECE: Final = 1 << 16
_DISCOVERY: Final = "/.well-known/openid-configuration"


class DownloadFailed(Exception):
    """A document cannot be had. The message says why, and names its URL."""


class Downloader:
    """Reads documents over HTTP, with limits for time and size. `is_trustworthy` says which URLs may be asked.

    Redirects are not followed. Proxies of the environment are not used.
    """

    def __init__(self, is_trustworthy: Callable[[str], bool], silent_seconds: float = SILENT_SECONDS) -> None:
        self._is_trustworthy = is_trustworthy
        timeout = urllib3.Timeout(connect=silent_seconds, read=silent_seconds)
        self._pool = urllib3.PoolManager(num_pools=4, maxsize=1, timeout=timeout, retries=False)

    def discovered_keys(self, issuer: str) -> bytes:
        """Return the JWK set of an issuer, found by discovery. Raises `DownloadFailed`."""
        url = issuer.removesuffix("/") + _DISCOVERY
        document = self._discovery(url)
        if document.get("issuer") != issuer:
            raise DownloadFailed(f"{url} is the document of another issuer.")
        keys = document.get("jwks_uri")
        if not isinstance(keys, str) or (issuer.startswith("https:") and not keys.startswith("https:")):
            raise DownloadFailed(f"{url} names no jwks_uri that can be trusted.")
        return self.document(keys)

    def document(self, url: str) -> bytes:
        """Return the body of the answer to a GET. Raises `DownloadFailed` unless the status is 200."""
        if not self._is_trustworthy(url):
            raise DownloadFailed(f"{url} is not https.")
        try:
            # Nothing is decompressed, so the limit for the size is that of the memory.
            answer = self._pool.request(
                "GET",
                url,
                headers={"Accept": "application/json", "Accept-Encoding": "identity"},
                preload_content=False,
                decode_content=False,
                redirect=False,
            )
            try:
                return _body(answer, url)
            finally:
                answer.close()  # the connection is not kept: the next document is read minutes later
        except (HTTPError, OSError, ValueError) as error:
            raise DownloadFailed(f"{url} cannot be read: {type(error).__name__}.") from error

    def _discovery(self, url: str) -> dict[str, Any]:
        try:
            document = orjson.loads(self.document(url))
        except orjson.JSONDecodeError as error:
            raise DownloadFailed(f"{url} is not JSON.") from error
        if not isinstance(document, dict):
            raise DownloadFailed(f"{url} is no JSON object.")
        return document


def _body(answer: urllib3.BaseHTTPResponse, url: str) -> bytes:
    if answer.status != 200:
        raise DownloadFailed(f"{url} answered with {answer.status}.")
    ends = time.monotonic() + _BODY_SECONDS
    body = bytearray()
    while piece := answer.read1(_PIECE):
        body += piece
        if len(body) > LARGEST_DOCUMENT:
            raise DownloadFailed(f"{url} has more than {LARGEST_DOCUMENT} bytes.")
        if time.monotonic() > ends:
            raise DownloadFailed(f"{url} is sent too slowly.")
    return bytes(body)
