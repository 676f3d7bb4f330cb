"""Whether the backends answer (conformance §1.10, Health)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from app.errors import StorageError

Probe = Callable[[], object]


class HealthCheck(NamedTuple):
    """One backend: `status` is Healthy, Degraded or Unhealthy."""

    name: str
    status: str
    description: str


class Health:
    """Asks every backend with its own probe; a probe raises `StorageError` when its backend does not answer.

    Without one of the `lesser` ones the service is degraded: what is stored can still be read.
    """

    def __init__(self, probes: Mapping[str, Probe], lesser: Mapping[str, Probe]) -> None:
        self._probes = probes
        self._lesser = lesser

    def __call__(self) -> list[HealthCheck]:
        """Return one verdict for each backend."""
        return [
            *(_verdict(name, probe, "Unhealthy") for name, probe in self._probes.items()),
            *(_verdict(name, probe, "Degraded") for name, probe in self._lesser.items()),
        ]


def _verdict(name: str, probe: Probe, otherwise: str) -> HealthCheck:
    try:
        probe()
    except StorageError as error:
        return HealthCheck(name, otherwise, str(error))
    return HealthCheck(name, "Healthy", "Successfully connected.")
