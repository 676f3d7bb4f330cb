"""How slow a client may be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

LEAST_RATE: Final = 100
"""Bytes a second that a client must send or accept, on average over `RATE_SECONDS` of waiting for it."""

RATE_SECONDS: Final = 60.0


class ClientRate:
    """Checks how fast a client is."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._at_start = 0

    def waited(self, seconds: float, progress: Callable[[], int], received: int = 0) -> None:
        """Count the time for which the service waited. Raise TimeoutError if the client was too slow in a minute.

        `progress` returns how many bytes the client sent or accepted since the connection began. The client sent
        `received` of them during `seconds`.
        """
        if not self._seconds:
            self._at_start = progress() - received
        self._seconds += seconds
        if self._seconds < RATE_SECONDS:
            return
        if progress() - self._at_start < LEAST_RATE * RATE_SECONDS:
            raise TimeoutError(f"the client is slower than {LEAST_RATE} bytes a second")
        self._seconds = 0.0
