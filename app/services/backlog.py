"""How much work waits for the worker, for the metrics. It is read from the table, so no worker need be alive."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import Final, NamedTuple

import structlog

from app import logs
from app.services.daemon_threads import start_thread
from app.storage.feed.change_feed import FeedLog
from app.storage.table import clock, keys
from app.storage.table.ports import Table

FRESH_SECONDS: Final = 10.0
"""How long a result is used without new reads."""

PATIENCE_SECONDS: Final = 1.0
"""How long a caller waits for reads that run."""

_log = structlog.get_logger(__name__)


class Waiting(NamedTuple):
    """The work that waits. Ages are in seconds, and 0 if nothing is due."""

    sweep_age: float
    """The age of the oldest record of the sweep that is due."""
    queue_age: float
    """The age of the oldest message that is due in the queue of the table. A queue of SQS has metrics of its own."""
    feed_lag: int
    """Commits whose entries are not in the change feed yet. Readers and the worker move them into it."""


class Backlog:
    """Reads what waits for the worker: small queries and the log of commits.

    It reads on a thread of its own, one at a time. So a table that hangs delays a caller by a second at most, and
    keeps one thread.
    """

    def __init__(self, table: Table, feed: FeedLog, *, monotonic: Callable[[], float] = monotonic) -> None:
        self._table = table
        self._feed = feed
        self._monotonic = monotonic
        self._changed = threading.Condition()  # protects the fields below
        self._running = False
        self._last: Waiting | None = None
        self._read_at = float("-inf")

    def current(self) -> Waiting | None:
        """Return what waits, at most ten seconds old. None if the table does not answer within a second, or if the
        system gives no thread."""
        with self._changed:
            if self._monotonic() < self._read_at + FRESH_SECONDS:
                return self._last
            if not self._running:
                self._running = start_thread("backlog", self._run)
                if not self._running:
                    return None
            ended = self._changed.wait_for(lambda: not self._running, PATIENCE_SECONDS)
            return self._last if ended else None

    def _run(self) -> None:
        result = None
        try:
            result = self._read()
        except Exception as error:  # noqa: BLE001 - an error here means that there is no number, and ends no request
            _log.warning("backlog is unknown", **logs.described(error))
        finally:
            with self._changed:
                self._last, self._read_at, self._running = result, self._monotonic(), False
                self._changed.notify_all()

    def _read(self) -> Waiting:
        now = clock.now()
        due = keys.due_by(int(now))
        first = (next(self._table.query(pk, due, limit=1), None) for pk in keys.SWEEPS)
        sweeps = [keys.sweep_due(item.key.sk) for item in first if item]
        message = next(self._table.query(keys.QUEUE, keys.queued_by(int(1000 * now)), limit=1), None)
        return Waiting(
            sweep_age=max(0.0, now - min(sweeps)) if sweeps else 0.0,
            queue_age=max(0.0, now - keys.queued_due(message.key.sk) / 1000) if message else 0.0,
            feed_lag=self._feed.lag(),
        )
