"""The removal of operations that ended long ago (conformance §9.6)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from app.storage.operations.operations import CANCELED, FAILED, SUCCEEDED, Operations

_DAY_SECONDS: Final = 86_400
_PURGE_INTERVAL_SECONDS: Final = 3600.0


class Purge:
    """Deletes operations `succeeded_days` days after they succeeded, or `failed_days` days after they failed."""

    def __init__(
        self,
        operations: Operations,
        *,
        succeeded_days: int,
        failed_days: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._operations = operations
        self._keep_seconds = {
            SUCCEEDED: succeeded_days * _DAY_SECONDS,
            FAILED: failed_days * _DAY_SECONDS,
            CANCELED: failed_days * _DAY_SECONDS,
        }
        self._monotonic = monotonic
        self._next_run = monotonic()

    def run_once(self) -> bool:
        """Delete up to a hundred operations. Return whether there were any. After an empty run, wait an hour."""
        if self._monotonic() < self._next_run:
            return False
        purged = self._operations.purge(self._keep_seconds)
        if not purged:
            self._next_run = self._monotonic() + _PURGE_INTERVAL_SECONDS
        return purged > 0
