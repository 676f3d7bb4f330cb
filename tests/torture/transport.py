"""Requests to the servers of a campaign, and their answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError

SECONDS: Final = 90.0
"""How long a request may take. A request that takes longer has no end: this is a violation."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer. Without one, `status` is 0: `sent` says whether the server may have got the request."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=urllib3.HTTPHeaderDict)
    sent: bool = True
    late: bool = False

    def json(self) -> Any:
        return json.loads(self.body)


class Transport(Protocol):
    """Sends requests to one of several servers."""

    servers: int

    def send(
        self, server: int, method: str, target: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request to the server with this number. Never raises: a broken connection is an answer too."""
        ...


class HttpTransport:
    """Sends requests to servers at these URLs."""

    def __init__(self, urls: list[str]) -> None:
        self._urls = urls
        self._pool = urllib3.PoolManager(num_pools=8, maxsize=32, retries=False, timeout=urllib3.Timeout(SECONDS))
        self.servers = len(urls)

    def send(
        self, server: int, method: str, target: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        try:
            found = self._pool.request(method, self._urls[server] + target, body=body, headers=dict(headers or {}))
        except (NewConnectionError, ConnectTimeoutError):
            return Answer(0, sent=False)
        except ReadTimeoutError:
            return Answer(0, late=True)
        except (HTTPError, OSError):
            return Answer(0)
        return Answer(found.status, found.data, found.headers)
