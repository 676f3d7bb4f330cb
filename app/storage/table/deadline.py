"""How long a request may wait for the data store.

A request may wait for so many seconds while nothing of it moves. Each part that it receives or sends begins the time
anew, so a long upload or download is never cut. When the time is over, no failed call to the data store is repeated,
and nobody waits for a lock any longer: the request fails with `DeadlinePassed`. The first attempt of a call is always
made. So a slow request that meets no failure is not cut either.

The deadline belongs to the context of the thread. `parallel` gives it to the threads that work for a request. Work
without a request has no deadline.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import Final

from app.errors import StorageUnavailable


class DeadlinePassed(StorageUnavailable):
    """The request has waited for the data store as long as it may."""


class Deadline:
    """The end of the time that one request may wait. Threads may share it."""

    __slots__ = ("_end", "_monotonic", "_seconds")

    def __init__(self, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._monotonic = monotonic
        self.renew()

    def renew(self) -> None:
        """Begin the time anew."""
        self._end = self._monotonic() + self._seconds

    @property
    def seconds_left(self) -> float:
        """The seconds that are left, 0 or less when the time is over."""
        return self._end - self._monotonic()


_current: Final[ContextVar[Deadline | None]] = ContextVar("deadline", default=None)


@contextmanager
def within(deadline: Deadline) -> Iterator[None]:
    """Let the deadline apply to everything that this thread does in the block."""
    token = _current.set(deadline)
    try:
        yield
    finally:
        _current.reset(token)


def renew() -> None:
    """Begin the time of the present request anew, because bytes have moved. Without a request nothing happens."""
    deadline = _current.get()
    if deadline is not None:
        deadline.renew()


def seconds_left() -> float:
    """Return the seconds that the present request may still wait. Infinite without a request."""
    deadline = _current.get()
    return math.inf if deadline is None else deadline.seconds_left


def has_passed() -> bool:
    """Return whether the present request may not wait any longer."""
    return seconds_left() <= 0


def lock_timeout() -> float:
    """Return how long `Lock.acquire` may wait: the seconds that are left, or -1 for ever without a request."""
    left = seconds_left()
    return -1 if math.isinf(left) else max(0.0, left)


@contextmanager
def locked(lock: Lock) -> Iterator[None]:
    """Hold a lock in the block. Raises `DeadlinePassed` if the present request may wait for it no longer."""
    if not lock.acquire(timeout=lock_timeout()):
        raise DeadlinePassed
    try:
        yield
    finally:
        lock.release()
