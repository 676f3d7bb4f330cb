"""Which instance of the queue is sent next, and when."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from app.gateway.spool import Queued

FIRST_DELAY: Final = 1.0
LONGEST_DELAY: Final = 60.0
KNOWN_LIMIT: Final = 10_000
"""The instances of one partition that are kept in memory. Others are read from the folder when these are sent."""


@dataclass(slots=True)
class _Partition:
    waiting: deque[Queued] = field(default_factory=deque)
    incomplete: bool = False
    """More instances of this partition are on disk than in `waiting`."""
    failures: int = 0
    not_before: float = 0.0


class Backlog:
    """The instances that wait, by partition. One partition that fails does not delay the others.

    After a failure the partition waits: a second at first, then twice as long each time, at most a minute. The
    instance goes to the end of its partition, so that an instance that always fails does not delay the others.
    """

    def __init__(self, on_disk: Callable[[], Iterator[Queued]]) -> None:
        """Take the instances that exist at start, and those that no longer fit into memory, from `on_disk`."""
        self._on_disk = on_disk
        self._changed = threading.Condition()
        self._partitions: dict[str, _Partition] = {}
        self._known: set[str] = set()
        self._read_before = False
        self._closed = False

    def add(self, queued: Queued) -> None:
        """Add an instance that is in the queue on disk."""
        with self._changed:
            self._add(queued)
            self._changed.notify()

    def take(self) -> Queued | None:
        """Return the next instance, and wait for it. None: the backlog is closed."""
        with self._changed:
            while not self._closed:
                if self._must_read():
                    self._read()
                now = time.monotonic()
                due = [name for name, each in self._partitions.items() if each.waiting and each.not_before <= now]
                if due:
                    return self._next(due[0])
                self._changed.wait(self._delay(now))
        return None

    def finished(self, queued: Queued) -> None:
        """Forget an instance that has left the queue. Its partition works."""
        with self._changed:
            self._known.discard(queued.name)
            partition = self._partitions[queued.partition]
            partition.failures, partition.not_before = 0, 0.0
            self._changed.notify_all()

    def postpone(self, queued: Queued) -> float:
        """Send this instance later. Return the seconds until its partition is tried again."""
        with self._changed:
            partition = self._partitions[queued.partition]
            now = time.monotonic()
            if partition.not_before <= now:
                delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(partition.failures, 16))
                partition.failures += 1
                partition.not_before = now + delay * random.uniform(0.5, 1)  # noqa: S311 - it spreads attempts
            partition.waiting.append(queued)
            return max(0.0, partition.not_before - now)

    def close(self) -> None:
        """Let every `take` return None."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _add(self, queued: Queued) -> None:
        partition = self._partitions.setdefault(queued.partition, _Partition())
        if queued.name in self._known:
            return
        if len(partition.waiting) >= KNOWN_LIMIT:
            partition.incomplete = True
            return
        self._known.add(queued.name)
        partition.waiting.append(queued)

    def _next(self, name: str) -> Queued:
        """Take from a partition, which goes behind the others."""
        partition = self._partitions.pop(name)
        self._partitions[name] = partition
        return partition.waiting.popleft()

    def _must_read(self) -> bool:
        known = self._partitions.values()
        # Instances that always fail stay in `waiting`, so it need not become empty.
        return not self._read_before or any(each.incomplete and len(each.waiting) <= KNOWN_LIMIT // 2 for each in known)

    def _read(self) -> None:
        self._read_before = True
        for partition in self._partitions.values():
            partition.incomplete = False
        for queued in self._on_disk():
            self._add(queued)
        for partition in self._partitions.values():
            partition.waiting = deque(sorted(partition.waiting, key=lambda each: each.name))

    def _delay(self, now: float) -> float | None:
        """Return the seconds until a partition is due. None: nothing waits."""
        times = [each.not_before for each in self._partitions.values() if each.waiting]
        return max(0.0, min(times) - now) if times else None
