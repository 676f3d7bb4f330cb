"""`GET /metrics`: what this server counts about itself, for Prometheus (conformance §1.15)."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Response, request

from app.metrics import FEED_LAG, OLDEST_DUE_SECONDS, exposition
from app.services.access.rights import Action
from app.services.backlog import Backlog
from app.web.negotiation.media import accept_entries, parse
from app.web.routing.context import Context
from app.web.routing.features import require_metrics
from app.web.routing.route import Resource, Scope

resource = Resource("metrics")


@resource.route(
    "GET",
    "/metrics",
    scope=Scope.UNVERSIONED,
    action=Action.READ,
    in_all_partitions=True,
    audit=None,
    check_enabled=require_metrics,
    answers={200: (parse(exposition.TEXT).name, parse(exposition.OPENMETRICS).name)},
)
def metrics(context: Context) -> Response:
    """200 with the numbers of all processes of the server."""
    openmetrics = _prefers_openmetrics(request.headers.get("Accept", ""))
    text = exposition.exposition(
        context.settings.metrics_dir, _computed(context.services.backlog), openmetrics=openmetrics
    )
    return Response(text, content_type=exposition.OPENMETRICS if openmetrics else exposition.TEXT)


def _computed(backlog: Backlog) -> Iterator[exposition.Value]:
    waiting = backlog.current()
    if waiting is not None:
        yield (OLDEST_DUE_SECONDS.name, "sweep"), waiting.sweep_age
        yield (OLDEST_DUE_SECONDS.name, "queue"), waiting.queue_age
        yield (FEED_LAG.name,), waiting.feed_lag


def _prefers_openmetrics(accept: str) -> bool:
    """Return whether OpenMetrics 1.0.0 has a higher quality than the text format of Prometheus."""
    qualities: dict[str, float] = {}
    for name, parameters, quality in accept_entries(accept):
        if name != parse(exposition.OPENMETRICS).name or parameters.get("version", "1.0.0") == "1.0.0":
            qualities[name] = max(quality, qualities.get(name, 0.0))
    return qualities.get(parse(exposition.OPENMETRICS).name, 0.0) > qualities.get(parse(exposition.TEXT).name, 0.0)
