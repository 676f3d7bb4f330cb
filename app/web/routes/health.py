"""`GET /health/check`: whether each backend answers (conformance §1.10). Outside versions and partitions."""

from __future__ import annotations

import threading
from collections.abc import Collection
from time import monotonic
from typing import Any, Final

from flask import Blueprint, Response, current_app

from app.services import Services
from app.web.context import SERVICES
from app.web.responses import json

CACHED_SECONDS: Final = 5.0

_WORST_FIRST: Final = ("Unhealthy", "Degraded", "Healthy")


def resource(excluded: Collection[str]) -> Blueprint:
    """Return the health resource, without the checks of the excluded names."""
    blueprint = Blueprint("health", __name__)
    verdict = Verdict(frozenset(excluded))

    @blueprint.get("/health/check")
    def check() -> Response:
        """200 while every backend is healthy or degraded, 503 otherwise."""
        body = verdict.current(current_app.extensions[SERVICES])
        return json(body, 503 if body["overallStatus"] == "Unhealthy" else 200)

    return blueprint


class Verdict:
    """The last answer of the health checks, good for a few seconds, so that probes cost the backends little."""

    def __init__(self, excluded: frozenset[str]) -> None:
        self._excluded = excluded
        self._lock = threading.Lock()
        self._body: dict[str, Any] = {}
        self._until = 0.0

    def current(self, services: Services) -> dict[str, Any]:
        """Return the JSON body, made anew when the last one is too old. One caller at a time asks the backends."""
        with self._lock:
            if monotonic() >= self._until:
                self._body = self._asked(services)
                self._until = monotonic() + CACHED_SECONDS
            return self._body

    def _asked(self, services: Services) -> dict[str, Any]:
        checks = [check for check in services.health() if check.name not in self._excluded]
        overall = next((word for word in _WORST_FIRST if any(c.status == word for c in checks)), "Healthy")
        details = [
            {"name": check.name, "status": check.status, "description": check.description, "data": {}}
            for check in checks
        ]
        return {"overallStatus": overall, "details": details}
