"""Whether the backends answer (spec/00, Health)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from app.errors import StorageError


class HealthCheck(NamedTuple):
    """One backend: `status` is Healthy or Unhealthy."""

    name: str
    status: str
    description: str


class Health:
    """Asks every backend with its own probe; a probe raises `StorageError` when its backend does not answer."""

    def __init__(self, probes: Mapping[str, Callable[[], object]]) -> None:
        self._probes = probes

    def __call__(self) -> list[HealthCheck]:
        """Return one verdict for each backend."""
        return [_verdict(name, probe) for name, probe in self._probes.items()]


def _verdict(name: str, probe: Callable[[], object]) -> HealthCheck:
    try:
        probe()
    except StorageError as error:
        return HealthCheck(name, "Unhealthy", str(error))
    return HealthCheck(name, "Healthy", "Successfully connected.")
