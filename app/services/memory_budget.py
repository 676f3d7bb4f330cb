"""A limit for the memory that the threads of one process use together."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class MemoryBudget:
    """Lets threads work while the sum of what they use is at most `limit` bytes. Others wait in the order of arrival.

    Work that needs more than the limit is done alone, so it is not refused.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._waiting: deque[object] = deque()
        self._changed = Condition()

    @contextmanager
    def use(self, size: int) -> Iterator[None]:
        """Wait until there are `size` bytes, and hold them until the block ends."""
        size = min(size, self._limit)
        turn = object()
        with self._changed:
            self._waiting.append(turn)
            self._changed.wait_for(lambda: self._waiting[0] is turn and self._used + size <= self._limit)
            self._waiting.popleft()
            self._used += size
            self._changed.notify_all()  # the next thread in the queue may have room too
        try:
            yield
        finally:
            with self._changed:
                self._used -= size
                self._changed.notify_all()
