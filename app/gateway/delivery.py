"""The threads that send the queue of the spool to the server."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Final

import structlog

from app.gateway.backlog import Backlog
from app.gateway.outcomes import Outcome, Sender, Verdict
from app.gateway.spool import Queued, Spool

_LOG: Final[structlog.stdlib.BoundLogger] = structlog.get_logger(__name__)
_LOG_SECONDS: Final = 30.0
"""The same failure is logged at most once in this time."""


class Delivery:
    """Sends every instance of the queue until the server has it or refuses it for good.

    An instance leaves the queue only after the answer of the server. So a kill -9 at any point loses nothing; the
    instance is sent again, and the server answers that it exists.
    """

    def __init__(self, spool: Spool, sender: Sender, *, threads: int) -> None:
        self._spool, self._sender = spool, sender
        self._backlog = Backlog(spool.queued)
        self._threads = [threading.Thread(target=self._run, name=f"delivery-{n}", daemon=True) for n in range(threads)]
        self._guard = threading.Lock()
        self._counts: Counter[Verdict] = Counter()
        self._last_log: dict[str, float] = {}

    @property
    def counts(self) -> dict[str, int]:
        """How many instances were stored and refused since the start."""
        return {"stored": self._counts[Verdict.STORED], "refused": self._counts[Verdict.REFUSED]}

    def start(self) -> None:
        """Send what is in the queue, and what is added."""
        for thread in self._threads:
            thread.start()

    def add(self, queued: Queued) -> None:
        """Send an instance that is in the queue of the spool."""
        self._backlog.add(queued)

    def stop(self, seconds: float) -> None:
        """Send no other instance. Wait up to `seconds` for those that are being sent."""
        self._backlog.close()
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        while (queued := self._backlog.take()) is not None:
            try:
                self._deliver(queued)
            except Exception as error:  # noqa: BLE001 - a thread that ends would leave the queue undelivered
                self._postpone(queued, f"{type(error).__name__} in the gateway")

    def _deliver(self, queued: Queued) -> None:
        if not self._spool.path(queued).exists():  # an operator removed it, or the folder was read before its removal
            self._backlog.finished(queued)
            return
        outcome = self._sender.send(queued.partition, self._spool.path(queued))
        if outcome.verdict is Verdict.STORED:
            self._spool.delivered(queued)
        elif outcome.verdict is Verdict.REFUSED:
            self._spool.refuse(queued, outcome.details)
            _LOG.error("The server refused an instance for good", partition=queued.partition, reason=outcome.reason)
        else:
            self._postpone(queued, outcome.reason)
            return
        self._count(outcome)
        self._backlog.finished(queued)

    def _postpone(self, queued: Queued, reason: str) -> None:
        seconds = self._backlog.postpone(queued)
        now = time.monotonic()
        with self._guard:
            if now - self._last_log.get(queued.partition, -_LOG_SECONDS) < _LOG_SECONDS:
                return
            self._last_log[queued.partition] = now
        _LOG.warning(
            "The server does not store at the moment; the instances stay in the spool",
            partition=queued.partition,
            reason=reason,
            retry_seconds=round(seconds, 1),
            spool_bytes=self._spool.held,
        )

    def _count(self, outcome: Outcome) -> None:
        with self._guard:
            self._counts[outcome.verdict] += 1
