"""A gunicorn worker whose processes share the connections evenly.

They all wait at one listening socket, and the first that wakes gets a new connection. So a process that has at least
two connections more than another one leaves a new connection to the others for a millisecond (connection_counts.py).
Then it accepts it, because the others may be busy or stopped.
"""

from __future__ import annotations

from time import monotonic
from typing import Any, Final

from gunicorn.workers.gthread import ThreadWorker

from app.entry.connection_counts import shared_counts

LEAVE_SECONDS: Final = 0.001
"""How long a process leaves a new connection to processes that have fewer connections."""


class SharingWorker(ThreadWorker):
    """gunicorn's threaded worker, whose polling thread leaves connections to processes that have fewer."""

    _left_until = 0.0
    """When this process accepts connections again, 0 if it does not leave them to others."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Prepare a process. gunicorn calls this before it forks, so all processes share the numbers."""
        super().__init__(*arguments, **options)
        self.counts = shared_counts()

    def notify(self) -> None:
        """Tell gunicorn that this process works, and the other processes how many connections it has."""
        super().notify()
        if self.alive:
            self.publish()

    def accept(self, listener: Any) -> None:
        """Accept a connection, or leave it to the processes that have fewer connections.

        A difference of one is none: a closed connection counts for a moment.
        """
        if self.nr_conns > self.counts.least() + 1:
            self._left_until = monotonic() + LEAVE_SECONDS
            self.publish()
            super().set_accept_enabled(False)
        else:
            self.accept_now(listener)

    def set_accept_enabled(self, enabled: bool | None) -> None:
        """Wait for connections, or stop waiting. A process that left connections to others first accepts the rest."""
        if not enabled:
            self._left_until = 0.0
            self.counts.withdraw(self.age)
            super().set_accept_enabled(False)
        elif not self._left_until:
            super().set_accept_enabled(True)
        elif monotonic() >= self._left_until:
            self._left_until = 0.0
            self.publish()
            super().set_accept_enabled(True)
            for listener in self.sockets:
                self.accept_now(listener)

    def wait_for_and_dispatch_events(self, timeout: float | None) -> None:
        """Handle the events of the poller. The wait is short while connections are left to other processes."""
        super().wait_for_and_dispatch_events(LEAVE_SECONDS if self._left_until else timeout)

    def publish(self) -> None:
        """Publish the number of connections, and one more while this process leaves them to others.

        Without the one more, two processes more often leave a connection to each other, and its client waits.
        """
        self.counts.publish(self.age, self.nr_conns + (self._left_until > 0))

    def accept_now(self, listener: Any) -> None:
        """Accept a connection. The class that answers requests does it."""
        raise NotImplementedError
