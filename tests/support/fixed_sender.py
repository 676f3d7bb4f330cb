"""A server that answers all stores of the DICOM gateway alike."""

from __future__ import annotations

from pathlib import Path

from app.gateway.outcomes import Outcome, Verdict


class FixedSender:
    """Gives the same outcome to each file. It keeps what it was sent, as (partition, bytes of the file)."""

    def __init__(self, verdict: Verdict, **details: object) -> None:
        self.outcome = Outcome(verdict=verdict, reason="as the test says", details=details)
        self.files: list[tuple[str, bytes]] = []

    def send(self, partition: str, file: Path) -> Outcome:
        """Return the outcome."""
        self.files.append((partition, file.read_bytes()))
        return self.outcome
