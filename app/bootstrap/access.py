"""Builds the access control: what checks credentials, and the grants."""

from __future__ import annotations

from app.services.access.authentication import Authentication
from app.settings import Settings


def build_authentication(settings: Settings) -> Authentication | None:
    """Return what checks the credentials of callers. None: the service does not authenticate."""
    if not settings.authenticates:
        return None
    return Authentication()
