"""Connections that need no thread: the polling thread waits for their next bytes."""

from __future__ import annotations

import selectors
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from functools import partial
from time import monotonic
from typing import Any, Final

IDLE_CONNECTIONS: Final = 768
"""Connections of a process beside those that have a thread."""


class Wait(Enum):
    """What a connection waits for."""

    REQUEST = "the first byte of a request"
    HEAD = "the rest of the head of a request"
    END = "the end of the stream, after the last answer"


EVICTED: Final = (Wait.REQUEST, Wait.END, Wait.HEAD)
"""What the connections wait for that are closed to make room for others, in this order."""


class WaitingConnections:
    """The connections of a poller. `seconds` says how long they wait. Only the polling thread may call this.

    `readable` is called when a client sends something or closes its connection.
    """

    def __init__(
        self, poller: selectors.BaseSelector, seconds: Mapping[Wait, float], readable: Callable[[Any, Wait], None]
    ) -> None:
        self._poller = poller
        self._seconds = seconds
        self._readable = readable
        self._deadlines: dict[Wait, dict[Any, float]] = {wait: {} for wait in Wait}
        self._last = float("inf")

    def add(self, connection: Any, wait: Wait) -> None:
        """Let a connection wait."""
        self._poller.register(connection.sock, selectors.EVENT_READ, partial(self._ready, connection, wait))
        self._set_deadline(connection, wait)

    def change(self, connection: Any, old: Wait, new: Wait) -> None:
        """Let a connection wait for something else, with a new deadline."""
        del self._deadlines[old][connection]
        self._poller.modify(connection.sock, selectors.EVENT_READ, partial(self._ready, connection, new))
        self._set_deadline(connection, new)

    def remove(self, connection: Any, wait: Wait) -> None:
        """Forget a connection."""
        del self._deadlines[wait][connection]
        self._poller.unregister(connection.sock)

    def expired(self) -> Iterator[tuple[Any, Wait]]:
        """Remove and yield the connections whose deadline is over."""
        now = monotonic()
        for wait, deadlines in self._deadlines.items():
            while deadlines and deadlines[connection := next(iter(deadlines))] <= now:
                self.remove(connection, wait)
                yield connection, wait

    def evict(self) -> Any | None:
        """Remove and return a connection to close for others, in the order of `EVICTED`. None: there is none."""
        for wait in EVICTED:
            for connection in self._deadlines[wait]:
                self.remove(connection, wait)
                return connection
        return None

    def stop(self, seconds: float) -> None:
        """Let no connection wait longer than so many seconds from now, also those that are added later."""
        self._last = monotonic() + seconds
        for deadlines in self._deadlines.values():
            for connection, deadline in deadlines.items():
                deadlines[connection] = min(deadline, self._last)

    def _set_deadline(self, connection: Any, wait: Wait) -> None:
        self._deadlines[wait][connection] = min(monotonic() + self._seconds[wait], self._last)

    def _ready(self, connection: Any, wait: Wait, _: object) -> None:
        self._readable(connection, wait)
