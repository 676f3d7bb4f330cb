"""`GET /partitions`: every partition, `Microsoft.Default` among them (conformance §2.6)."""

from __future__ import annotations

from flask import Response

from app.web.context import Scope
from app.web.mount import resource as new
from app.web.responses import empty, json

resource = new("partitions")


@resource.get("/partitions")
def listed(scope: Scope) -> Response:
    """200 with the partitions in key order; 400 while the feature is off."""
    rows = [
        {"partitionKey": each.key, "partitionName": each.name, "createdDate": each.created}
        for each in scope.services.partitions.listed()
    ]
    return json(rows) if rows else empty(204)
