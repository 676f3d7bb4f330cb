"""The health routes (conformance §1.10): is the process alive, is it ready, and how is each backend.

They are outside versions and partitions. Nobody needs a right for them, and they are not audited.
"""

from __future__ import annotations

from typing import Any, Final

from flask import Response, current_app

from app.errors import RETRY_AFTER_SECONDS
from app.services.health_report import HealthReport
from app.web import liveness
from app.web.response.responses import JSON, json
from app.web.routing.context import Context
from app.web.routing.dispatch import HEALTH
from app.web.routing.route import Resource, Scope

_HEALTH: Final[dict[str, Any]] = {"scope": Scope.UNVERSIONED, "action": None, "public": True, "audit": None}

resource = Resource("health")


@resource.route("GET", liveness.PATH, answers={200: (JSON,)}, **_HEALTH)
def live(context: Context) -> Response:
    """200: the process answers. No backend is asked."""
    return Response(liveness.BODY, content_type=liveness.CONTENT_TYPE)


@resource.route("GET", "/health/ready", answers={200: (JSON,), 503: (JSON,)}, **_HEALTH)
def ready(context: Context) -> Response:
    """200 if the required backends answered lately, otherwise 503."""
    if _report().is_ready():
        return json({"status": "Healthy"})
    response = json({"status": "Unhealthy"}, 503)
    response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


@resource.route("GET", "/health/check", answers={200: (JSON,), 503: (JSON,)}, **_HEALTH)
def check(context: Context) -> Response:
    """200 while every backend is healthy or degraded, otherwise 503."""
    result = _report().current()
    details = [
        {"name": check.name, "status": check.status, "description": check.description, "data": {}}
        for check in result.checks
    ]
    status = 503 if result.overall == "Unhealthy" else 200
    response = json({"overallStatus": result.overall, "details": details}, status)
    if status == 503:
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def _report() -> HealthReport:
    report: HealthReport = current_app.extensions[HEALTH]
    return report
