"""A limit for the memory that the threads of one process use together."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

from app.request_slot import given_away


class MemoryBudget:
    """Lets threads work while the sum of what they use is at most `limit` bytes. Others wait in the order of arrival,
    without a work slot.

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
            has_room = self._take(turn, size)
        if not has_room:
            with given_away(), self._changed:
                self._changed.wait_for(lambda: self._take(turn, size))
        try:
            yield
        finally:
            with self._changed:
                self._used -= size
                self._changed.notify_all()

    def _take(self, turn: object, size: int) -> bool:
        """Take `size` bytes if there are as many and if it is the turn of the caller. Return whether it was done."""
        if self._waiting[0] is not turn or self._used + size > self._limit:
            return False
        self._waiting.popleft()
        self._used += size
        self._changed.notify_all()  # the next thread in the queue may have room too
        return True
