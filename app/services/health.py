"""The health of the backends and of the stored data (conformance §1.10)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, NamedTuple

from app.errors import AuditUnavailable, StorageError

Probe = Callable[[], object]

LOST_DATA: Final = "data"
"""The name of the check that counts lost objects."""


class HealthCheck(NamedTuple):
    """The result of one check: `status` is Healthy, Degraded or Unhealthy."""

    name: str
    status: str
    description: str


class Health:
    """Checks each backend with its own probe. A probe raises `StorageError` when its backend does not answer, that of
    the audit trail `AuditUnavailable`.

    `required` are the backends without which nothing works: if one fails, the service is Unhealthy. If one of the
    `optional` fails, the service is Degraded: it can still read what is stored.

    `lost_objects` returns how many lost objects this process has met since it started. Lost data makes the service
    Degraded and never Unhealthy. A load balancer replaces an unhealthy task, and the new task would miss the same data.
    """

    def __init__(
        self, *, required: Mapping[str, Probe], optional: Mapping[str, Probe], lost_objects: Callable[[], int]
    ) -> None:
        self._lost_objects = lost_objects
        self.on_failure: Final[Mapping[str, str]] = {
            **dict.fromkeys(required, "Unhealthy"),
            **dict.fromkeys(optional, "Degraded"),
        }
        """The status of each backend that does not answer, in the order of the checks."""
        self.checks: Final[Mapping[str, Callable[[], HealthCheck]]] = {
            **{
                name: partial(_result, name, probe, self.on_failure[name])
                for name, probe in {**required, **optional}.items()
            },
            LOST_DATA: self._stored_data,
        }
        """Each check by its name. A check of a backend may take as long as the backend takes."""

    def __call__(self) -> list[HealthCheck]:
        """Return the result of each check."""
        return [check() for check in self.checks.values()]

    def _stored_data(self) -> HealthCheck:
        count = self._lost_objects()
        if not count:
            return HealthCheck(LOST_DATA, "Healthy", "No stored object was found to be lost.")
        text = f"Stored objects that are lost, found since this process started: {count}. The log names each of them."
        return HealthCheck(LOST_DATA, "Degraded", text)


def _result(name: str, probe: Probe, status_on_failure: str) -> HealthCheck:
    try:
        probe()
    except (StorageError, AuditUnavailable) as error:
        return HealthCheck(name, status_on_failure, str(error))
    return HealthCheck(name, "Healthy", "Successfully connected.")
