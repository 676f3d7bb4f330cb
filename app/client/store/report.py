"""The counts of a run of `bulkhead store`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from app.client.refusals import Refusals, file_count
from app.client.store.outcomes import Outcome, Result


@dataclass(kw_only=True)
class StoreReport:
    """What a run did. Sizes are in bytes, times in seconds."""

    results: dict[Result, int] = field(default_factory=lambda: dict.fromkeys(Result, 0))
    stored_earlier: int = 0
    """Files that an earlier run stored. They were not read."""
    identical: int = 0
    """Files whose bytes another file of this run has. They were not sent."""
    not_dicom: int = 0
    refusals: Refusals = field(default_factory=Refusals)
    bytes_sent: int = 0
    weight: int = 0
    """Bytes of the given paths that are dealt with."""
    seconds: float = 0.0
    interrupted: bool = False
    error: str = ""
    """Why the run ended early."""

    def add(self, outcomes: list[Outcome]) -> None:
        for each in outcomes:
            self.weight += each.file.weight
            if each.result is Result.REFUSED:
                self.refuse(each.file.name, each.reason)
            else:
                self.results[each.result] += 1
                self.bytes_sent += each.file.content.size

    def refuse(self, name: str, reason: str) -> None:
        """Count a file that is not stored."""
        self.results[Result.REFUSED] += 1
        self.refusals.add(name, reason)

    @property
    def stored(self) -> int:
        return self.results[Result.STORED] + self.results[Result.STORED_WITH_WARNING]

    @property
    def refused(self) -> int:
        return self.results[Result.REFUSED]

    @property
    def files(self) -> int:
        """The number of files that are dealt with."""
        return sum(self.results.values()) + self.stored_earlier + self.identical + self.not_dicom

    @property
    def ended_early(self) -> bool:
        """Whether files are left that were not dealt with."""
        return bool(self.interrupted or self.error)

    def lines(self) -> Iterator[str]:
        """Yield the summary for people."""
        warned = self.results[Result.STORED_WITH_WARNING]
        yield (
            f"Stored {file_count(self.stored)}" + (f", {warned} of them with warnings" if warned else "") + self._rate()
        )
        not_compared = self.results[Result.NOT_COMPARED]
        for count, text in (
            (self.results[Result.ALREADY_STORED], "on the server already, with the same bytes"),
            (not_compared, "on the server already, not compared: the server does not show the digest"),
            (self.stored_earlier, "stored by an earlier run of this command"),
            (self.identical, "identical with another file, not sent again"),
            (self.not_dicom, "not DICOM, skipped"),
            (self.refused, "not stored:"),
        ):
            if count:
                yield f"{file_count(count)} {text}"
        yield from self.refusals.lines()

    def _rate(self) -> str:
        if not self.stored or self.seconds <= 0:
            return "."
        return f" in {self.seconds:.1f} s ({self.bytes_sent / self.seconds / 1e6:.1f} MB/s)."

    def document(self) -> dict[str, Any]:
        """Return the summary as a JSON object."""
        return {
            "files": self.files,
            **{result.value: count for result, count in self.results.items()},
            "storedEarlier": self.stored_earlier,
            "identical": self.identical,
            "notDicom": self.not_dicom,
            "refusals": self.refusals.documents(),
            "bytesSent": self.bytes_sent,
            "seconds": round(self.seconds, 3),
            "interrupted": self.interrupted,
            **({"error": self.error} if self.error else {}),
        }
