"""A limit for the requests that one process works on at the same time."""

from __future__ import annotations

from collections import deque
from threading import Lock
from typing import Final

from app.metrics import REQUESTS_WAITING
from app.web import liveness

_QUEUED_FOR_EACH_SLOT: Final = 16

_MONITORING_PATHS: Final = ("/health/", "/metrics")
_MONITORING_SLOTS: Final = 2

WAIT_SECONDS: Final = 10.0
"""How long a new request waits for a slot. Then it is refused."""

RESUME_SECONDS: Final = 2.0
"""How long a request that gave its slot away waits for the next one. Then it goes on without one: it may hold a lock or
memory that the requests with slots wait for."""


class WorkSlots:
    """Slots for `count` requests. Others wait in the order of arrival, at most `queue` new requests among them."""

    def __init__(self, count: int, queue: int) -> None:
        self._free = count  # negative while requests go on without a slot
        self._queue = queue
        self._lock = Lock()
        self.waiting: deque[Lock] = deque()
        """A lock for each request that waits. It is locked until the request has a slot. Others only read this."""

    def begin(self, seconds: float = WAIT_SECONDS) -> bool:
        """Take a slot for a new request. Return False if the queue is full, or if no slot is free in time."""
        with self._lock:
            if self._free > 0:
                self._free -= 1
                return True
            if len(self.waiting) >= self._queue:
                return False
            turn = self._enqueue()
        REQUESTS_WAITING.add()
        got = turn.acquire(timeout=seconds)
        REQUESTS_WAITING.add(by=-1)
        if got:
            return True
        with self._lock:
            return not self._leave(turn)

    def resume(self, seconds: float = RESUME_SECONDS) -> None:
        """Take a slot for a request that gave its slot away. It always succeeds, after `seconds` at the latest."""
        with self._lock:
            if self._free > 0:
                self._free -= 1
                return
            turn = self._enqueue()
        if not turn.acquire(timeout=seconds):
            with self._lock:
                if self._leave(turn):
                    self._free -= 1

    def give(self) -> None:
        """Give a slot to the request that waits longest, or make it free."""
        with self._lock:
            if self.waiting and self._free >= 0:
                self.waiting.popleft().release()
            else:
                self._free += 1

    def _enqueue(self) -> Lock:
        turn = Lock()
        turn.acquire()
        self.waiting.append(turn)
        return turn

    def _leave(self, turn: Lock) -> bool:
        """Return whether the owner of `turn` left the queue. False: it got a slot at the last moment."""
        if turn not in self.waiting:
            return False
        self.waiting.remove(turn)
        return True


class ProcessSlots:
    """The slots of a process: `count` for most requests, and a few for health checks and metrics alone.

    So health checks and metrics are answered while all other slots are in use.
    """

    def __init__(self, count: int) -> None:
        self._most = WorkSlots(count, count * _QUEUED_FOR_EACH_SLOT)
        self._monitoring = WorkSlots(_MONITORING_SLOTS, _MONITORING_SLOTS * _QUEUED_FOR_EACH_SLOT)

    def of(self, path: str) -> WorkSlots | None:
        """Return the slots of which a request needs one. It needs none to learn that the process is alive."""
        if not path.lower().startswith(_MONITORING_PATHS):
            return self._most
        return None if liveness.is_live_path(path) else self._monitoring
