"""Forget operations that ended long ago (conformance §9.6)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from app.storage.operations.operations import CANCELED, FAILED, SUCCEEDED, Operations

_DAY: Final = 86_400
_BETWEEN_PURGES: Final = 3600.0


class Purge:
    """Forgets operations that ended long ago."""

    def __init__(
        self, operations: Operations, succeeded: int, failed: int, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._operations = operations
        self._kept = {SUCCEEDED: succeeded * _DAY, FAILED: failed * _DAY, CANCELED: failed * _DAY}
        self._monotonic = monotonic
        self._next = monotonic()

    def run_once(self) -> bool:
        """Forget up to a hundred, if it is an hour since there were none; tell whether there were any."""
        if self._monotonic() < self._next:
            return False
        gone = self._operations.purge(self._kept)
        if not gone:
            self._next = self._monotonic() + _BETWEEN_PURGES
        return gone > 0
