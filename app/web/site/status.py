"""The page for operators: health, versions, work that waits, and settings (conformance §1.9, §1.10, §15.4).

It names folders, buckets and issuers. So it is for callers with all rights.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Final

from flask import Response, current_app

from app.services.access.rights import Action
from app.services.backlog import Waiting
from app.services.health_report import HealthReport
from app.settings import Settings, described_settings
from app.storage.table import layout
from app.web.routing.context import Context
from app.web.routing.dispatch import HEALTH
from app.web.routing.features import require_site
from app.web.routing.route import Scope
from app.web.site.pages import PAGE, pages
from app.web.site.rendering import page

_PACKAGES: Final = ("bulkhead", "pydicom", "flask", "gunicorn")
_BADGES: Final = {"Healthy": "success", "Degraded": "warning", "Unhealthy": "error"}
_ENGINES: Final = {"embedded": "Embedded: SQLite and files", "aws": "AWS: DynamoDB, S3 and SQS"}

resource = pages("status")


@resource.route(
    "GET",
    "/ui/status",
    scope=Scope.PAGE,
    action=Action.ALL,
    audit=None,
    check_enabled=require_site,
    answers={200: (PAGE,)},
)
def status(context: Context) -> Response:
    """200 with the state of the service, also while a backend fails."""
    report: HealthReport = current_app.extensions[HEALTH]
    result = report.current()
    return page(
        "status.html",
        title="Status",
        overall=result.overall,
        checks=result.checks,
        badges=_BADGES,
        facts=list(_facts(context.settings)),
        waiting=_waiting(context.services.backlog.current()),
        described=described_settings(context.settings),
    )


def _facts(settings: Settings) -> Iterator[tuple[str, str]]:
    yield from ((name.capitalize(), version(name)) for name in _PACKAGES)
    yield "Python", platform.python_version()
    yield "Data layout", str(layout.CURRENT)
    yield "Engine", _ENGINES.get(settings.engine, settings.engine)
    yield "Partitions", "on" if settings.enable_data_partitions else "off"
    yield "Authentication", ", ".join(settings.auth)
    yield "Audit trail", settings.audit


def _waiting(waiting: Waiting | None) -> Iterable[tuple[str, str]]:
    """Return what waits for the worker, in words; nothing if the table does not answer."""
    if waiting is None:
        return ()
    return (
        ("Oldest message in the queue", _age(waiting.queue_age)),
        ("Oldest file or index entry to remove", _age(waiting.sweep_age)),
        ("Changes that readers of the feed may not see yet", str(waiting.feed_lag)),
    )


def _age(seconds: float) -> str:
    return f"{seconds:.0f} s overdue" if seconds >= 1 else "nothing is overdue"
