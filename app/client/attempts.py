"""When a call is repeated, and how long the client waits before."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

import httpx

REPEATED_STATUSES: Final = frozenset({429, 503})
"""The server did nothing of such a call, or says that the call may be repeated (conformance §3.2)."""

NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
"""The server has seen nothing of the request, so any request can be sent again."""


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """How often and when a call is tried. Times are in seconds."""

    number: int = 6
    first_pause: float = 0.5
    longest_pause: float = 30.0

    def pause(self, failed: int, retry_after: str | None = None) -> float:
        """Return the pause after the `failed`-th attempt (from 1). The server's Retry-After counts, up to the longest.

        Without it the pause doubles each time. A random part keeps many clients from coming back at the same moment.
        """
        if retry_after is not None and retry_after.strip().isdecimal():
            return min(float(retry_after), self.longest_pause) + random.uniform(0, 0.25)  # noqa: S311 (no secret)
        doubled = min(self.first_pause * 2.0 ** (failed - 1), self.longest_pause)
        return doubled * random.uniform(0.75, 1.0)  # noqa: S311 (no secret)
