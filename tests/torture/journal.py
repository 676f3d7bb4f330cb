"""What happened in a run: answers, acknowledged stores, kills, violations, and the last operations on each object."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Hashable
from typing import Final

ACKNOWLEDGED: Final = "acknowledged stores"
"""The name of a count: the instances whose store was acknowledged."""

_OPERATIONS_KEPT: Final = 12


class Journal:
    """The record of a run. All threads of the campaign write to it."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.answers: Counter[tuple[str, str]] = Counter()
        """How often each kind of request got each status. `-` stands for a broken connection."""
        self.counts: Counter[str] = Counter()
        """Acknowledged stores, kills and the like, by name."""
        self.violations: list[str] = []
        self._violated: Counter[str] = Counter()
        self._operations: defaultdict[Hashable, deque[str]] = defaultdict(lambda: deque(maxlen=_OPERATIONS_KEPT))
        self._started = time.monotonic()
        self._lock = threading.Lock()

    def answered(self, request: str, status: int | None) -> None:
        """Count an answer, None for a request without one."""
        with self._lock:
            self.answers[request, str(status or "-")] += 1

    def count(self, what: str, by: int = 1) -> None:
        """Add to a count."""
        with self._lock:
            self.counts[what] += by

    def note(self, subject: Hashable, operation: str) -> None:
        """Remember an operation on an object, for the report of a violation."""
        with self._lock:
            self._operations[subject].append(f"{time.monotonic() - self._started:8.3f} {operation}")

    def violate(self, invariant: str, subject: Hashable, what: str) -> None:
        """Record that an invariant does not hold for an object."""
        with self._lock:
            self._violated[invariant] += 1
            last = "".join(f"\n      {operation}" for operation in self._operations.get(subject, ()))
            self.violations.append(f"seed {self.seed}: {invariant}: {subject}: {what}{last}")

    def violated(self, *invariants: str) -> int:
        """Return how often one of these invariants was violated."""
        return sum(self._violated[each] for each in invariants)

    def total(self, status: str) -> int:
        """Return how many requests got this status."""
        return sum(count for (_, each), count in self.answers.items() if each == status)
