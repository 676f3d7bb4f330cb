"""`DELETE` of a study, a series or an instance (conformance §6.1)."""

from __future__ import annotations

from flask import Response

from app.services.access.rights import Action
from app.web.response.responses import empty
from app.web.routing.context import PartitionContext
from app.web.routing.route import INSTANCE_PATH, SERIES_PATH, STUDY_PATH, Resource

resource = Resource("delete")


@resource.route(
    "DELETE",
    STUDY_PATH,
    SERIES_PATH,
    INSTANCE_PATH,
    action=Action.DELETE,
    audit="delete",
    answers={204: ()},
)
def delete(context: PartitionContext, study: str, series: str | None = None, instance: str | None = None) -> Response:
    """204; no later request finds it. 404 if it does not exist."""
    context.services.delete(context.partition, study, series, instance)
    context.audit.count = 1 if instance else None
    return empty(204)
