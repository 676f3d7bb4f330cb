"""Threads that make calls at the same time."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from threading import Event, Thread
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Workers(Generic[Item, Result]):
    """`number` threads that apply `act` to items. At most `number` items wait, so memory is bounded.

    The threads are daemons: a process that is interrupted does not wait for a call that hangs.
    """

    def __init__(self, act: Callable[[Item], Result], number: int) -> None:
        self._act = act
        self._number = number
        self._items: queue.Queue[Item] = queue.Queue(number)
        self._results: queue.Queue[Result | BaseException] = queue.Queue()
        self._given = 0
        self._taken = 0
        self.stopped = Event()
        """Set when no more work is wanted. `act` may look at it."""

    def results(self, items: Iterable[Item]) -> Iterator[Result]:
        """Yield the result of each item, as they come. What `act` raises is raised here."""
        for _ in range(self._number):
            Thread(target=self._work, daemon=True).start()
        for item in items:
            while not self._put(item):
                yield from self._ready()
            yield from self._ready()
        while self._taken < self._given:
            yield self._result(self._results.get())
        self.stop()

    def stop(self) -> None:
        """Start nothing any more. Calls that are under way go on."""
        self.stopped.set()

    def last_results(self, seconds: float) -> Iterator[Result]:
        """Yield the results of the calls that end within this time after `stop`. Errors are left out."""
        deadline = time.monotonic() + seconds
        self._drop_waiting()
        while self._taken < self._given:
            try:
                result = self._results.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return
            self._taken += 1
            if not isinstance(result, BaseException):
                yield result

    def _drop_waiting(self) -> None:
        """Forget the items that no thread has begun."""
        with suppress(queue.Empty):
            while True:
                self._items.get_nowait()
                self._given -= 1

    def _put(self, item: Item) -> bool:
        try:
            self._items.put(item, timeout=0.1)
        except queue.Full:
            return False
        self._given += 1
        return True

    def _ready(self) -> Iterator[Result]:
        while not self._results.empty():
            yield self._result(self._results.get())

    def _result(self, result: Result | BaseException) -> Result:
        self._taken += 1
        if isinstance(result, BaseException):
            self.stop()
            raise result
        return result

    def _work(self) -> None:
        while not self.stopped.is_set():
            try:
                item = self._items.get(timeout=0.2)
            except queue.Empty:
                continue
            try:
                self._results.put(self._act(item))
            except BaseException as error:  # noqa: BLE001  (the thread of the caller raises it)
                self._results.put(error)
                self.stop()
