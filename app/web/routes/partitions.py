"""`GET /partitions`: every partition that exists for the caller, perhaps `Microsoft.Default` too (conformance §2.6).

The statistics of a partition are below the partition (conformance §2.9).
"""

from __future__ import annotations

from typing import Any, Final

import orjson
from flask import Response, request

from app.services.access.rights import Action
from app.storage.records.contents import Contents
from app.storage.table.partitions import Partition
from app.web.response.next_page import add_next_page
from app.web.response.responses import JSON, json, json_array
from app.web.routing.context import Context, PartitionContext
from app.web.routing.route import Resource, Scope
from app.web.schemas.parameters import PARTITIONS

resource = Resource("partitions")

LARGEST_PAGE: Final = 1000


@resource.route(
    "GET",
    "/partitions",
    scope=Scope.BASE,
    action=None,
    audit="partition",
    query=PARTITIONS,
    answers={200: (JSON,)},
)
def listed(context: Context, parameters: dict[str, Any]) -> Response:
    """200 with all partitions in the order of their keys, or a page of them in the order of their names.

    400 while partitions are off.
    """
    directory, prefix, after = context.services.partitions, parameters["prefix"], parameters["after"]
    if not after and "limit" not in parameters:
        return json_array(map(_row, directory.listed(context.caller, prefix)), JSON)
    limit = parameters.get("limit", LARGEST_PAGE)
    found = directory.page(context.caller, prefix=prefix, after=after, limit=limit)
    response = json_array(map(_row, found.partitions), JSON)
    if found.more:
        add_next_page(response, request, context.links.address(), found.partitions[-1].name, "after")
    return response


def _row(partition: Partition) -> bytes:
    return orjson.dumps(
        {"partitionKey": partition.key, "partitionName": partition.name, "createdDate": partition.created}
    )


@resource.route("GET", "/statistics", action=Action.READ, audit="partition", answers={200: (JSON,)})
def statistics(context: PartitionContext) -> Response:
    """200 with the numbers of studies, instances and bytes; each is null for a partition of 0.1.0."""
    contents = context.services.partitions.statistics.of(context.partition)
    return json(contents._asdict() if contents else dict.fromkeys(Contents._fields))
