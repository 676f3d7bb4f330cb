"""`GET /partitions`: every partition that exists for the caller, perhaps `Microsoft.Default` too (conformance §2.6)."""

from __future__ import annotations

from flask import Response

from app.web.response.responses import JSON, json
from app.web.routing.context import Context
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
