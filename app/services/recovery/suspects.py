"""Faults that are not certain yet. A store or a deletion on its way looks like a fault for a moment.

A fault counts when it is found again after a pause, twice, and when no record in the table names it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from app.services.recovery.findings import Fault, FaultKind, Subject
from app.services.recovery.records_in_flight import Work
from app.storage.records.leftovers import InstanceVersion
from app.storage.table import keys
from app.storage.table.ports import Key

MAX_SUBJECTS: Final = 1000
"""Subjects that wait for their second look. More are not kept in memory."""

_ROUNDS: Final = 2

CheckAgain = Callable[[Sequence[Subject]], Iterable[Fault]]


class Suspects:
    """Collects faults, and decides which of them are certain.

    `check_again` looks at subjects again. `work_in_flight` yields what the records of the table name. `pause` is in
    seconds.
    """

    def __init__(
        self,
        check_again: CheckAgain,
        work_in_flight: Callable[[], Iterable[Work]],
        *,
        pause: float,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._check_again = check_again
        self._work_in_flight = work_in_flight
        self._pause = pause
        self._sleep = sleep
        self._waiting: dict[Subject, set[Fault]] = {}

    @property
    def subjects(self) -> list[Subject]:
        """The subjects that wait."""
        return list(self._waiting)

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= MAX_SUBJECTS

    def add(self, faults: Iterable[Fault]) -> None:
        for fault in faults:
            self._waiting.setdefault(fault.subject, set()).add(fault)

    def certain(self) -> list[Fault]:
        """Return those of the faults that are certain, and forget the others."""
        waiting, self._waiting = self._waiting, {}
        for _ in range(_ROUNDS):
            if not waiting:
                return []
            self._sleep(self._pause)
            again = self._not_in_flight(self._check_again(list(waiting)))
            found = [fault for fault in again if fault in waiting.get(fault.subject, ())]
            waiting = {}
            for fault in found:
                waiting.setdefault(fault.subject, set()).add(fault)
        return [fault for faults in waiting.values() for fault in faults]

    def _not_in_flight(self, faults: Iterable[Fault]) -> list[Fault]:
        remaining = list(faults)
        if not any(fault.kind in _NAMED for fault in remaining):
            return remaining
        for work in self._work_in_flight():
            remaining = [fault for fault in remaining if not names(work, fault)]
            if not remaining:
                break
        return remaining


_NAMED: Final = frozenset(
    (
        FaultKind.ORPHAN_BLOB,
        FaultKind.ORPHAN_ROW,
        FaultKind.ORPHAN_DOCUMENT,
        FaultKind.ORPHAN_POSTING,
        FaultKind.LOST_POSTING,
    )
)
"""The kinds of fault that a record may name."""


def documents_of(version: InstanceVersion) -> tuple[Key, Key]:
    """Return the keys of the documents of a version."""
    at = (version.partition, version.study, version.watermark)
    return keys.metadata(*at), keys.frames(*at)


def names(work: Work, fault: Fault) -> bool:
    """Return whether a record names what a fault is about, so that the sweep removes it."""
    if fault.kind not in _NAMED:
        return False
    if work.deletion:
        deletion = work.deletion
        same_study = (deletion.partition_key, deletion.study) == (fault.partition, fault.study)
        return same_study and deletion.series in ("", fault.series)
    if fault.target in work.postings:
        return True
    if fault.target and any(fault.target in documents_of(each) for each in work.versions):
        return True
    instance = (fault.partition, fault.study, fault.series, fault.instance)
    named = [each for each in work.versions if (each.partition, each.study, each.series, each.instance) == instance]
    if fault.kind is FaultKind.ORPHAN_BLOB:
        return any(each.version == fault.version for each in named)
    return bool(named)
