"""The threads that answer requests."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock, Thread
from typing import Final

IDLE_SECONDS: Final = 60.0
"""How long a thread without work exists."""

Work = Callable[[], object]
"""A call that raises nothing."""


class RequestThreads:
    """At most `most` threads. They are started when they are needed, and end after some time without work.

    The thread that became idle last gets the next work. So few threads do most of the work, and their memory is in the
    caches of the processor. The threads are daemons: the process does not wait for them when it ends.
    """

    def __init__(self, most: int, idle_seconds: float = IDLE_SECONDS) -> None:
        self._most = most
        self._idle_seconds = idle_seconds
        self._lock = Lock()
        self._idle: list[_RequestThread] = []
        self._count = 0

    def start(self, work: Work) -> bool:
        """Let a thread do `work`. Return False if all threads are busy, or if the system gives no new thread.

        Then nothing happens.
        """
        with self._lock:
            if self._idle:
                thread = self._idle.pop()
                thread.work = work
                thread.wake.release()
                return True
            if self._count >= self._most:
                return False
            self._count += 1
        try:
            _RequestThread(self, work).start()
        except RuntimeError:  # the process, its container or the machine has as many threads as it may have
            with self._lock:
                self._count -= 1
            return False
        return True

    def shutdown(self, wait: bool = False) -> None:
        """Do nothing. gunicorn calls this when the process ends."""

    def next_work(self, thread: _RequestThread) -> bool:
        """Wait until `thread` has work. Return False if it shall end."""
        with self._lock:
            self._idle.append(thread)
        if thread.wake.acquire(timeout=self._idle_seconds):
            return True
        with self._lock:
            if thread in self._idle:
                self._idle.remove(thread)
                self._count -= 1
                return False
        thread.wake.acquire()  # it got work at the last moment
        return True


class _RequestThread(Thread):
    def __init__(self, threads: RequestThreads, work: Work) -> None:
        super().__init__(name="request", daemon=True)
        self._threads = threads
        self.work: Work = work
        self.wake = Lock()
        self.wake.acquire()

    def run(self) -> None:
        while True:
            self.work()
            del self.work  # the objects of a request are not kept while the thread is idle
            if not self._threads.next_work(self):
                return
