"""`POST /studies/$bulkUpdate`: change attributes of patients and studies in all their instances (conformance §12.1)."""

from __future__ import annotations

from typing import Final

from flask import Response, request

from app.services.update.service import ChangesRefused
from app.web.context import Scope
from app.web.json_body import json_body, require_json_body
from app.web.mount import resource as new
from app.web.responses import accepted, dicom_json, empty
from app.web.schemas.body import load_body
from app.web.schemas.bulk_update import UPDATE

MAX_BYTES: Final = 1024 * 1024
"""Bytes of a request, however it is written: far more than what it may ask for takes."""

resource = new("bulk_update")


@resource.post("/studies/$bulkUpdate")
def bulk_update(scope: Scope) -> Response:
    """202 with the operation that does it; 400 with a comment for each attribute that cannot be changed so."""
    if not scope.policy.bulk_update:
        return empty(404)
    require_json_body(request)
    partition = scope.partition()
    body = json_body(request, min(MAX_BYTES, scope.settings.max_request_bytes))
    try:
        operation = scope.services.bulk_update.start(partition, load_body(UPDATE, body))
    except ChangesRefused as refused:
        return dicom_json(_comments(refused.comments), 400)
    return accepted(operation, scope.operation_url(operation))


def _comments(comments: tuple[str, ...]) -> dict[str, object]:
    """Return the failed attributes sequence that answers a store too, on its own."""
    items = [{"00000902": {"vr": "LO", "Value": [comment]}} for comment in comments]
    return {"00741048": {"vr": "SQ", "Value": items}}
