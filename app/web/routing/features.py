"""Features that the operator can switch off. A route names the check of its feature (conformance §1.9)."""

from __future__ import annotations

from app.errors import OperationsDisabled, ResourceDisabled
from app.settings import Settings


def require_operations(settings: Settings) -> None:
    """Raise `OperationsDisabled` if the service starts no operations."""
    if settings.disable_operations:
        raise OperationsDisabled


def require_metrics(settings: Settings) -> None:
    """Raise `ResourceDisabled` if the service gives no metrics."""
    if not settings.metrics:
        raise ResourceDisabled


def require_site(settings: Settings) -> None:
    """Raise `ResourceDisabled` if the service has no pages for people."""
    if not settings.site:
        raise ResourceDisabled


def require_exports(settings: Settings) -> None:
    """Raise `ResourceDisabled` if the service starts no exports."""
    if settings.disable_operations or not settings.enable_export:
        raise ResourceDisabled
