"""Faults of an archive, and the report of a check."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple

from app.storage.table.ports import Key

MAX_LISTED: Final = 1000
"""Faults of one kind that a report names. All of them are counted."""


class FaultKind(StrEnum):
    """What is wrong. The value is the text of the report."""

    LOST_FILE = "rows whose file is lost"
    WRONG_SIZE = "files of another size than their row says"
    WRONG_DIGEST = "files of another digest than their row says"
    ORPHAN_BLOB = "blobs that no row names"
    ORPHAN_ROW = "rows without the study or series that they belong to"
    LOST_METADATA = "rows without their metadata document"
    LOST_FRAMES = "rows without their frame table"
    ORPHAN_DOCUMENT = "documents that no row names"
    LOST_POSTING = "rows without all of their postings"
    ORPHAN_POSTING = "postings that no row has"
    WRONG_COUNT = "series with a wrong number of instances"
    WRONG_STATISTICS = "partitions with wrong statistics"
    LOST_PARTITION = "partitions with rows that are not in the list of partitions"
    NO_CREATE_ENTRY = "instances without their Create entry in the change feed"
    FEED_GAP = "gaps in the change feed"
    FEED_TIME = "change feed entries with an earlier time than the entry before"
    UNREADABLE = "items that cannot be read"


class Subject(NamedTuple):
    """What a check looks at: `check` names the check, `at` says where. A fault is looked for again at its subject."""

    check: str
    at: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault. Two faults are equal if they are the same fault, found at different times.

    `partition` is a partition key, 0 for the whole archive. `target` is the key of the item that is missing or
    superfluous. A posting can have the name of a patient in its key, so no report shows `target`.
    """

    kind: FaultKind
    subject: Subject = field(compare=False)
    partition: int = 0
    study: str = ""
    series: str = ""
    instance: str = ""
    version: str = ""
    target: Key | None = None
    detail: str = field(default="", compare=False)

    def as_json(self) -> dict[str, Any]:
        """Return the fault for a report, without empty members and patient data."""
        members = {
            "partition": self.partition,
            "study": self.study,
            "series": self.series,
            "instance": self.instance,
            "version": self.version,
            "detail": self.detail,
        }
        return {"fault": self.kind.name.lower(), **{name: value for name, value in members.items() if value}}

    def __str__(self) -> str:
        """Return a line for people."""
        places = (f"partition {self.partition}" if self.partition else "", self.study, self.series, self.instance)
        return ": ".join(filter(None, (" ".join(filter(None, places)), self.detail)))


@dataclass(slots=True, kw_only=True)
class Report:
    """What a check found. `checked` counts what was looked at, `repaired` the faults that are mended, by kind.

    `notes` says what could not be compared, and why.
    """

    checked: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)
    listed: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, faults: Iterable[Fault], repaired: Iterable[Fault] = ()) -> None:
        """Add faults, and those of them that are mended."""
        mended = set(repaired)
        for fault in faults:
            name = fault.kind.name.lower()
            self.found[name] += 1
            if fault in mended:
                self.repaired[name] += 1
            if self.found[name] <= MAX_LISTED:
                self.listed.append(fault.as_json() | ({"repaired": True} if fault in mended else {}))

    @property
    def left(self) -> int:
        """The number of faults that are not mended."""
        return self.found.total() - self.repaired.total()

    def as_json(self) -> dict[str, Any]:
        return {
            "checked": dict(self.checked),
            "found": dict(self.found),
            "repaired": dict(self.repaired),
            "faults": self.listed,
            "notes": self.notes,
        }

    @staticmethod
    def of(document: dict[str, Any]) -> Report:
        """Return the report that `as_json` made a document of."""
        return Report(
            checked=Counter(document["checked"]),
            found=Counter(document["found"]),
            repaired=Counter(document["repaired"]),
            listed=document["faults"],
            notes=document["notes"],
        )
