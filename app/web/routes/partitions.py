"""`GET /partitions`: every partition, `Microsoft.Default` included (conformance §2.6)."""

from __future__ import annotations

from flask import Response

from app.services.access.rights import Action
from app.web.response.responses import JSON, empty, json
from app.web.routing.context import Context
from app.web.routing.route import Resource, Scope

resource = Resource("partitions")


@resource.route(
    "GET",
    "/partitions",
    scope=Scope.BASE,
    action=Action.READ,
    audit="partition",
    answers={200: (JSON,), 204: ()},
)
def listed(context: Context) -> Response:
    """200 with the partitions in the order of their keys; 400 while partitions are off."""
    rows = [
        {"partitionKey": each.key, "partitionName": each.name, "createdDate": each.created}
        for each in context.services.partitions.listed()
    ]
    return json(rows) if rows else empty(204)
