"""`GET /partitions`: every partition that exists for the caller, perhaps `Microsoft.Default` too (conformance §2.6).

The statistics of a partition are below the partition (conformance §2.9).
"""

from __future__ import annotations

from flask import Response

from app.services.access.rights import Action
from app.storage.index.statistics import Contents
from app.web.response.responses import JSON, json
from app.web.routing.context import Context, PartitionContext
from app.web.routing.route import Resource, Scope

resource = Resource("partitions")


@resource.route(
    "GET",
    "/partitions",
    scope=Scope.BASE,
    action=None,
    audit="partition",
    answers={200: (JSON,)},
)
def listed(context: Context) -> Response:
    """200 with the partitions in the order of their keys; 400 while partitions are off."""
    rows = [
        {"partitionKey": each.key, "partitionName": each.name, "createdDate": each.created}
        for each in context.services.partitions.listed(context.caller)
    ]
    return json(rows)


@resource.route("GET", "/statistics", action=Action.READ, audit="partition", answers={200: (JSON,)})
def statistics(context: PartitionContext) -> Response:
    """200 with the numbers of studies, instances and bytes; each is null for a partition of 0.1.0."""
    contents = context.services.partitions.statistics.of(context.partition)
    return json(contents._asdict() if contents else dict.fromkeys(Contents._fields))
