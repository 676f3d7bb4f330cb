"""Downloads of the documents of an issuer: discovery (OpenID Connect Discovery §4) and JWK sets (conformance §13.1)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

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
_OK: Final = 200
_FORM: Final = "application/x-www-form-urlencoded"
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
        return self.document(self.named_url(issuer, self.discovery(issuer), "jwks_uri"))

    def discovery(self, issuer: str) -> dict[str, Any]:
        """Return the discovery document of an issuer. Raises `DownloadFailed`, also for that of another issuer."""
        url = issuer.removesuffix("/") + _DISCOVERY
        document = _json_object(self.document(url), url)
        if document.get("issuer") != issuer:
            raise DownloadFailed(f"{url} is the document of another issuer.")
        return document

    def named_url(self, issuer: str, document: Mapping[str, Any], name: str) -> str:
        """Return the URL with this name in the discovery document of an issuer. Raises `DownloadFailed`.

        It is https if that of the issuer is.
        """
        url = document.get(name)
        if not isinstance(url, str) or (issuer.startswith("https:") and not url.startswith("https:")):
            raise DownloadFailed(f"The discovery document of {issuer} names no {name} that can be trusted.")
        if not self._is_trustworthy(url):
            raise DownloadFailed(f"{url} is not https.")
        return url

    def document(self, url: str) -> bytes:
        """Return the body of the answer to a GET. Raises `DownloadFailed` unless the status is 200."""
        status, body = self._asked("GET", url, {}, None)
        if status != _OK:
            raise DownloadFailed(f"{url} answered with {status}.")
        return body

    def posted(self, url: str, fields: Mapping[str, str], headers: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        """Send a form. Return the status and the JSON object of the answer. Raises `DownloadFailed`."""
        status, body = self._asked("POST", url, {**headers, "Content-Type": _FORM}, urlencode(fields).encode())
        return status, _json_object(body, url)

    def _asked(self, method: str, url: str, headers: Mapping[str, str], content: bytes | None) -> tuple[int, bytes]:
        if not self._is_trustworthy(url):
            raise DownloadFailed(f"{url} is not https.")
        try:
            # Nothing is decompressed, so the limit for the size is that of the memory.
            answer = self._pool.request(
                method,
                url,
                body=content,
                headers={"Accept": "application/json", "Accept-Encoding": "identity", **headers},
                preload_content=False,
                decode_content=False,
                redirect=False,
            )
            try:
                return answer.status, _body(answer, url)
            finally:
                answer.close()  # the connection is not kept: the next document is read minutes later
        except (HTTPError, OSError, ValueError) as error:
            raise DownloadFailed(f"{url} cannot be read: {type(error).__name__}.") from error


def _json_object(body: bytes, url: str) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise DownloadFailed(f"{url} is not JSON.") from error
    if not isinstance(document, dict):
        raise DownloadFailed(f"{url} is no JSON object.")
    return document


def _body(answer: urllib3.BaseHTTPResponse, url: str) -> bytes:
    ends = time.monotonic() + _BODY_SECONDS
    body = bytearray()
    while piece := answer.read1(_PIECE):
        body += piece
        if len(body) > LARGEST_DOCUMENT:
            raise DownloadFailed(f"{url} has more than {LARGEST_DOCUMENT} bytes.")
        if time.monotonic() > ends:
            raise DownloadFailed(f"{url} is sent too slowly.")
    return bytes(body)
