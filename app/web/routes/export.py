"""`POST /export`: copy files of a partition to a place that the client names (conformance §11.1)."""

from __future__ import annotations

from typing import Final

from flask import Response

from app.services.access.rights import Action
from app.services.export.service import ExportRequest
from app.web.request.body_kinds import JsonBody
from app.web.response.responses import JSON, accepted
from app.web.routing.context import PartitionContext
from app.web.routing.features import require_exports
from app.web.routing.route import Resource
from app.web.routing.versions import RELEASED
from app.web.schemas.export import EXPORT

MAX_BYTES: Final = 8 * 1024 * 1024
"""Bytes of a request: about 100,000 identifiers of studies."""

resource = Resource("export")


@resource.route(
    "POST",
    "/export",
    versions=RELEASED,
    action=Action.EXPORT,
    audit="export",
    check_enabled=require_exports,
    body=JsonBody(EXPORT, MAX_BYTES),
    answers={202: (JSON,)},
)
def export(context: PartitionContext, body: ExportRequest) -> Response:
    """202 with the operation. The service has written an empty error log to the destination by then."""
    context.audit.add_studies(each.partition("/")[0] for each in body.identifiers)
    operation = context.services.export.start(context.caller, context.partition, body)
    context.audit.operation = operation
    return accepted(operation, context.links.operation(operation))
