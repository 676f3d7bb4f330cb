"""Times as they are stored and shown: UTC, ISO 8601, seven fractional digits, `+00:00` (conformance §2.1, conformance §10.3)."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> float:
    """Return seconds since 1970."""
    return time.time()


def timestamp(seconds: float) -> str:
    """Return `2024-03-01T09:00:00.1234560+00:00`, which sorts as text."""
    return written(datetime.fromtimestamp(seconds, UTC))


def written(moment: datetime, seventh: str = "0") -> str:
    """Return a time in UTC as text; `seventh` is the digit that a datetime has no room for."""
    return f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}{seventh}+00:00"


def seconds(timestamp: str) -> float:
    """Return the seconds since 1970 of a stored timestamp."""
    return datetime.fromisoformat(timestamp[:26] + "+00:00").timestamp()
