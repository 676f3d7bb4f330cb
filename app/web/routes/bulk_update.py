"""`POST /studies/$bulkUpdate`: change attributes of patients and studies in all their instances (conformance §12.1)."""

from __future__ import annotations

from typing import Final

from flask import Response

from app.services.access.rights import Action
from app.services.update.service import ChangesRefused, UpdateRequest
from app.web.request.body_kinds import JsonBody
from app.web.response.responses import DICOM_JSON, JSON, accepted, dicom_json
from app.web.routing.context import PartitionContext
from app.web.routing.features import require_operations
from app.web.routing.route import Resource
from app.web.routing.versions import V2
from app.web.schemas.bulk_update import UPDATE

MAX_BYTES: Final = 1024 * 1024
"""Bytes of a request. The longest valid request is much shorter."""

resource = Resource("bulk_update")


@resource.route(
    "POST",
    "/studies/$bulkUpdate",
    versions=(V2,),
    action=Action.WRITE,
    audit="update-study",
    check_enabled=require_operations,
    body=JsonBody(UPDATE, MAX_BYTES),
    answers={202: (JSON,), 400: (DICOM_JSON,)},
)
def bulk_update(context: PartitionContext, body: UpdateRequest) -> Response:
    """202 with the operation; 400 with a comment for each attribute that cannot be changed."""
    context.audit.add_studies(body.studies)
    try:
        operation = context.services.bulk_update.start(context.caller, context.partition, body)
    except ChangesRefused as refusal:
        return dicom_json(_failed_attributes(refusal.comments), 400)
    context.audit.operation = operation
    return accepted(operation, context.links.operation(operation))


def _failed_attributes(comments: tuple[str, ...]) -> dict[str, object]:
    """Return a dataset with the comments in FailedAttributesSequence (0074,1048), as in the answer of a store."""
    items = [{"00000902": {"vr": "LO", "Value": [comment]}} for comment in comments]
    return {"00741048": {"vr": "SQ", "Value": items}}
