"""`GET /operations/{id}`: what became of background work (conformance §9.1)."""

from __future__ import annotations

import re
from typing import Any, Final

from flask import Response

from app.errors import InvalidRequest
from app.storage.operations.operations import SUCCEEDED, Operation
from app.web.context import Scope
from app.web.mount import resource as new
from app.web.responses import empty, json

RETRY_AFTER: Final = "5"
"""Seconds that a caller may well wait before asking again."""

_PLAIN: Final = r"[0-9a-f]{32}"
_HYPHENS: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_GUID: Final = re.compile(rf"{_PLAIN}|{_HYPHENS}|\{{{_HYPHENS}\}}|\({_HYPHENS}\)", re.IGNORECASE)

resource = new("operations")


@resource.get("/operations/<operation>")
def progress(scope: Scope, operation: str) -> Response:
    """200 with what became of it, 202 while it is under way; 404 for what is unknown or the service's own affair."""
    found = scope.services.operations.find(_id(operation))
    if found is None:
        return empty(404)
    response = json(_told(scope, found), 200 if found.ended else 202)
    if not found.ended:
        response.headers["Location"] = scope.operation_url(found.id)
        response.headers["Retry-After"] = RETRY_AFTER
    return response


def _id(text: str) -> str:
    """Return the 32 lower-case digits of a GUID in any usual form. Raises `InvalidRequest`."""
    if not _GUID.fullmatch(text.strip()):
        raise InvalidRequest(f"The operation ID '{text}' is not a GUID.")
    return re.sub(r"[^0-9a-f]", "", text.lower())


def _told(scope: Scope, operation: Operation) -> dict[str, Any]:
    status = scope.policy.succeeded if operation.status == SUCCEEDED else operation.status
    told = {
        "operationId": operation.id,
        "type": operation.type,
        "createdTime": utc(operation.created),
        "lastUpdatedTime": utc(operation.updated),
        "status": status,
    }
    optional = {
        "percentComplete": operation.percent,
        "resources": [scope.url(f"/extendedquerytags/{path}") for path in operation.resources] or None,
        "results": dict(operation.results) or None,
    }
    return told | {name: value for name, value in optional.items() if value is not None}


def utc(timestamp: str) -> str:
    """Return a stored time with `Z` for its zone."""
    return timestamp.removesuffix("+00:00") + "Z"
