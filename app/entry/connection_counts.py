"""How many connections each server process has. All server processes read and write these numbers."""

from __future__ import annotations

from functools import cache
from mmap import mmap
from time import monotonic
from typing import Final

RECENT_SECONDS: Final = 2.0
"""A process that published no number for so long is ended or stuck. A process publishes one each second at least."""

_PROCESSES: Final = 128
"""Processes with a place of their own. With more, some share a place, and their connections are less even."""

_PLACE: Final = 16
"""Bytes of a place: the number of connections and the time of its last publication, two floats."""


class ConnectionCounts:
    """The numbers are in memory that processes share if they are forked after this object is made."""

    def __init__(self) -> None:
        self._numbers = memoryview(mmap(-1, _PROCESSES * _PLACE)).cast("d")

    def publish(self, process: int, connections: int) -> None:
        """Set the number of connections of a process that accepts connections."""
        place = 2 * (process % _PROCESSES)
        self._numbers[place] = connections
        self._numbers[place + 1] = monotonic()

    def withdraw(self, process: int) -> None:
        """Forget the number of a process that accepts no more connections."""
        self._numbers[2 * (process % _PROCESSES) + 1] = 0.0

    def least(self) -> float:
        """Return the smallest number that a process published of late, infinity if there is none."""
        numbers = self._numbers.tolist()
        since = monotonic() - RECENT_SECONDS
        recent = (count for count, time in zip(numbers[::2], numbers[1::2], strict=True) if time > since)
        return min(recent, default=float("inf"))


@cache
def shared_counts() -> ConnectionCounts:
    """Return the numbers of all processes that are forked after the first call."""
    return ConnectionCounts()
