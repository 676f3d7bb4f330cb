"""`GET /health/check`: the health of each backend (conformance §1.10). Outside versions and partitions."""

from __future__ import annotations

import threading
from collections.abc import Collection
from time import monotonic
from typing import Any, Final

from flask import Response, current_app

from app.services import Services
from app.web.response.responses import JSON, json
from app.web.routing.context import Context
from app.web.routing.route import Resource, Scope

CACHED_SECONDS: Final = 5.0
REPORT: Final = "bulkhead.health"
"""Key of the `HealthReport` in the extensions of the application."""

_WORST_FIRST: Final = ("Unhealthy", "Degraded", "Healthy")

resource = Resource("health")


@resource.route(
    "GET",
    "/health/check",
    scope=Scope.UNVERSIONED,
    action=None,
    audit=None,
    answers={200: (JSON,), 503: (JSON,)},
)
def check(context: Context) -> Response:
    """200 while every backend is healthy or degraded, otherwise 503."""
    report: HealthReport = current_app.extensions[REPORT]
    body = report.current(context.services)
    return json(body, 503 if body["overallStatus"] == "Unhealthy" else 200)


class HealthReport:
    """The result of the health checks, without those of the `excluded` names.

    It stays valid for a few seconds, so that frequent probes cost the backends little.
    """

    def __init__(self, excluded: Collection[str]) -> None:
        self._excluded = frozenset(excluded)
        self._lock = threading.Lock()
        self._body: dict[str, Any] = {}
        self._valid_until = 0.0

    def current(self, services: Services) -> dict[str, Any]:
        """Return the JSON body. If the last one is too old, one caller checks the backends and the others wait."""
        with self._lock:
            if monotonic() >= self._valid_until:
                self._body = self._check(services)
                self._valid_until = monotonic() + CACHED_SECONDS
            return self._body

    def _check(self, services: Services) -> dict[str, Any]:
        checks = [check for check in services.health() if check.name not in self._excluded]
        overall = next((word for word in _WORST_FIRST if any(c.status == word for c in checks)), "Healthy")
        details = [
            {"name": check.name, "status": check.status, "description": check.description, "data": {}}
            for check in checks
        ]
        return {"overallStatus": overall, "details": details}
