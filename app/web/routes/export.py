"""`POST /export`: copy files of a partition to a place that the client names (conformance §11.1)."""

from __future__ import annotations

from typing import Final

from flask import Response, request

from app.web.context import Scope
from app.web.json_body import json_body, require_json_body
from app.web.mount import resource as new
from app.web.responses import accepted, empty
from app.web.schemas.body import load_body
from app.web.schemas.export import EXPORT

MAX_BYTES: Final = 8 * 1024 * 1024
"""Bytes of a request: some 100,000 identifiers of studies."""

resource = new("export")


@resource.post("/export")
def export(scope: Scope) -> Response:
    """202 with the operation that does it, once an empty error log could be written; 404 while the feature is off."""
    if scope.settings.disable_operations or not scope.settings.enable_export:
        return empty(404)
    require_json_body(request)
    partition = scope.partition()
    body = json_body(request, min(MAX_BYTES, scope.settings.max_request_bytes))
    operation = scope.services.export.start(partition, load_body(EXPORT, body))
    return accepted(operation, scope.operation_url(operation))
