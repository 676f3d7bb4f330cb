"""What the server did with an instance."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


class Verdict(enum.Enum):
    """What follows from the answer of the server."""

    STORED = "stored"
    """The server has the instance."""
    REFUSED = "refused"
    """The server will never store this instance."""
    UNAUTHORIZED = "unauthorized"
    """The server does not accept the token, or the token does not allow the store. It may do so later."""
    LATER = "later"
    """The server cannot store now, or it could not be asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The verdict, and a `reason` without patient data for the log. `details` is for the file in refused/."""

    verdict: Verdict
    reason: str = ""
    details: dict[str, Any] = field(default_factory=dict)


class Sender(Protocol):
    """Sends files to a server."""

    def send(self, partition: str, file: Path) -> Outcome:
        """Store a file in a partition. An empty name means a server without partitions. Raises nothing but bugs."""
        ...
