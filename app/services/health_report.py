"""The last result of the health checks, for probes that must not wait behind a backend (conformance §1.10)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from time import monotonic
from typing import Final

import structlog

from app import logs
from app.services.daemon_threads import start_thread
from app.services.health import Health, HealthCheck

FRESH_SECONDS: Final = 5.0
"""How long a result is used without new checks. So frequent probes cost the backends little."""

PATIENCE_SECONDS: Final = 1.0
"""How long a probe waits for checks that run."""

KEPT_SECONDS: Final = 15.0
"""How long the last result is still used while new checks run. A backend may be slow for a moment."""

LATELY_SECONDS: Final = 30.0
"""How long the service stays ready after the last result in which each required backend answered."""

_WORST_FIRST: Final = ("Unhealthy", "Degraded", "Healthy")
_NOT_ENDED: Final = "The check did not end in time."

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Result:
    """The checks of one moment."""

    checks: tuple[HealthCheck, ...]

    @property
    def overall(self) -> str:
        """The worst status of the checks."""
        return next((word for word in _WORST_FIRST if any(check.status == word for check in self.checks)), "Healthy")


class HealthReport:
    """Runs the checks of a process on one thread, without those of the `excluded` names.

    A probe starts the checks if the last result is too old, and waits for them for a second at most. The checks of a
    backend that hangs keep their thread. No second thread is started while it exists.
    """

    def __init__(self, health: Health, excluded: Collection[str] = (), *, clock: Callable[[], float] = monotonic):
        self._checks = {name: check for name, check in health.checks.items() if name not in excluded}
        self._on_failure = health.on_failure
        self._clock = clock
        self._changed = threading.Condition()  # protects the fields below
        self._running = False
        self._started = 0.0
        self._ended: list[HealthCheck] = []
        self._last: Result | None = None
        self._last_at = 0.0
        self._usable_until = float("-inf")

    def current(self) -> Result:
        """Return the last result, of new checks if it is older than five seconds.

        If the checks do not end within a second, this is the last result, up to fifteen seconds after it was made.
        After that it has each check that did not end as a failure. The same holds if the system gives no thread.
        """
        with self._changed:
            now = self._clock()
            if self._last and now < self._last_at + FRESH_SECONDS:
                return self._last
            if not self._running:
                self._started, self._ended = now, []
                self._running = start_thread("health", self._run)
            left = self._started + PATIENCE_SECONDS - now
            ended = self._running and self._changed.wait_for(lambda: not self._running, max(0.0, left))
            if self._last and (ended or self._clock() < self._last_at + KEPT_SECONDS):
                return self._last
            return self._so_far()

    def is_ready(self) -> bool:
        """Return whether each required backend answered within the last thirty seconds.

        One failed check does not end readiness. Overload never ends it, because overload is no property of a backend.
        """
        self.current()
        with self._changed:
            return self._clock() < self._usable_until

    def _so_far(self) -> Result:
        """Return the checks that ended, and those that did not end as failures."""
        ended = {check.name: check for check in self._ended}
        return Result(
            tuple(
                ended.get(name) or HealthCheck(name, self._on_failure.get(name, "Degraded"), _NOT_ENDED)
                for name in self._checks
            )
        )

    def _run(self) -> None:
        """Run the checks one after another. This is the only thread that does."""
        try:
            for name, check in self._checks.items():
                result = self._result(name, check)
                with self._changed:
                    self._ended.append(result)
        finally:
            with self._changed:
                self._last, self._last_at, self._running = self._so_far(), self._clock(), False
                if self._last.overall != "Unhealthy":
                    self._usable_until = self._last_at + LATELY_SECONDS
                self._changed.notify_all()

    def _result(self, name: str, check: Callable[[], HealthCheck]) -> HealthCheck:
        try:
            return check()
        except Exception as error:  # noqa: BLE001 - an error that no engine declares is a failed check, not a dead thread
            _log.error("health check failed", check=name, **logs.described(error))
            return HealthCheck(name, self._on_failure.get(name, "Degraded"), "The check failed.")
