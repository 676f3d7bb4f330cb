"""The check of the change feed: its numbers are dense, and each instance has its Create entry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from app.services.recovery.findings import Fault, FaultKind, Subject
from app.services.recovery.number_set import NumberSet
from app.storage.feed.change_feed import FeedLog

FEED: Final = "feed"
"""The name of this check in a `Subject`. The subject has the number before the first one to check."""

_PAGE: Final = 1000


class FeedCheck:
    """Reads the change feed once, and what was appended since at each further call."""

    def __init__(self, feed: FeedLog) -> None:
        self.log: Final = feed
        self._read_to = 0
        self.created = NumberSet()
        """The watermarks of the Create entries that were read."""
        self.entries = 0

    def read_on(self, show: Callable[[int, int], None] = lambda _done, _total: None) -> list[Fault]:
        """Read the entries that are new. Return the gaps between them, and the times that decrease.

        `show` gets how many numbers are read, and how many there are.
        """
        head = self.log.head()
        faults: list[Fault] = []
        while self._read_to < head.number:
            end = min(self._read_to + _PAGE, head.number)
            faults += self._faults(self._read_to + 1, end, head.old_number, keep=True)
            self._read_to = end
            show(end, head.number)
        return faults

    def check(self, subject: Subject) -> list[Fault]:
        """Look at one place again."""
        first, last = map(int, subject.at)
        return self._faults(first, last, self.log.head().old_number, keep=False)

    def _faults(self, first: int, last: int, old_number: int, *, keep: bool) -> list[Fault]:
        """Return the faults between two numbers. Numbers up to `old_number` have the clocks of their writers."""
        expected = first
        faults = []
        time = ""
        for number, entry in self.log.numbers(max(first - 1, 1), last):
            if entry and number > old_number:
                if entry.timestamp < time:
                    faults.append(_decrease(number))
                time = entry.timestamp
            if number < first:
                continue
            if number > expected:
                faults.append(_gap(expected, number - 1))
            expected = number + 1
            if entry and keep:
                self.entries += 1
                if entry.action == "Create":
                    self.created.add(entry.watermark)
        return [*faults, _gap(expected, last)] if expected <= last else faults


def _gap(first: int, last: int) -> Fault:
    place = f"numbers {first} to {last}" if last > first else f"number {first}"
    return Fault(kind=FaultKind.FEED_GAP, subject=Subject(FEED, (str(first), str(last))), version=place, detail=place)


def _decrease(number: int) -> Fault:
    place = f"number {number}"
    return Fault(
        kind=FaultKind.FEED_TIME, subject=Subject(FEED, (str(number), str(number))), version=place, detail=place
    )
