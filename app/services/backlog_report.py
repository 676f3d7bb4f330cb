"""A log line of the worker that says, once a minute, what waits for it. The alarms on AWS are made of these lines."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

import structlog

from app.services.backlog import Backlog

EVENT: Final = "worker report"
"""The event of the line. `infra/template.yaml` makes metrics of the lines with this event."""

INTERVAL_SECONDS: Final = 60.0

_log = structlog.get_logger(__name__)


class BacklogReport:
    """Writes the line. A worker that stops writes no more of them, and that is an alarm too."""

    def __init__(self, backlog: Backlog, *, monotonic: Callable[[], float] = monotonic) -> None:
        self._backlog = backlog
        self._monotonic = monotonic
        self._due = float("-inf")

    def run_once(self) -> bool:
        """Write the line if a minute has passed. Return False: this is no work that the worker would hurry for.

        The line has the fields of `Waiting`. It has none of them if the table did not answer in time.
        """
        now = self._monotonic()
        if now >= self._due:
            self._due = now + INTERVAL_SECONDS
            waiting = self._backlog.current()
            _log.info(EVENT, **(waiting._asdict() if waiting else {}))
        return False
