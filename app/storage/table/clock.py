"""Times in the form in which they are stored and returned: UTC, ISO 8601, seven fractional digits, `+00:00`.

Sources: conformance §2.1 and §10.3.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> float:
    """Return the seconds since 1970."""
    return time.time()


def timestamp(seconds: float) -> str:
    """Return a time as text, `2024-03-01T09:00:00.1234560+00:00`. The texts sort in the order of time."""
    return format_utc(datetime.fromtimestamp(seconds, UTC))


def format_utc(moment: datetime, seventh: str = "0") -> str:
    """Return a time in UTC as text. `seventh` is the seventh fractional digit: a datetime holds six."""
    return f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}{seventh}+00:00"


def seconds(timestamp: str) -> float:
    """Return the seconds since 1970 of a stored timestamp."""
    return datetime.fromisoformat(timestamp[:26] + "+00:00").timestamp()
