"""The watermarks of instance versions: one ascending number for the archive (conformance §3.11)."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from app.storage.table import keys
from app.storage.table.ports import Table

_SECOND: Final = 1.0

_SELDOM: Final = 8
"""A process that has used so few numbers in a second reserves what it needs."""


def _monotonic() -> float:
    return time.monotonic()  # looked up at each call, so that a simulation can replace it


class WatermarkCounter:
    """Gives numbers that are unique and never reused. One object serves all threads of a process.

    A process that has just used many numbers reserves a block: as many as it used in about a second. It uses the rest
    of a block for at most a second. So all processes together write the counter a few hundred times a second, however
    many commits they make. A process that is seldom busy reserves what a commit needs. So its numbers ascend with those
    of the other processes.

    The numbers of one commit ascend. Those of two processes may be in another order than their commits, within about
    a second.
    """

    def __init__(self, table: Table, monotonic: Callable[[], float] = _monotonic) -> None:
        self._table = table
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._block = range(0)
        self._block_ends = 0.0
        self._window_began = float("-inf")
        self._used_now = 0  # numbers that were used since the window began
        self._used_before = 0  # numbers that were used in the second before it

    def reserve(self, count: int) -> Sequence[int]:
        """Return `count` new numbers, in ascending order. A kill -9 after this leaves numbers that nothing has."""
        now = self._monotonic()
        with self._lock:
            self._count_use(now, count)
            taken = self._take(now, count)
            wanted = max(count - len(taken), self._used_before, self._used_now if self._used_now > _SELDOM else 0)
        if len(taken) == count:
            return taken
        last = self._table.add(keys.WATERMARK_COUNTER, "value", wanted)
        missing = range(last - wanted + 1, last + 1)[: count - len(taken)]
        with self._lock:
            self._keep(now, range(missing[-1] + 1, last + 1))
        return [*taken, *missing]

    def _take(self, now: float, count: int) -> list[int]:
        """Return up to `count` numbers of the block. A forked process must not use the block of its parent."""
        if self._process != os.getpid() or now >= self._block_ends:
            self._process, self._block = os.getpid(), range(0)
        taken, self._block = self._block[:count], self._block[count:]
        return list(taken)

    def _keep(self, now: float, block: range) -> None:
        """Use a block from now on, unless another thread has reserved a larger one meanwhile."""
        if len(block) > len(self._block):
            self._block, self._block_ends = block, now + _SECOND

    def _count_use(self, now: float, count: int) -> None:
        elapsed = now - self._window_began
        if elapsed >= _SECOND:
            self._used_before = self._used_now if elapsed < 2 * _SECOND else 0
            self._window_began, self._used_now = now, 0
        self._used_now += count

    def last(self) -> int:
        """Return a number that no number in use exceeds, 0 before the first."""
        item = self._table.get(keys.WATERMARK_COUNTER)
        return int(item.fields["value"]) if item else 0
