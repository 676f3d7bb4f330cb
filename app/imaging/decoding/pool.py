"""The pool of decoding processes of one server process."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from threading import Condition, Event, Thread
from time import monotonic
from typing import Final

import structlog

from app.errors import DecoderUnavailable, ImageFailure
from app.imaging.decoding.connection import Answer, DecodingProcess, ProcessFailure
from app.metrics import FRAMES_DECODING, FRAMES_WAITING
from app.request_slot import given_away

_log = structlog.get_logger("bulkhead.decoding")

IDLE_SECONDS: Final = 60.0
"""How long a process without work stays."""
_BUSY: Final = "All decoding processes are busy."
_CLOSED: Final = "The decoder is closed."
_WAITING_FOR_EACH: Final = 32
"""How many requests may wait for each process."""


class DecodingPool:
    """Runs requests in at most `processes` processes. Threads share it. Processes are started when they are needed.

    A request that ends its process fails alone: another process takes its place when it is needed. Processes without
    work end after a minute, and all when the pool is closed or no longer used.
    """

    def __init__(self, *, processes: int, seconds: float, memory: int) -> None:
        """`seconds` bounds the time of a request, and the time that it waits before. `memory` is for each process."""
        self.seconds = seconds
        self._limit = processes
        self._memory = memory
        self._changed = Condition()
        self._idle: list[DecodingProcess] = []
        self._running: set[DecodingProcess] = set()
        self._starting = 0
        self._waiting = 0
        self._closed = Event()
        self._reaper: Thread | None = None
        weakref.finalize(self, _end_all, self._running, self._closed)

    def run(self, request: bytes, frame: bytes, accepts: Callable[[int], bool]) -> Answer:
        """Return the answer of a process. Raises `ImageFailure` for the frame, `DecoderUnavailable` for the pool.

        The calling thread has no work slot meanwhile: the work is done in another process.
        """
        with given_away():
            return self._run(request, frame, accepts)

    def _run(self, request: bytes, frame: bytes, accepts: Callable[[int], bool]) -> Answer:
        process = self._take()
        usable = False
        FRAMES_DECODING.add()
        try:
            answer = process.ask(request, frame, self.seconds, accepts)
            usable = True
        except ProcessFailure as failure:
            _log.warning("decoding process ended", reason=str(failure))
            raise
        except ImageFailure:
            usable = True
            raise
        finally:
            FRAMES_DECODING.add(by=-1)
            self._give_back(process, usable=usable)
        return answer

    def close(self) -> None:
        """End all processes. Requests that run or wait fail."""
        with self._changed:
            self._closed.set()
            running = list(self._running)
            self._running.clear()
            self._idle.clear()
            self._changed.notify_all()
        for process in running:
            process.end()

    def _take(self) -> DecodingProcess:
        """Return a process for one request: one without work, else a new one, else the next that becomes free."""
        with self._changed:
            if self._waiting >= _WAITING_FOR_EACH * self._limit:
                raise DecoderUnavailable(_BUSY)
            self._waiting += 1
            FRAMES_WAITING.add()
            try:
                if not self._changed.wait_for(self._is_free, self.seconds):
                    raise DecoderUnavailable(_BUSY)
            finally:
                self._waiting -= 1
                FRAMES_WAITING.add(by=-1)
            if self._closed.is_set():
                raise DecoderUnavailable(_CLOSED)
            while self._idle:
                process = self._idle.pop()
                if process.runs:
                    return process
                self._running.discard(process)
                process.end()
            self._starting += 1
        return self._start()

    def _is_free(self) -> bool:
        return self._closed.is_set() or bool(self._idle) or len(self._running) + self._starting < self._limit

    def _start(self) -> DecodingProcess:
        process = None
        try:
            process = DecodingProcess(self._memory)
        finally:
            with self._changed:
                self._starting -= 1
                closed = self._closed.is_set()
                if process and not closed:
                    self._running.add(process)
                    self._start_reaper()
                else:
                    self._changed.notify()
        if closed:
            process.end()
            raise DecoderUnavailable(_CLOSED)
        return process

    def _give_back(self, process: DecodingProcess, *, usable: bool) -> None:
        with self._changed:
            known = process in self._running
            process.idle_since = monotonic()
            if known and usable:
                self._idle.append(process)
            elif known:
                self._running.discard(process)
            self._changed.notify()
        if known and not usable:
            process.end()

    def _start_reaper(self) -> None:
        if self._reaper is None:
            self._reaper = Thread(target=_end_idle, args=(weakref.ref(self), self._closed), daemon=True)
            self._reaper.start()

    def end_idle(self, now: float) -> bool:
        """End the processes that had no work for a minute. Returns whether processes are left."""
        with self._changed:
            ended = [process for process in self._idle if now - process.idle_since >= IDLE_SECONDS]
            self._idle = [process for process in self._idle if process not in ended]
            self._running.difference_update(ended)
            left = bool(self._running)
            if not left:
                self._reaper = None
        for process in ended:
            process.end()
        return left


def _end_idle(pool: weakref.ref[DecodingPool], closed: Event) -> None:
    """End processes without work, as long as there are processes."""
    while not closed.wait(IDLE_SECONDS / 4):
        used = pool()
        if used is None or not used.end_idle(monotonic()):
            return
        del used


def _end_all(running: set[DecodingProcess], closed: Event) -> None:
    closed.set()
    for process in list(running):
        process.end()
